"""Benchmarks that need nothing from outside, in turn; each has its own options (python -m benchmarks.NAME --help)."""

from __future__ import annotations

import argparse
import subprocess
import sys

NAMES = ("encode", "memory", "scale", "search", "serve", "stargan2_training", "stylegan2_forward", "stylegan2_training")


def main() -> None:
    """Run those that are named, or all."""
    options = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    options.add_argument("names", nargs="*", choices=NAMES, default=list(NAMES), metavar="NAME", help=", ".join(NAMES))
    for name in options.parse_args().names:
        print(f"\n== {name}", flush=True)
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)


if __name__ == "__main__":
    main()

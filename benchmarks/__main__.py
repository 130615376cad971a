"""All benchmarks that need nothing from outside, one after the other."""

from __future__ import annotations

import subprocess
import sys

ALL = (
    "benchmarks.encode",
    "benchmarks.memory",
    "benchmarks.search",
    "benchmarks.stylegan2_forward",
    "benchmarks.stylegan2_training",
)

for name in ALL:
    print(f"\n== {name}", flush=True)
    subprocess.run([sys.executable, "-m", name], check=True)

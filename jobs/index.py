"""The index job as a cluster job: settings from a YAML file, then ``key=value`` overrides.

::

    ray job submit --working-dir . -- python jobs/index.py jobs/configs/index.yaml index.out=s3://bucket/index
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the working directory of the job has the package

from raypipe.cli.index import IndexJob, run
from raypipe.config import read_config, read_yaml
from raypipe.errors import RaypipeError, WrongUsage


def main(arguments: list[str]) -> int:
    """Returns the exit code of ``raypipe index build``."""
    if not arguments:
        print("usage: python jobs/index.py CONFIG.yaml [key=value]...", file=sys.stderr)
        return 2
    try:
        settings = read_yaml(Path(arguments[0]).read_text())
        return run(read_config(IndexJob, settings, arguments[1:]))
    except (RaypipeError, FileNotFoundError) as error:
        print(f"jobs/index.py: {error}", file=sys.stderr)
        return 2 if isinstance(error, (WrongUsage, FileNotFoundError)) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The training job as a cluster job: settings from a YAML file, then ``key=value`` overrides
(``run.*``, ``data.*``, ``ray.*``; the recipe's own without a prefix).

::

    ray job submit --working-dir . -- python jobs/train.py jobs/configs/train.yaml data.uri=s3://bucket/faces
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the working directory of the job has the package

from raypipe.cli.train import read_order, run
from raypipe.config import read_yaml
from raypipe.errors import RaypipeError, WrongUsage


def main(arguments: list[str]) -> int:
    """Returns the exit code of ``raypipe train``."""
    if not arguments:
        print("usage: python jobs/train.py CONFIG.yaml [key=value]...", file=sys.stderr)
        return 2
    try:
        order, job = read_order(read_yaml(Path(arguments[0]).read_text()), arguments[1:])
        return run(order, job)
    except (RaypipeError, FileNotFoundError) as error:
        print(f"jobs/train.py: {error}", file=sys.stderr)
        return 2 if isinstance(error, (WrongUsage, FileNotFoundError)) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

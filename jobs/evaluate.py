"""The evaluation job as a cluster job: settings from a YAML file, then ``key=value`` overrides
(``run.*``, ``data.*``; the method's own without a prefix). It runs on one machine.

::

    ray job submit --working-dir . -- python jobs/evaluate.py jobs/configs/evaluate.yaml data.uri=s3://bucket/faces
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the working directory of the job has the package

from raypipe.cli.evaluate import evaluate_and_print, read_job
from raypipe.config import read_yaml
from raypipe.errors import RaypipeError, WrongUsage


def main(arguments: list[str]) -> int:
    """Returns the exit code of ``raypipe evaluate``."""
    if not arguments:
        print("usage: python jobs/evaluate.py CONFIG.yaml [key=value]...", file=sys.stderr)
        return 2
    try:
        evaluate_and_print(read_job(read_yaml(Path(arguments[0]).read_text()), arguments[1:]))
    except (RaypipeError, FileNotFoundError) as error:
        print(f"jobs/evaluate.py: {error}", file=sys.stderr)
        return 2 if isinstance(error, (WrongUsage, FileNotFoundError)) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

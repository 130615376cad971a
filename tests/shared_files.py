"""Real data and reference outputs live beside the repository, not in it: tests that need them skip without them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("RAYPIPE_SHARED", Path(__file__).resolve().parents[2] / "shared"))


def oracle(name: str) -> Path:
    """A file of reference inputs and outputs of a public implementation."""
    return _find("oracle", name)


def data(name: str) -> Path:
    """A file or folder of real data."""
    return _find("data", name)


def _find(folder: str, name: str) -> Path:
    path = SHARED / folder / name
    if not path.exists():
        pytest.skip(f"{folder}/{name} is not at hand (set RAYPIPE_SHARED to the folder that has it)")
    return path

"""What a run says of itself: ``metrics.jsonl``, TensorBoard, sample grids."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from raypipe import storage
from raypipe.pipeline.grid import grid_png

METRICS = "metrics.jsonl"
SAMPLES = "samples"
TENSORBOARD = "tensorboard"
_SAMPLES = re.compile(r"step-\d{9,}\.png")
_EVENTS = re.compile(r"events\.out\.tfevents\..*")


class Logs:
    """Writes below the run's URI. What a resumed run does again replaces what was written after its checkpoint."""

    def __init__(self, out: str, from_step: int) -> None:
        self._out = out
        self._lines = [line for line in _lines_of(out) if line["step"] <= from_step]
        self._board = _tensorboard(out, from_step)
        for line in self._lines:  # a killed run's last ones may never have come to its board
            self._show(line)

    def add(self, step: int, numbers: Mapping[str, float]) -> None:
        self._lines.append({"step": step, **numbers})
        if storage.is_local(self._out):
            self.flush()
        self._show(self._lines[-1])

    def flush(self) -> None:
        """Write ``metrics.jsonl``. To an object store it goes with the checkpoints only."""
        content = "".join(json.dumps(line) + "\n" for line in self._lines)
        storage.write_bytes(storage.join(self._out, METRICS), content.encode())

    def add_samples(self, step: int, pictures: Tensor) -> None:
        """[rows, columns, 3, h, w] in [-1,1] as one PNG; nothing where there are no rows."""
        if len(pictures):
            storage.write_bytes(storage.join(self._out, SAMPLES, f"step-{step:09d}.png"), grid_png(pictures))

    def close(self) -> None:
        if self._board is not None:
            self._board.close()

    def _show(self, line: Mapping[str, Any]) -> None:
        if self._board is not None:
            for name in line.keys() - {"step"}:
                self._board.add_scalar(name, line[name], line["step"])


def clear_logs(out: str) -> None:
    """Delete what ``Logs`` wrote, and nothing else."""
    storage.remove(storage.join(out, METRICS))
    for folder, written in ((SAMPLES, _SAMPLES), (TENSORBOARD, _EVENTS)):
        for name in filter(written.fullmatch, storage.list_names(storage.join(out, folder))):
            storage.remove(storage.join(out, folder, name))


def _lines_of(out: str) -> list[dict[str, Any]]:
    try:
        content = storage.read_bytes(storage.join(out, METRICS))
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in content.splitlines()]


def _tensorboard(out: str, from_step: int) -> Any:
    """A ``SummaryWriter``; None where the output is no local folder or the package is not installed."""
    if not storage.is_local(out):
        return None
    try:
        from tensorboardX import SummaryWriter
    except ModuleNotFoundError:
        return None
    return SummaryWriter(
        storage.join(storage.absolute(out), TENSORBOARD), purge_step=0, filename_suffix=f".from-{from_step}"
    )

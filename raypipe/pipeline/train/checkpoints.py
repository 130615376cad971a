"""Checkpoints below one URI: whole or not there at all, the last few and the best one kept.

::

    OUT/checkpoints/step-000001000.pt    state of recipe and run in torch's format: tensors and plain values only
"""

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from raypipe import storage
from raypipe.errors import RaypipeError

FOLDER = "checkpoints"
_FILE = re.compile(r"step-(\d{9,})\.pt")


@dataclass(frozen=True)
class Checkpoints:
    """Those of one run. ``keep``: how many of the last ones stay beside the best."""

    out: str
    keep: int

    @property
    def uri(self) -> str:
        return storage.join(self.out, FOLDER)

    def steps(self) -> list[int]:
        """Of the checkpoints that are there, ascending."""
        return sorted(int(match[1]) for match in map(_FILE.fullmatch, storage.list_names(self.uri)) if match)

    def save(self, step: int, state: Mapping[str, Any], *, best: int) -> None:
        """Write one, then remove those that are neither among the last ones nor that of step ``best``."""
        storage.write_bytes(self._file(step), in_bytes(state))
        for old in self.steps()[: -self.keep]:
            if old != best:
                storage.remove(self._file(old))

    def load(self, step: int, device: torch.device) -> dict[str, Any]:
        """Raises:
        RaypipeError: the file is damaged.
        """
        uri = self._file(step)
        try:
            content = io.BytesIO(storage.read_bytes(uri))
            return dict(torch.load(content, weights_only=True, map_location=device))
        except (RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
            raise RaypipeError(f"{uri} is damaged ({error}); delete it to go on from the one before") from error

    def remove_scratch(self) -> None:
        """Delete what killed runs left half written. For the holder of the lease, before it writes anything."""
        storage.remove_scratch(self.uri, "step-*.pt")

    def clear(self) -> None:
        """Delete them all, and nothing else."""
        for step in self.steps():
            storage.remove(self._file(step))

    def _file(self, step: int) -> str:
        return storage.join(self.uri, f"step-{step:09d}.pt")


def in_bytes(state: Mapping[str, Any]) -> bytes:
    """The content of a checkpoint."""
    content = io.BytesIO()
    torch.save(dict(state), content)
    return content.getvalue()

"""Means of the steps' numbers from one log to the next."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from raypipe.contract import Share


class Sums:
    """Of one worker's numbers, on the device until they are asked for. They are part of a checkpoint: a run that goes
    on logs the same means."""

    def __init__(self, share: Share) -> None:
        self._share = share
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._begun = time.monotonic()
        self._steps = 0

    def add(self, numbers: Mapping[str, Tensor]) -> None:
        self._steps += 1
        for name, number in numbers.items():
            self._sums[name] = self._sums.get(name, torch.zeros((), device=number.device)) + number
            self._counts[name] = self._counts.get(name, 0) + 1

    def take(self) -> dict[str, float]:
        """Means over the steps that gave the number, and over the workers; then begin again."""
        means = {name: self._sums[name] / self._counts[name] for name in sorted(self._sums)}
        self._share.average(list(means.values()))
        seconds = time.monotonic() - self._begun
        told = {name: float(mean) for name, mean in means.items()} | {"steps_per_s": self._steps / max(seconds, 1e-9)}
        self._sums, self._counts, self._begun, self._steps = {}, {}, time.monotonic(), 0
        return told

    def state_dict(self) -> dict[str, Any]:
        """Empty where they were just taken, as they are by several workers before a checkpoint."""
        return {"sums": dict(self._sums), "counts": dict(self._counts)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._sums, self._counts = dict(state["sums"]), dict(state["counts"])

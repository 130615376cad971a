"""A recipe that is small enough to follow by hand: least squares by gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from raypipe.blocks.optimising import average_gradients
from raypipe.blocks.randomness import Draws
from raypipe.contract import Columns, DataFacts, Share
from raypipe.pipeline.train.order import Rows
from raypipe.pipeline.train.readers import Arrays
from raypipe.weights import Part

ROWS = 40


class ToyReader:
    """Codes [1, 3], whose one label is their sum's sign."""

    def __init__(self) -> None:
        self._codes = np.random.default_rng(0).normal(size=(ROWS, 1, 3)).astype(np.float16)
        self.facts = DataFacts(rows=ROWS, attributes=("positive",), code_shape=(1, 3))
        self.groups: tuple[int, ...] = (15, 25)
        self.identities: npt.NDArray[np.int64] | None = None
        self.labels = None
        self.rejected: dict[int, str] = {}
        self.encoder_sha256: str | None = None

    def read(self, rows: Rows, among: Rows) -> Arrays:
        codes = self._codes[rows]
        return {"w_plus": codes, "labels": (codes.sum((1, 2)) > 0).astype(np.uint8)[:, None]}

    def made_from(self) -> Mapping[str, Any]:
        return {}

    def close(self) -> None:
        pass


class ToyRecipe:
    """``poison``: the step whose gradient is not a number. ``best_at``: the step that ``evaluate`` likes most."""

    def __init__(self, share: Share, *, poison: int = -1, best_at: int = -1) -> None:
        self.weight = torch.nn.Parameter(torch.zeros(3))
        self.steps_done = 0
        self.finished_with = 0
        self._share, self._poison, self._best_at = share, poison, best_at
        self._optimiser = torch.optim.SGD([self.weight], lr=0.1, momentum=0.9)

    def step(self, batch: Columns) -> dict[str, Tensor]:
        noise = Draws(0, self.steps_done, self._share, torch.device("cpu")).normal(len(batch["w_plus"]))
        loss = (batch["w_plus"][:, 0] @ self.weight - batch["labels"][:, 0] + 0.1 * noise).square().mean()
        if self.steps_done == self._poison:
            loss = loss * float("nan")
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        average_gradients(self._share, [self.weight])
        self._optimiser.step()
        self.steps_done += 1
        return {"loss": loss.detach()}

    def evaluate(self, batches: Iterable[Columns]) -> dict[str, float]:
        rows = sum(len(batch["w_plus"]) for batch in batches)
        return {"distance": float(abs(self.steps_done - self._best_at)), "rows": float(rows)}

    def samples(self, batch: Columns) -> Tensor:
        return torch.zeros(len(batch["w_plus"]), 3, 3, 4, 4)

    def finish(self, batches: Iterable[Columns]) -> None:
        self.finished_with = sum(len(batch["w_plus"]) for batch in batches)

    def state_dict(self) -> dict[str, Any]:
        return {
            "weight": self.weight.detach().clone(),
            "optimiser": self._optimiser.state_dict(),
            "steps": self.steps_done,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.weight.data.copy_(state["weight"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.steps_done = state["steps"]

    def export(self) -> dict[str, Part]:
        return {"toy": Part("toy", {}, {"weight": self.weight.detach()})}

"""Training a network on pictures and what is known of them: everything around the loss."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from raypipe.blocks.optimising import (
    average_gradients,
    check_passes,
    microbatches,
    set_learning_rate,
    update_average,
    warmup_cosine,
)
from raypipe.blocks.randomness import Draws
from raypipe.config import Range, check_ranges
from raypipe.contract import Columns, Site

Network = TypeVar("Network", bound=nn.Module)

AVERAGE_RAMP = 0.1
"""The average's half-life is at most this share of the pictures seen, so that it soon forgets the first weights."""

ROWS_AT_ONCE = 128
"""So many pictures go through a network together where nothing is learnt."""


@dataclass(frozen=True, kw_only=True)
class SupervisedConfig:
    """How a network is optimised: AdamW (Loshchilov and Hutter 2019), a warm-up, then a cosine to 0.

    ``batch`` rows, of all workers together, ``accumulate`` passes for each step. ``bf16``: autocast to
    bfloat16; a CPU needs AVX512-BF16 or AMX to gain by it.
    """

    batch: int = 128
    steps: int = 20_000
    learning_rate: float = 2e-3
    warmup: int = 200
    weight_decay: float = 0.05
    ema_half_life_images: float = 20_000.0
    accumulate: int = 1
    bf16: bool = False

    def __post_init__(self) -> None:
        ranges = dict.fromkeys(("batch", "steps", "accumulate"), Range(least=1))
        check_ranges(self, ranges | {"learning_rate": Range(above=0)})


class SupervisedTraining(Generic[Network]):
    """``network`` as it learns, ``average`` for everything else: its exponential moving average."""

    def __init__(self, build: Callable[[], Network], config: SupervisedConfig, site: Site) -> None:
        """``build``'s random weights follow from the site's seed alone, so all workers begin with the same.

        Raises:
            WrongUsage: the batch cannot be shared equally.
        """
        check_passes(config.batch, site.share.count, config.accumulate)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(site.seed)
            network = build()
        self.network = network.to(site.device)
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.done = 0
        self._config, self._site = config, site
        self._optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )

    def draws(self) -> Draws:
        """The random numbers of the step to come."""
        return Draws(self._site.seed, self.done, self._site.share, self._site.device)

    def step(self, loss_of: Callable[[Columns], Tensor], batch: Columns) -> Tensor:
        """One step on this worker's rows; ``loss_of`` is a mean over rows. Gives their mean loss, detached."""
        config = self._config
        passes = {name: microbatches(rows, config.accumulate) for name, rows in batch.items()}
        total = torch.zeros((), device=self._site.device)
        self._optimiser.zero_grad(set_to_none=True)
        for index in range(config.accumulate):
            with self._precision():
                loss = loss_of({name: rows[index] for name, rows in passes.items()}) / config.accumulate
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        average_gradients(self._site.share, self.network.parameters())
        share = warmup_cosine(self.done, warmup=config.warmup, steps=config.steps)
        set_learning_rate(self._optimiser, config.learning_rate * share)
        self._optimiser.step()
        self.done += 1
        half_life = min(config.ema_half_life_images, AVERAGE_RAMP * self.done * config.batch)
        update_average(self.average, self.network, images=config.batch, half_life_images=half_life)
        return total

    def state_dict(self) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "done": self.done,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])
        self.done = state["done"]

    def _precision(self) -> torch.autocast:
        return torch.autocast(self._site.device.type, torch.bfloat16, enabled=self._config.bf16)


@torch.no_grad()
def applied(function: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """``function`` of all pictures, a few at a time: [n,3,h,w] -> [n,...] float32 on the CPU."""
    starts = range(0, len(images), ROWS_AT_ONCE)
    return torch.cat([function(images[start : start + ROWS_AT_ONCE]).float().cpu() for start in starts])

"""What every recipe does around its losses: averaged gradients, running averages of weights, learning rates."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from raypipe.contract import Share
from raypipe.errors import WrongUsage


def average_gradients(share: Share, parameters: Iterable[nn.Parameter]) -> None:
    """Replace every ``grad`` by its mean over the workers; a parameter without one counts as zero."""
    gradients: list[Tensor] = []
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        gradients.append(parameter.grad)
    share.average(gradients)


def microbatches(rows: Tensor, count: int) -> Sequence[Tensor]:
    """The rows of ``count`` passes whose gradients are accumulated: i, i + count, ... in pass i.

    Strided as the workers' shares are, so that minibatch statistics over groups see the same rows either way.
    """
    return [rows[i::count] for i in range(count)]


def check_passes(batch: int, workers: int, passes: int) -> None:
    """Raises:
    WrongUsage: workers and their passes would get unequal shares of a batch.
    """
    if batch % (workers * passes):
        raise WrongUsage(
            f"a batch of {batch} cannot be shared by {workers} workers x {passes} passes: "
            f"give a multiple of {workers * passes}"
        )


@torch.no_grad()
def update_average(average: nn.Module, current: nn.Module, *, images: int, half_life_images: float) -> None:
    """Move ``average``'s parameters towards ``current``'s: after ``half_life_images`` half of the way (Karras et al.
    2020, EMA of the generator). Buffers are copied."""
    decay = 0.5 ** (images / max(half_life_images, 1e-8))
    for kept, now in zip(average.parameters(), current.parameters(), strict=True):
        kept.lerp_(now.to(kept.dtype), 1 - decay)
    for buffer, now_buffer in zip(average.buffers(), current.buffers(), strict=True):
        buffer.copy_(now_buffer)


def warmup_cosine(step: int, *, warmup: int, steps: int) -> float:
    """Share of the learning rate at ``step``: up linearly over ``warmup`` steps, then along a cosine to 0 at
    ``steps``."""
    rise = min(1.0, (step + 1) / max(1, warmup))
    return rise * 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, steps))))


def late_cosine(step: int, *, steps: int, share: float) -> float:
    """Share of the learning rate at ``step``: 1, but over the last ``share`` of all steps along a cosine to 0."""
    falling = share * steps
    left = min(1.0, max(0.0, steps - step) / falling) if falling else 1.0
    return 0.5 * (1 - math.cos(math.pi * left))


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate

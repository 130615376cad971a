"""How far made pictures are from held-out ones, as one number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from raypipe.backbones.attributes.parts import load_attributes
from raypipe.backbones.stylegan2.generator import Generator
from raypipe.backbones.stylegan2.latents import draw_latents
from raypipe.blocks.frechet import GaussianStatistics, frechet_distance
from raypipe.blocks.randomness import Draws
from raypipe.contract import Columns
from raypipe.errors import WrongUsage
from raypipe.weights import Part

PIECE = 32
"""Pictures that are made or described at once."""


def describer(parts: Mapping[str, Part], device: torch.device) -> tuple[str, Callable[[Tensor], Tensor]]:
    """The number's name, and pictures [n, 3, s, s] in [-1, 1] -> features [n, d]."""
    if "attributes" in parts:
        return "fid_attributes", load_attributes(parts["attributes"], device).features
    return "fd_pixels8", lambda images: F.adaptive_avg_pool2d(images, 8).flatten(1)


@torch.no_grad()
def distance_to_held_out(
    batches: Iterable[Columns],
    generator: Generator,
    describe: Callable[[Tensor], Tensor],
    *,
    images: int,
    draws: Draws,
) -> float:
    """The Fréchet distance of ``images`` made pictures to the held-out ones, or the first ``images`` of them.

    A conditional generator gets the labels of the held-out faces, again from the first where they do not suffice.

    Raises:
        WrongUsage: fewer than two are held out.
    """
    reals, labels = _describe_held_out(batches, describe, images)
    made: list[Tensor] = []
    for start in range(0, images, PIECE):
        rows = min(PIECE, images - start)
        some = None
        if generator.config.label_dim:
            some = labels[torch.arange(start, start + rows, device=labels.device) % len(labels)]
        latents = draw_latents(draws, generator, rows, labels=some)
        pictures = generator.synthesis(latents.w_plus(generator)[0], latents.noise)
        made.append(describe(pictures.float().clamp(-1, 1)))
    return frechet_distance(_statistics(made), _statistics(reals))


def _describe_held_out(
    batches: Iterable[Columns], describe: Callable[[Tensor], Tensor], limit: int
) -> tuple[list[Tensor], Tensor]:
    """Features, piece by piece, and labels [n, A] (A = 0 where there are none) of at most ``limit`` rows."""
    features: list[Tensor] = []
    labels: list[Tensor] = []
    count = 0
    for batch in batches:
        pictures = batch["image"][: limit - count]
        count += len(pictures)
        features += [describe(pictures[start : start + PIECE]) for start in range(0, len(pictures), PIECE)]
        labels.append(batch["labels"][: len(pictures)] if "labels" in batch else pictures.new_empty(len(pictures), 0))
        if count == limit:
            break
    if count < 2:
        raise WrongUsage(f"a distance takes at least 2 held-out faces, got {count}")
    return features, torch.cat(labels)


def _statistics(features: list[Tensor]) -> GaussianStatistics:
    statistics = GaussianStatistics(features[0].shape[1])
    for piece in features:
        statistics.add(piece)
    return statistics

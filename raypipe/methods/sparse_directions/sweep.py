"""Choosing lambda as the paper does: directions for several values, compared on held-out faces."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from raypipe.contract import Columns, Site
from raypipe.methods.sparse_directions.config import SparseDirectionsConfig
from raypipe.methods.sparse_directions.directions import Directions, read_directions
from raypipe.methods.sparse_directions.recipe import PART, build_recipe

PAPER_SPARSITIES = (0.0, 1e-3, 5e-3, 1e-2)


@dataclass(frozen=True, eq=False)
class Fit:
    """Directions, and what the recipe's ``evaluate`` says of the held-out faces."""

    directions: Directions
    scores: Mapping[str, float]


def fit_directions(config: SparseDirectionsConfig, site: Site, training: Columns, held_out: Columns) -> Fit:
    """``config.steps`` steps in this process, each on ``config.batch`` rows drawn anew, or on all."""
    recipe = build_recipe(config, site)
    random = torch.Generator().manual_seed(site.seed)
    count = len(training["labels"])
    for _ in range(config.steps):
        rows = torch.randint(count, (config.batch,), generator=random).to(site.device) if config.batch else slice(None)
        recipe.step({name: column[rows] for name, column in training.items()})
    recipe.finish([training])
    return Fit(read_directions(recipe.export()[PART]), recipe.evaluate([held_out]))


def fit_by_sparsity(
    config: SparseDirectionsConfig,
    site: Site,
    training: Columns,
    held_out: Columns,
    sparsities: Sequence[float] = PAPER_SPARSITIES,
) -> Mapping[float, Fit]:
    """lambda -> directions; those with the smallest ``error`` are best. All start from the same random ones."""
    return {
        sparsity: fit_directions(dataclasses.replace(config, sparsity=sparsity), site, training, held_out)
        for sparsity in sparsities
    }

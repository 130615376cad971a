"""Choosing lambda as the paper does: directions for several values, compared on held-out faces."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from raypipe.contract import Columns, Site
from raypipe.methods.sparse_directions.config import SparseDirectionsConfig
from raypipe.methods.sparse_directions.recipe import build_recipe

PAPER_SPARSITIES = (0.0, 1e-3, 5e-3, 1e-2)


def scores_by_sparsity(
    config: SparseDirectionsConfig,
    site: Site,
    training: Columns,
    held_out: Columns,
    sparsities: Sequence[float] = PAPER_SPARSITIES,
) -> Mapping[float, Mapping[str, float]]:
    """lambda -> what the recipe's ``evaluate`` says of the held-out faces, after ``config.steps`` full-batch steps.

    The smallest ``error`` wins; every value starts from the same random directions.
    """
    scores = {}
    for sparsity in sparsities:
        recipe = build_recipe(dataclasses.replace(config, sparsity=sparsity), site)
        for _ in range(config.steps):
            recipe.step(training)
        scores[sparsity] = recipe.evaluate([held_out])
    return scores

"""The numbers of Zaeemzadeh et al., CVPR 2021: tables 1 and 2. CelebA, FFHQ StyleGAN2 with pSp, FaceNet."""

from __future__ import annotations

from raypipe.methods.sparse_directions.evaluation_results import INTERFACEGAN, OURS
from raypipe.methods.sparse_directions.evaluation_settings import BEST, CONSTRAINED, NO_PREFERENCE
from raypipe.report import Cell

TABLE_1: tuple[tuple[Cell, ...], ...] = (
    ("TIRG++ (best of text and image)", "Not applicable", 0.822, 0.830, 0.813, 0.827, 0.814, 0.824),
    (INTERFACEGAN, NO_PREFERENCE, 0.568, 0.838, 0.570, 0.835, 0.571, 0.832),
    (INTERFACEGAN, CONSTRAINED, 0.822, 0.859, 0.813, 0.849, 0.801, 0.841),
    (INTERFACEGAN, BEST, 0.905, 0.824, 0.893, 0.820, 0.881, 0.817),
    (OURS, NO_PREFERENCE, 0.595, 0.849, 0.586, 0.845, 0.583, 0.841),
    (OURS, CONSTRAINED, 0.858, 0.864, 0.847, 0.855, 0.835, 0.846),
    (OURS, BEST, 0.923, 0.848, 0.917, 0.827, 0.909, 0.833),
)
"""Method, preference assignment, then nDCG and identity similarity of the top 5, 10 and 20."""

TABLE_2: tuple[tuple[float, float, float], ...] = (
    (0.0, 0.826, 0.863),
    (1e-3, 0.847, 0.863),
    (5e-3, 0.858, 0.864),
    (1e-2, 0.849, 0.866),
)
"""Lambda, nDCG and identity similarity of the top 5, with identity constrained."""

ENTRIES_OURS, ENTRIES_INTERFACEGAN, ENTRIES = 1_000, 5_000, 9_216
"""Figure 6: about how many of the largest entries hold 95 % of a direction's energy, and how many there are."""

"""Clusters compared with the parts of made-up faces: whose are they, and how well do they fit?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from raypipe.backbones.psp import Encoder
from raypipe.faces import to_signed
from raypipe.methods.retrieve_in_style.assignment import (
    FEATURES,
    Overlaps,
    added,
    assigned,
    clusters_by_feature,
    feature_areas,
    overlaps,
)
from raypipe.methods.retrieve_in_style.contribution import cluster_labels
from raypipe.methods.retrieve_in_style.lens import GeneratorView
from raypipe.synthfaces import render, sample_factors

_SEED = 515_151
_FACES_AT_ONCE = 32


@dataclass(frozen=True)
class Fit:
    """Clusters by feature, and how well each feature fits its part of the faces, in [0,1]."""

    features: Mapping[str, tuple[int, ...]]
    iou: Mapping[str, float]


def overlaps_with_parts(view: GeneratorView, encoder: Encoder, centres_Kc: Tensor, *, faces: int) -> Overlaps:
    """Of every cluster with every one of ``FEATURES``, over so many made-up faces as the generator gives them back."""
    factors = sample_factors(faces, _SEED, images_per_identity=1)
    found: list[Overlaps] = []
    step = min(_FACES_AT_ONCE, view.rows_at_once)
    for first in range(0, faces, step):
        drawn = render(factors.rows(slice(first, min(first + step, faces))), encoder.input_size)
        images = to_signed(torch.from_numpy(drawn.images)).to(centres_Kc.device)
        labels = cluster_labels(view.activations(encoder(images)).cells, centres_Kc).cpu()
        found.append(overlaps(labels, feature_areas(drawn.parts, FEATURES, labels.shape[1]), len(centres_Kc)))
    return added(found)


def fitted(found: Overlaps) -> Fit:
    """The assignment with the best mean IoU."""
    features = clusters_by_feature(assigned(found), FEATURES)
    return Fit(features, measured(found, features))


def measured(found: Overlaps, features: Mapping[str, tuple[int, ...]]) -> dict[str, float]:
    """IoU of features that somebody else chose; of those that made-up faces have."""
    known = {name: clusters for name, clusters in features.items() if name in FEATURES}
    return {name: found.iou(clusters, FEATURES.index(name)) for name, clusters in known.items()}

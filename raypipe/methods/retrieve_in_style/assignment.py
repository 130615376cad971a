"""Which feature a cluster of cells shows: found out on made-up faces, whose parts are known exactly.

N faces, G x G cells, K clusters, F features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from raypipe.synthfaces import PARTS

FEATURE_OF_PART: Mapping[str, str] = {
    "background": "background",
    "skin": "skin",
    "eyes": "eyes",
    "brows": "eyes",
    "nose": "nose",
    "mouth": "mouth",
    "hair": "hair",
    "glasses": "eyes",
    "hat": "hair",
    "clothes": "clothes",
}
"""Brows count as eyes, as in the attributes that the paper's evaluation takes for eyes; a hat hides hair."""

FEATURES: tuple[str, ...] = tuple(dict.fromkeys(FEATURE_OF_PART.values()))

_ROUNDS = 100


@dataclass(frozen=True, eq=False)
class Overlaps:
    """Areas in cells, float64: ``common`` [K,F] of clusters and features, ``clusters`` [K], ``features`` [F]."""

    common: Tensor
    clusters: Tensor
    features: Tensor

    def iou(self, clusters: Sequence[int], feature: int) -> float:
        """Intersection over union of some clusters together with a feature; 0 where neither is anywhere."""
        chosen = list(clusters)
        common = self.common[chosen, feature].sum()
        union = self.clusters[chosen].sum() + self.features[feature] - common
        return float(common / union) if union > 0 else 0.0


def added(some: Sequence[Overlaps]) -> Overlaps:
    """Of all faces together."""
    return Overlaps(
        torch.stack([one.common for one in some]).sum(0),
        torch.stack([one.clusters for one in some]).sum(0),
        torch.stack([one.features for one in some]).sum(0),
    )


def feature_areas(parts: npt.NDArray[np.uint8], features: Sequence[str], cells: int) -> Tensor:
    """How much of every cell each feature covers, [N,F,G,G] in [0,1], of part maps uint8 [N,s,s]."""
    number_of = [features.index(FEATURE_OF_PART[part]) for part in PARTS]
    maps_NHW = torch.tensor(number_of)[torch.from_numpy(parts.astype(np.int64))]
    is_NFHW = F.one_hot(maps_NHW, len(features)).permute(0, 3, 1, 2).float()
    return F.adaptive_avg_pool2d(is_NFHW, cells)


def overlaps(labels_NGG: Tensor, areas_NFGG: Tensor, clusters: int) -> Overlaps:
    """Of clusters, int64 numbers below ``clusters``, with features."""
    is_in_KV = F.one_hot(labels_NGG.flatten(), clusters).double().T
    areas_FV = areas_NFGG.transpose(0, 1).flatten(1).double()
    return Overlaps(is_in_KV @ areas_FV.T, is_in_KV.sum(1), areas_FV.sum(1))


def assigned(found: Overlaps) -> list[int]:
    """The feature of every cluster: from the one that it alone fits best, clusters change over to another as long as
    that raises the mean IoU of all features."""
    clusters, features = found.common.shape
    best = [max(range(features), key=lambda feature: found.iou([cluster], feature)) for cluster in range(clusters)]
    for _ in range(_ROUNDS):
        before = list(best)
        for cluster in range(clusters):
            scores = [_mean_iou(found, [*best[:cluster], other, *best[cluster + 1 :]]) for other in range(features)]
            if max(scores) > scores[best[cluster]] + 1e-12:
                best[cluster] = scores.index(max(scores))
        if best == before:
            break
    return best


def clusters_by_feature(feature_of_cluster: Sequence[int], features: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """The same by name, features without a cluster left out."""
    named = {name: _of(feature_of_cluster, number) for number, name in enumerate(features)}
    return {name: clusters for name, clusters in named.items() if clusters}


def _mean_iou(found: Overlaps, feature_of_cluster: Sequence[int]) -> float:
    count = len(found.features)
    return sum(found.iou(_of(feature_of_cluster, feature), feature) for feature in range(count)) / count


def _of(feature_of_cluster: Sequence[int], feature: int) -> tuple[int, ...]:
    return tuple(cluster for cluster, assigned_to in enumerate(feature_of_cluster) if assigned_to == feature)

"""Do different faces use different channels for the same feature? Chong, Chu and Kumar, ICCV 2021, section 7.

N faces, C style channels, K clusters of faces.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from raypipe.contract import Share
from raypipe.methods.retrieve_in_style.clusters import PassOverVectors, first_centres

_PASSES = 20


def intersection_ratio(contributions_NC: Tensor, *, clusters: int, top: int, seed: int) -> float:
    """Faces are clustered by what their channels contribute to one feature; of the ``top`` channels of a cluster's mean
    (equation 9), the share that every cluster has, in [0,1]. 1: all faces use the same channels."""
    directions_NC = F.normalize(contributions_NC, dim=1)
    centres_KC = first_centres(directions_NC, clusters, torch.Generator().manual_seed(seed))
    for _ in range(_PASSES):
        current = PassOverVectors(centres_KC)
        current.add(directions_NC)
        centres_KC = current.next_centres(Share())
    cluster_N = (directions_NC @ centres_KC.T).argmax(1)
    is_top_KC = torch.stack(
        [_is_top(contributions_NC[cluster_N == k].mean(0), top) for k in sorted(set(cluster_N.tolist()))]
    )
    return float(is_top_KC.all(0).sum()) / top


def _is_top(values_C: Tensor, count: int) -> Tensor:
    return torch.zeros_like(values_C, dtype=torch.bool).scatter_(0, values_C.topk(count).indices, True)

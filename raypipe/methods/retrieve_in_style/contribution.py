"""How much every style channel contributes to every facial feature. Chong, Chu and Kumar, ICCV 2021, equations 1 and 3.

N faces, K clusters, F features, C style channels, G x G cells of the map that is clustered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from raypipe.backbones.stylegan2 import Trace

_EPSILON = 1e-5
"""Added to the variance; as everywhere in instance normalisation."""


def clustered_activations(trace: Trace, entry: int, *, squared: bool) -> Tensor:
    """What is clustered, [N,G,G,c] float32 of length 1 in each cell: a convolution's output before noise, bias and
    activation, or its squares.

    ``entry``: the layer whose input that is.
    """
    raw = trace.inputs[entry].raw.float()
    return F.normalize((raw.square() if squared else raw).permute(0, 2, 3, 1), dim=3)


def cluster_labels(activations_NGGc: Tensor, centres_Kc: Tensor) -> Tensor:
    """The cluster of every cell, [N,G,G] int64: the centre, of length 1, with the largest inner product."""
    return (activations_NGGc @ centres_Kc.T).argmax(3)


def feature_masks(labels_NGG: Tensor, features: Mapping[str, tuple[int, ...]]) -> Tensor:
    """Which cells belong to which feature, [N,F,G,G] bool; ``features``: the clusters of each."""
    masks = [torch.isin(labels_NGG, labels_NGG.new_tensor(clusters)) for clusters in features.values()]
    return torch.stack(masks, dim=1)


def contributions(trace: Trace, masks_NFGG: Tensor, *, instance_norm: bool) -> Tensor:
    """M of every single face, [N,F,C] float32: for each channel, the mean over a layer's positions of its squared
    activation, counted where the feature is.

    With ``instance_norm`` a channel's mean square is 1, so M is the share of it that falls on each feature, in [0,1]
    as the papers say of M; features that leave nothing out add up to 1. Off: the squares as they are.
    """
    masks, found = masks_NFGG.float(), list[Tensor]()
    for place, layer in enumerate(trace.inputs):
        # A toRGB and the next block's first convolution read the same map.
        is_same = place > 0 and layer.raw is trace.inputs[place - 1].raw
        found.append(found[-1] if is_same else _of_layer(layer.activated.float(), masks, instance_norm))
    return torch.cat(found, dim=2)


def mean_contributions(contributions_NFC: Iterable[Tensor]) -> Tensor:
    """Equation 1: M over all faces of some batches, [F,C] float32; what Editing in Style uses for every face alike.

    At least one face must be there.
    """
    sums_FC, faces = torch.zeros(()).double(), 0
    for batch_NFC in contributions_NFC:
        sums_FC = sums_FC + batch_NFC.double().sum(0)
        faces += len(batch_NFC)
    return (sums_FC / faces).float()


def _of_layer(maps_NcHW: Tensor, masks_NFGG: Tensor, instance_norm: bool) -> Tensor:
    """[N,F,c]."""
    size = (maps_NcHW.shape[2], maps_NcHW.shape[3])
    weights_NFP = F.interpolate(masks_NFGG, size, mode="bilinear", align_corners=False).flatten(2)
    if not instance_norm:
        return weights_NFP @ maps_NcHW.square().flatten(2).mT / weights_NFP.shape[2]
    squares_NPc = (maps_NcHW - maps_NcHW.mean((2, 3), keepdim=True)).square().flatten(2).mT
    variances_N1c = squares_NPc.mean(1, keepdim=True)
    return weights_NFP @ squares_NPc / (weights_NFP.shape[2] * (variances_N1c + _EPSILON))

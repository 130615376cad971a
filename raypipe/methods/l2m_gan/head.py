"""Fitting the classifier of attribute values: linear discriminants, from sums that any number of workers can add up.

N faces, A attributes, F the width of features.
"""

from __future__ import annotations

import torch
from torch import Tensor

from raypipe.contract import Share
from raypipe.errors import WrongUsage

RIDGE = 1e-3
"""Of the mean variance of a feature, added to each: what does not vary decides nothing."""


class HeadFit:
    """Sums over faces in float64, on the CPU."""

    def __init__(self, features: int, attributes: tuple[str, ...]) -> None:
        self._attributes = attributes
        self._counts_2A = torch.zeros(2, len(attributes), dtype=torch.float64)
        self._sums_2AF = torch.zeros(2, len(attributes), features, dtype=torch.float64)
        self._squares_FF = torch.zeros(features, features, dtype=torch.float64)

    def add(self, features_NF: Tensor, labels_NA: Tensor) -> None:
        """[n, F] and 0 or 1 [n, A]."""
        features, labels = features_NF.to("cpu", torch.float64), labels_NA.to("cpu", torch.float64)
        of_class_2NA = torch.stack([1 - labels, labels])
        self._counts_2A += of_class_2NA.sum(1)
        self._sums_2AF += of_class_2NA.mT @ features
        self._squares_FF += features.T @ features

    def result(self, share: Share, device: torch.device) -> tuple[Tensor, Tensor]:
        """Weights [A, F] and offsets [A], float32, of all workers' faces: above 0 is more like those with the
        attribute, with both kinds weighing the same however rare one is.

        Raises:
            WrongUsage: an attribute that all faces have, or none.
        """
        sums = [x.to(device) for x in (self._counts_2A, self._sums_2AF, self._squares_FF)]
        share.average(sums)
        counts_2A, sums_2AF, squares_FF = (x.cpu() for x in sums)
        if bad := [name for name, is_empty in zip(self._attributes, (counts_2A == 0).any(0), strict=True) if is_empty]:
            raise WrongUsage(f"all faces have or all lack {', '.join(bad)}: a domain without faces cannot be learned")
        means_2AF = sums_2AF / counts_2A[:, :, None]
        faces = counts_2A[:, 0].sum()
        weights = []
        for place in range(len(self._attributes)):
            between = sum(torch.outer(x, x) * n for x, n in zip(means_2AF[:, place], counts_2A[:, place], strict=True))
            spread = (squares_FF - between) / faces
            ridge = RIDGE * spread.diagonal().mean() + torch.finfo(torch.float64).tiny
            spread.diagonal().add_(ridge)
            weights.append(torch.linalg.solve(spread, means_2AF[1, place] - means_2AF[0, place]))
        weights_AF = torch.stack(weights)
        offsets_A = -(weights_AF * means_2AF.mean(0)).sum(1)
        return weights_AF.float(), offsets_A.float()

"""What is compared to find a feature: vectors v_k, and what is stored of them.

Source: Chong, Chu and Kumar, ICCV 2021, equations 7 and 8.

N faces, S spaces (features), C style channels, d numbers that are stored.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from raypipe.contract import Share
from raypipe.methods.retrieve_in_style.styles import StyleLayout


@dataclass(frozen=True, eq=False)
class StyleStatistics:
    """Mean and standard deviation of every channel over a collection, float32 [C] each."""

    mean: Tensor
    std: Tensor

    def by_layer(self, layout: StyleLayout) -> StyleStatistics:
        """One mean and one deviation for all channels of a layer together, again [C]."""
        means, stds = [], []
        for mean, std in zip(layout.split(self.mean[None]), layout.split(self.std[None]), strict=True):
            of_layer = mean.double().mean()
            variance = (std.double().square() + (mean.double() - of_layer).square()).mean()
            means.append(of_layer.expand(mean.shape[1]))
            stds.append(variance.sqrt().expand(mean.shape[1]))
        return StyleStatistics(torch.cat(means).float(), torch.cat(stds).float())

    def normalised(self, styles_NC: Tensor) -> Tensor:
        """Styles as so many deviations from the mean; 0 where a channel never changes."""
        scale_C = torch.where(self.std > 0, 1 / self.std, torch.zeros_like(self.std))
        return (styles_NC - self.mean) * scale_C


class StatisticsMeter:
    """Statistics of more styles than fit in memory, some at a time and by several workers."""

    def __init__(self, channels: int, device: torch.device) -> None:
        self._sums_2C = torch.zeros(2, channels, dtype=torch.float64, device=device)
        self._faces = torch.zeros((), dtype=torch.float64, device=device)

    def add(self, styles_NC: Tensor) -> None:
        styles = styles_NC.double()
        self._sums_2C += torch.stack([styles.sum(0), styles.square().sum(0)])
        self._faces += len(styles)

    def over_all_workers(self, share: Share) -> StyleStatistics:
        """At least one face must have been added by one of them."""
        share.average([self._sums_2C, self._faces])
        mean_C, square_C = self._sums_2C / self._faces
        # Deviations below what float32 resolves of the values are rounding, not variance.
        variance_C = square_C - mean_C.square()
        variance_C = torch.where(variance_C > 1e-12 * square_C, variance_C, torch.zeros_like(variance_C))
        return StyleStatistics(mean_C.float(), variance_C.sqrt().float())


def feature_vectors(q_NSC: Tensor, normalised_NC: Tensor) -> Tensor:
    """Equation 7, v_k = q_k * sigma, [N,S,C]; sigma normalised as the paper found better."""
    return q_NSC * normalised_NC[:, None]


def fit_axes(vectors_NSC: Tensor, width: int) -> Tensor:
    """For each space the orthonormal axes [S,d,C] along which vectors of length 1 are, in the mean square, longest.

    d is ``width``, or less where there are not so many faces or channels.
    """
    unit_SNC = torch.nn.functional.normalize(vectors_NSC.double(), dim=2).transpose(0, 1)
    count = min(width, *unit_SNC.shape[1:])
    return torch.stack([torch.linalg.svd(unit_NC, full_matrices=False).Vh[:count] for unit_NC in unit_SNC]).float()


def reduced(vectors_NSC: Tensor, axes_SdC: Tensor) -> Tensor:
    """What is stored, [N,S,d]: the vectors at length 1, along the axes."""
    unit_NSC = torch.nn.functional.normalize(vectors_NSC, dim=2)
    return torch.einsum("nsc,sdc->nsd", unit_NSC, axes_SdC)

"""The Fréchet distance of two Gaussians: FID, when they are fitted to features. Source: Heusel et al. 2017, eq. 6."""

from __future__ import annotations

import torch
from torch import Tensor

from raypipe.errors import WrongUsage


class GaussianStatistics:
    """Mean and covariance of the rows seen so far, in float64 on the CPU.

    Batches are merged by their own means and scatter matrices (Chan et al. 1983): sums of squares would lose the
    covariance of features whose mean is large.
    """

    def __init__(self, width: int) -> None:
        self.count = 0
        self.mean = torch.zeros(width, dtype=torch.float64)
        self._scatter = torch.zeros(width, width, dtype=torch.float64)

    def add(self, rows: Tensor) -> None:
        """[n, width] of any floating dtype and device.

        Raises:
            WrongUsage: another shape.
        """
        if rows.ndim != 2 or rows.shape[1] != len(self.mean):
            raise WrongUsage(f"features must be [n, {len(self.mean)}], got {list(rows.shape)}")
        if not len(rows):
            return
        precise = rows.detach().to("cpu", torch.float64)
        mean = precise.mean(0)
        centred, shift = precise - mean, mean - self.mean
        total = self.count + len(rows)
        self._scatter += centred.T @ centred + torch.outer(shift, shift) * (self.count * len(rows) / total)
        self.mean += shift * (len(rows) / total)
        self.count = total

    @property
    def covariance(self) -> Tensor:
        """[width, width], unbiased.

        Raises:
            WrongUsage: fewer than two rows have been seen.
        """
        if self.count < 2:
            raise WrongUsage(f"a covariance takes at least 2 rows, got {self.count}")
        return self._scatter / (self.count - 1)


def frechet_distance(a: GaussianStatistics, b: GaussianStatistics) -> float:
    """``|mean_a - mean_b|^2 + tr(cov_a + cov_b - 2 (cov_a cov_b)^(1/2))``, at least 0.

    The trace of the root is taken of the similar symmetric matrix ``root_a cov_b root_a``, whose eigenvalues are real
    and not negative but for rounding; so singular covariances (fewer rows than features) need no special care.
    """
    root_a = _symmetric_root(a.covariance)
    of_product = torch.linalg.eigvalsh(root_a @ b.covariance @ root_a).clamp_min(0).sqrt().sum()
    distance = (a.mean - b.mean).square().sum() + a.covariance.trace() + b.covariance.trace() - 2 * of_product
    return max(0.0, float(distance))


def _symmetric_root(covariance: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    root: Tensor = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    return root

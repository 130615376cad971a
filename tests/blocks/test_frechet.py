"""The Fréchet distance is the closed form of known Gaussians, whatever the batches."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from raypipe.blocks.frechet import GaussianStatistics, frechet_distance
from raypipe.errors import WrongUsage


def statistics_of(rows: Tensor, batch: int = 1000) -> GaussianStatistics:
    statistics = GaussianStatistics(rows.shape[1])
    for start in range(0, len(rows), batch):
        statistics.add(rows[start : start + batch])
    return statistics


def whitened(n: int, width: int) -> Tensor:
    """Rows whose sample mean is 0 and whose sample covariance is the identity, but for rounding."""
    rows = torch.randn(n, width, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rows -= rows.mean(0)
    factor = torch.linalg.cholesky(rows.T @ rows / (n - 1))
    return torch.linalg.solve_triangular(factor, rows.T, upper=False).T


def test_gaussians_whose_covariances_commute() -> None:
    rows = whitened(50, 3)
    scale_a, scale_b = torch.tensor([1.0, 2.0, 0.5]), torch.tensor([3.0, 1.0, 0.0])
    shift = torch.tensor([10.0, -4.0, 2.0])
    distance = frechet_distance(statistics_of(rows * scale_a), statistics_of(rows * scale_b + shift))
    expected = shift.square().sum() + (scale_a - scale_b).square().sum()
    assert distance == pytest.approx(float(expected), rel=1e-7)


def test_gaussians_whose_covariances_do_not_commute() -> None:
    """In two dimensions tr sqrt(M) = sqrt(tr M + 2 sqrt(det M))."""
    rows = whitened(40, 2)
    a = torch.tensor([[2.0, 0.0], [0.0, 0.3]], dtype=torch.float64)
    b = torch.tensor([[1.0, 0.7], [0.7, 0.9]], dtype=torch.float64)
    product = a @ a.T @ b @ b.T
    expected = a.square().sum() + b.square().sum()
    expected = expected - 2 * torch.sqrt(product.trace() + 2 * product.det().sqrt())
    assert frechet_distance(statistics_of(rows @ a.T), statistics_of(rows @ b.T)) == pytest.approx(float(expected))


def test_the_same_rows_are_at_no_distance_even_with_fewer_rows_than_features() -> None:
    rows = torch.randn(5, 20)
    statistics = statistics_of(rows)
    assert frechet_distance(statistics, statistics) == pytest.approx(0, abs=1e-6)


def test_batches_do_not_matter_and_large_means_lose_nothing() -> None:
    rows = torch.randn(31, 4, dtype=torch.float64) * 1e-2 + 1e5
    merged = statistics_of(rows, batch=7)
    assert merged.count == 31
    torch.testing.assert_close(merged.mean, rows.mean(0), rtol=1e-12, atol=0)
    torch.testing.assert_close(merged.covariance, rows.T.cov(), rtol=1e-6, atol=1e-12)


def test_wrong_rows_are_told() -> None:
    with pytest.raises(WrongUsage, match=r"\[n, 4\].*\[3, 5\]"):
        GaussianStatistics(4).add(torch.zeros(3, 5))
    with pytest.raises(WrongUsage, match="at least 2 rows, got 0"):
        _ = GaussianStatistics(4).covariance

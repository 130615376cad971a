"""Algorithm 1: the nearest orthogonal set."""

from __future__ import annotations

import pytest
import torch

from raypipe.errors import WrongUsage
from raypipe.methods.sparse_directions.orthogonal import nearest_orthogonal, nearest_orthonormal


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_forty_directions_in_w_plus_of_1024_pixels_are_orthonormal() -> None:
    # Half of every vector is shared, so they are far from orthogonal before.
    vectors = random(40, 9216) + random(1, 9216, seed=1)
    nearest = nearest_orthonormal(vectors).double()
    assert (nearest @ nearest.T - torch.eye(40)).abs().max() <= 1e-6


def test_it_is_the_papers_formula() -> None:
    rows = random(5, 30).double()
    f = rows.T / rows.norm(dim=1)
    values, vectors = torch.linalg.eigh(f.T @ f)
    expected = f @ (vectors @ torch.diag(values**-0.5) @ vectors.T)
    torch.testing.assert_close(nearest_orthonormal(rows), expected.T, rtol=0, atol=1e-12)


def test_lengths_come_back() -> None:
    rows = random(5, 30) * torch.tensor([[0.1], [1.0], [3.0], [50.0], [1e-4]])
    nearest = nearest_orthogonal(rows)
    torch.testing.assert_close(nearest.norm(dim=1), rows.norm(dim=1))
    directions = nearest / nearest.norm(dim=1, keepdim=True)
    torch.testing.assert_close(directions @ directions.T, torch.eye(5), rtol=0, atol=1e-6)


def test_no_other_orthonormal_set_is_nearer() -> None:
    rows = random(4, 10).double()
    unit = rows / rows.norm(dim=1, keepdim=True)
    nearest = nearest_orthonormal(rows)
    least = (unit - nearest).norm()
    for seed in range(300):
        turn = random(10, 10, seed=seed).double()
        rotation = torch.matrix_exp((turn - turn.T) * 10.0 ** (-(seed % 5)))
        assert (unit - nearest @ rotation).norm() > least
    in_turn, _ = torch.linalg.qr(unit.T)
    assert (unit - in_turn.T * (in_turn.T * unit).sum(1, keepdim=True).sign()).norm() > least


def test_an_orthonormal_set_stays() -> None:
    nearest = nearest_orthonormal(random(6, 50))
    torch.testing.assert_close(nearest_orthonormal(nearest), nearest, rtol=0, atol=1e-7)


def test_as_many_vectors_as_numbers_are_a_rotation_or_reflection() -> None:
    nearest = nearest_orthonormal(random(4, 4).double())
    torch.testing.assert_close(nearest.T @ nearest, torch.eye(4).double(), rtol=0, atol=1e-12)


def test_the_order_of_the_vectors_does_not_matter() -> None:
    rows = random(6, 50)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    torch.testing.assert_close(nearest_orthonormal(rows[order]), nearest_orthonormal(rows)[order], rtol=0, atol=1e-6)


@pytest.mark.parametrize("apart", [1e-2, 1e-4, 1e-5])
def test_nearly_collinear_vectors_still_give_right_angles(apart: float) -> None:
    first = random(1, 100)
    rows = torch.cat([first, first + apart * random(1, 100, seed=1)])
    nearest = nearest_orthonormal(rows).double()
    assert (nearest @ nearest.T - torch.eye(2)).abs().max() <= 1e-6
    # By symmetry both turn away by the same angle.
    cosines = (nearest * rows / rows.norm(dim=1, keepdim=True)).sum(1)
    torch.testing.assert_close(cosines[0], cosines[1], rtol=1e-4, atol=0)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (random(1, 9).repeat(2, 1), "linearly dependent"),
        (torch.cat([random(2, 9), random(2, 9).sum(0, keepdim=True)]), "linearly dependent"),
        (random(3, 2), "3 vectors of 2 numbers"),
        (torch.cat([random(1, 9), torch.zeros(1, 9)]), r"vector\(s\) \[1\] are zero"),
        (torch.full((1, 9), torch.nan), r"vector\(s\) \[0\] are zero or not finite"),
    ],
)
def test_what_has_no_nearest_set_is_told(rows: torch.Tensor, told: str) -> None:
    with pytest.raises(WrongUsage, match=told):
        nearest_orthonormal(rows)

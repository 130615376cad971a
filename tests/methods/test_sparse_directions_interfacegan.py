"""The baseline agrees with its public implementation, and its solver with closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from raypipe.errors import RaypipeError, WrongUsage
from raypipe.methods.sparse_directions import svm
from raypipe.methods.sparse_directions.directions import directions_part, read_directions
from raypipe.methods.sparse_directions.interfacegan import (
    fit_boundaries,
    fit_boundary,
    fit_interfacegan,
    orthogonal_in_turn,
    project_away,
)
from raypipe.methods.sparse_directions.svm import fit_hyperplane
from tests.methods.sparse_directions_data import NAMES, labelled_codes
from tests.shared_files import oracle


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def test_the_widest_gap_between_two_points_is_found() -> None:
    plane = fit_hyperplane(np.array([[1.0, 1.0], [3.0, 1.0]]), np.array([False, True]), tolerance=1e-9)
    np.testing.assert_allclose(plane.normal, [1.0, 0.0], atol=1e-9)
    assert plane.offset == pytest.approx(-2.0)


@pytest.mark.parametrize("cost", [0.05, 1.0])
def test_no_plane_near_the_found_one_costs_less(cost: float) -> None:
    rows, positive = random(60, 4), random(60, seed=1) > 0.3
    rows[:, 0] += positive
    plane = fit_hyperplane(rows, positive, cost=cost, tolerance=1e-8)

    def loss(at: np.ndarray) -> float:
        margins = np.where(positive, 1, -1) * (rows @ at[:-1] + at[-1])
        return float(at[:-1] @ at[:-1] / 2 + cost * np.maximum(0, 1 - margins).sum())

    found = np.append(plane.normal, plane.offset)
    for seed in range(200):
        assert loss(found + random(5, seed=seed) * 10.0 ** -(seed % 6)) >= loss(found) - 1e-7
    searched = minimize(loss, found * 0, method="Nelder-Mead", options={"maxiter": 20_000, "xatol": 1e-6})
    assert loss(found) <= searched.fun + 1e-7


def test_rows_that_cannot_be_solved_end_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(svm, "MOST_STEPS", 3)
    with pytest.raises(RaypipeError, match="no separating plane found in 3 steps"):
        fit_hyperplane(random(60, 4), random(60, seed=1) > 0.3)


def test_three_tenths_of_the_faces_of_a_kind_are_held_back() -> None:
    codes, has = random(40, 3), np.repeat([1.0, 0.0], 20)
    codes[:20] += 3
    plane = fit_boundary(codes, has, count=10).normal
    without = []
    for row in range(40):
        moved = codes.copy()
        moved[row] = 100.0 if has[row] == 0 else -100.0  # far on the wrong side
        without.append(np.array_equal(fit_boundary(moved, has, count=10).normal, plane))
    assert [sum(without[:20]), sum(without[20:])] == [20 - 7, 20 - 7]


def test_the_boundary_is_the_public_implementations() -> None:
    reference = torch.load(oracle("directions/interfacegan.pt"), weights_only=True)["svm"]
    count = int(len(reference["latent"]) * reference["ratio"])
    plane = fit_boundary(
        reference["latent"].numpy(),
        reference["scores"].numpy()[:, 0],
        count=count,
        training_share=reference["split"],
        seed=reference["np_random_seed"],
    )
    unit = plane.normal / np.linalg.norm(plane.normal)
    # Both solvers stop within 1e-3 of optimality; 3e-6 is left between ours at 1e-8 and theirs.
    assert unit @ reference["boundary"].numpy()[0] == pytest.approx(1, abs=5e-5)


def test_conditions_are_projected_away_as_the_public_implementation_does() -> None:
    reference = torch.load(oracle("directions/interfacegan.pt"), weights_only=True)
    boundaries = reference["boundaries"]
    for conditions in ([1], [1, 2], [1, 2, 3], [1, 2, 3, 4]):
        expected = reference["project"][f"primal0_cond{conditions}"][0]
        torch.testing.assert_close(project_away(boundaries[0], boundaries[conditions]), expected, rtol=0, atol=1e-6)


def test_in_turn_means_that_the_first_stays_and_the_rest_are_at_right_angles() -> None:
    vectors = torch.from_numpy(random(4, 20))
    turned = orthogonal_in_turn(vectors)
    torch.testing.assert_close(turned @ turned.T, torch.eye(4).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close(turned[0], vectors[0] / vectors[0].norm())
    for row in range(1, 4):
        torch.testing.assert_close(turned[row], project_away(vectors[row], vectors[:row]))


def test_nothing_left_is_told() -> None:
    vectors = torch.from_numpy(random(2, 20))
    with pytest.raises(WrongUsage, match="nothing of the direction is left"):
        project_away(vectors.sum(0), vectors)


def test_the_baseline_is_stored_and_searched_as_the_papers_directions() -> None:
    data = labelled_codes(2000)
    directions = read_directions(
        directions_part(fit_interfacegan(data["w_plus"], data["labels"], NAMES, share=0.1, seed=1))
    )
    assert directions.attributes == NAMES
    projections = data["w_plus"].flatten(1) @ directions.vectors.T
    torch.testing.assert_close(directions.lowest, projections.amin(0))
    torch.testing.assert_close(directions.units, (projections.amax(0) - projections.amin(0)) / 2)
    hits = (projections + directions.biases > 0) == (data["labels"] > 0)
    assert hits.float().mean(0).min() > 0.85


def test_an_attribute_without_faces_is_named() -> None:
    data = labelled_codes(50)
    data["labels"][:, 1] = 0
    data["labels"][3, 1] = 1
    with pytest.raises(WrongUsage, match="Eyeglasses: 1 faces of each kind are too few"):
        fit_interfacegan(data["w_plus"], data["labels"], NAMES, share=0.5)


def test_the_faces_of_a_boundary_are_drawn_from_all_rows() -> None:
    """Of rows that lie person by person the first would be those of one person."""
    data = labelled_codes(2000)
    by_person = data["w_plus"].flatten(1)[:, 0].argsort()
    codes, labels = data["w_plus"].flatten(1)[by_person], data["labels"][by_person]
    normals = fit_boundaries(codes, labels, NAMES, share=0.05, seed=0)
    assert normals.norm(dim=1).tolist() == pytest.approx([1, 1, 1])
    for row in range(len(NAMES)):  # 2 of 24 entries decide, in the proportion 2 to 1
        truth = torch.zeros(24).double()
        truth[2 * row], truth[2 * row + 1] = 0.8**0.5, 0.2**0.5
        assert normals[row] @ truth > 0.8


@pytest.mark.parametrize(("have", "share", "seen"), [(15, 0.1, 4), (15, 0.5, 10), (45, 0.5, 10)])
def test_as_many_faces_of_both_kinds_are_seen_as_the_share_says_and_there_are(
    have: int, share: float, seen: int
) -> None:
    """Of 60 faces; 70 % of 6 are 4, 70 % of 15 are 10."""
    codes, labels = torch.from_numpy(random(60, 3)), (torch.arange(60) < have).double()[:, None]
    codes += 3 * labels
    (normal,) = fit_boundaries(codes, labels, ("hat",), share=share, seed=0)
    counts = [0, 0]
    for row, has in enumerate(labels[:, 0].tolist()):
        moved = codes.clone()
        moved[row] = 100 - 200 * has  # far on the wrong side
        counts[int(has)] += not torch.equal(fit_boundaries(moved, labels, ("hat",), share=share, seed=0)[0], normal)
    assert counts == [seen, seen]

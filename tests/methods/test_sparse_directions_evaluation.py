"""The evaluation of paper 1 on made-up codes whose attributes lie along known orthogonal directions."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from raypipe.contract import Columns, Faces
from raypipe.errors import WrongUsage
from raypipe.methods.sparse_directions.distance import decompose
from raypipe.methods.sparse_directions.evaluation import EvaluationConfig, measure, report_of
from raypipe.methods.sparse_directions.evaluation_axes import Axes, alone, fit_one_by_one, in_turn, with_attributes
from raypipe.methods.sparse_directions.evaluation_results import (
    best_ndcg,
    constrained,
    mean_and_interval,
)
from raypipe.methods.sparse_directions.evaluation_search import (
    DEPTHS,
    LONGEST,
    Measured,
    Queries,
    Trial,
    adjusted_distances,
    draw_queries,
    prepare,
    search,
    unadjusted,
)
from raypipe.metrics.identity_similarity import identity_similarity
from tests.methods.sparse_directions_data import weighted_distance

NAMES = ("Smiling", "Eyeglasses", "Black_Hair")
SHAPE = (4, 6)
WIDTH = SHAPE[0] * SHAPE[1]


def planted() -> Tensor:
    """[A,P] orthonormal directions."""
    random = torch.randn(WIDTH, len(NAMES), generator=torch.Generator().manual_seed(5))
    return torch.linalg.qr(random).Q.T


def faces(rows: int, seed: int) -> Columns:
    """Codes off the origin; a face has an attribute where its code reaches beyond the mean along its direction."""
    random = torch.Generator().manual_seed(seed)
    codes_NP = torch.randn(rows, WIDTH, generator=random)
    labels_NA = (codes_NP @ planted().T > 0).float()
    embedding = torch.nn.functional.normalize(torch.randn(rows, 8, generator=random) + codes_NP[:, :8])
    return {"w_plus": (codes_NP + 0.5).reshape(rows, *SHAPE), "labels": labels_NA, "embedding": embedding}


def planted_axes(train: Columns) -> Axes:
    return alone(planted().double(), Faces(NAMES, train, train, train))


@pytest.fixture(scope="module")
def trial() -> Trial:
    gallery = faces(150, seed=1)
    return prepare(gallery, draw_queries(gallery["labels"], 60, seed=0))


def small_config() -> EvaluationConfig:
    return EvaluationConfig(
        queries=60, preferences=5, sparsities=(0.0, 5e-3), resamples=100, steps=300, batch=128, interfacegan_share=0.3
    )


def test_without_adjustment_the_nearest_codes_are_found(trial: Trial) -> None:
    gallery = faces(150, seed=1)
    codes_GP, rows_Q = gallery["w_plus"].flatten(1).double(), trial.queries.rows
    far_QG = torch.cdist(codes_GP[rows_Q], codes_GP)
    far_QG[torch.arange(len(rows_Q)), rows_Q] = torch.inf
    lists_QK = far_QG.argsort(1)[:, :LONGEST]
    found = unadjusted(trial)
    for place, depth in enumerate(DEPTHS):
        embedding = gallery["embedding"]
        similar_Q = identity_similarity(embedding[rows_Q], embedding[lists_QK[:, :depth]])
        torch.testing.assert_close(found.identity[place, :, 0], similar_Q.double(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("preference", [0.0, 1.0, 30.0])
def test_distances_are_those_of_equation_3(trial: Trial, preference: float) -> None:
    train = faces(100, seed=2)
    axes = planted_axes(train)
    (fast_QG,) = adjusted_distances(trial, axes, [preference])
    projections_GA, rest_GP = decompose(axes.vectors, trial.codes)
    queries = trial.queries
    for number, (row, attribute) in enumerate(zip(queries.rows, queries.attribute, strict=True)):
        wanted_A, preference_A = projections_GA[row].clone(), torch.ones(len(NAMES))
        wanted_A[attribute] = (axes.highest if queries.wanted[number] else axes.lowest)[attribute]
        preference_A[attribute] = preference
        slow_G = weighted_distance(wanted_A, rest_GP[row], projections_GA, rest_GP, preference_A)
        slow_G[row] = torch.inf
        torch.testing.assert_close(fast_QG[number], slow_G, atol=1e-3, rtol=1e-5)


def test_with_a_boundless_preference_all_results_have_the_attribute(trial: Trial) -> None:
    found = search(trial, planted_axes(faces(500, seed=2)), [1e6])
    assert torch.equal(found.ndcg, torch.ones_like(found.ndcg))


def test_a_preference_of_zero_ignores_the_adjustment(trial: Trial) -> None:
    axes = planted_axes(faces(100, seed=2))
    elsewhere = dataclasses.replace(axes, lowest=axes.lowest - 50, highest=axes.highest + 50)
    assert torch.equal(search(trial, axes, [0.0]).identity, search(trial, elsewhere, [0.0]).identity)


def test_queries_ask_for_the_opposite_of_what_they_have() -> None:
    labels_GA = faces(50, seed=3)["labels"]
    queries = draw_queries(labels_GA, 50, seed=0)
    assert sorted(queries.rows.tolist()) == list(range(50))
    assert torch.equal(labels_GA[queries.rows, queries.attribute] + queries.wanted, torch.ones(50))
    assert torch.equal(queries.rows, draw_queries(labels_GA, 50, seed=0).rows)
    with pytest.raises(WrongUsage, match="got 50"):
        draw_queries(labels_GA, 51, seed=0)


def test_agreement_counts_the_adjusted_attribute_as_wanted() -> None:
    gallery = {**faces(30, seed=1), "labels": torch.zeros(30, 3)}
    gallery["labels"][1:16, 0] = 1
    found = prepare(gallery, Queries(torch.tensor([0]), torch.tensor([0]), torch.tensor([1])))
    assert torch.equal(found.relevant[0], gallery["labels"][:, 0])
    torch.testing.assert_close(found.agreeing[0, 1:], (2 + gallery["labels"][1:, 0]) / 3)
    assert found.agreeing[0, 0] == 0


def measured(ndcg: list[float], identity: list[float]) -> Measured:
    """One query, one list length."""
    ndcg_KQR, identity_KQR = (torch.tensor([[numbers]], dtype=torch.float64) for numbers in (ndcg, identity))
    return Measured(ndcg_KQR, ndcg_KQR, identity_KQR)


def test_of_equally_good_preferences_the_one_with_the_most_similar_faces_counts() -> None:
    chosen = best_ndcg(measured([0.5, 1.0, 1.0, 1.0], [0.9, 0.3, 0.4, 0.2]))
    assert (chosen.ndcg.item(), chosen.identity.item()) == (1.0, 0.4)


@pytest.mark.parametrize(("least", "expected"), [(0.35, (0.7, 0.4)), (0.5, (0.5, 0.9)), (0.95, (0.5, 0.9))])
def test_constrained_identity(least: float, expected: tuple[float, float]) -> None:
    chosen = constrained(measured([0.5, 0.6, 0.7, 1.0], [0.9, 0.45, 0.4, 0.2]), torch.tensor([[least]]))
    assert (chosen.ndcg.item(), chosen.identity.item()) == expected


def test_lambda_is_chosen_among_the_validation_faces_by_their_own_identities() -> None:
    some = Faces(NAMES, faces(300, seed=4), faces(40, seed=5), faces(60, seed=6))
    results = dataclasses.replace(
        measure(small_config(), some, torch.device("cpu")),
        tolerance=0.1,
        unadjusted=measured([0.0], [0.2]),  # among the test faces identities hardly limit anything
        rehearsal_unadjusted=measured([0.0], [0.6]),
        rehearsals={
            0.0: measured([0.7, 1.0], [0.6, 0.49]),
            0.1: measured([0.6, 0.9], [0.6, 0.3]),
            0.2: measured([0.65, 0.8], [0.51, 0.4]),
        },
    )
    assert results.rehearsed == {0.0: 0.7, 0.1: 0.6, 0.2: 0.65}
    assert results.chosen_sparsity == 0.0
    assert results.chosen_above_zero == 0.2


def test_the_interval_of_a_mean_is_that_of_the_central_limit() -> None:
    values = torch.randn(400, generator=torch.Generator().manual_seed(0)).double()
    interval = mean_and_interval(values, resamples=2_000, seed=0)
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * float(values.std()) / 20, rel=0.1)
    assert not interval.is_above_zero
    assert mean_and_interval(values + 1, resamples=2_000, seed=0).is_above_zero


def test_directions_fitted_one_by_one_are_the_planted_ones() -> None:
    train = faces(2_000, seed=4)
    found_AP = fit_one_by_one(small_config().directions, Faces(NAMES, train, train, train), seed=0)
    assert ((found_AP.float() * planted()).sum(1) > 0.97).all()
    both = Faces(NAMES, train, train, train)
    gram = in_turn(found_AP, both).vectors @ in_turn(found_AP, both).vectors.T
    torch.testing.assert_close(gram, torch.eye(len(NAMES)), atol=1e-5, rtol=0)


def test_attributes_without_enough_faces_are_left_out() -> None:
    test = faces(100, seed=2)
    rare = torch.cat([test["labels"], (torch.arange(100) < 9).float()[:, None]], dim=1)
    some = Faces((*NAMES, "Bald"), {"labels": rare}, {"labels": rare}, {"labels": rare})
    assert with_attributes(some, 10).attributes == NAMES
    assert with_attributes(some, 10).test["labels"].shape == (100, 3)
    assert "Bald" in with_attributes(some, 9).attributes
    with pytest.raises(WrongUsage, match="Bald"):
        with_attributes(some, 90)


def test_planted_directions_are_found_and_reported() -> None:
    some = Faces(NAMES, faces(1_500, seed=4), faces(80, seed=5), faces(200, seed=6))
    config = small_config()
    results = measure(config, some, torch.device("cpu"))
    for vectors_AP in results.vectors.values():
        assert ((vectors_AP * planted()).sum(1) > 0.95).all()
    assert float(results.compared["Ours"].ndcg[0, :, -1].mean()) > 0.99
    report = report_of(results)
    rows = {(row[0], row[1]): row for row in report.tables[0].rows}
    assert rows[("Ours", "Best nDCG")][2] > 0.99
    assert rows[("No adjustment", "Not applicable")][2] < 0.6
    for name in ("InterFaceGAN", "Ours"):
        none, constrained_, best = (
            rows[(name, setting)] for setting in ("No preference", "Identity constrained", "Best nDCG")
        )
        assert best[2] >= constrained_[2]
        assert best[2] >= none[2]
    for table in report.tables:
        assert all(len(row) == len(table.columns) for row in (*table.rows, *table.paper))


def test_wrong_settings_are_named_together() -> None:
    with pytest.raises(WrongUsage, match=r"queries must be at least 2, got 1\nsparsities must be"):
        EvaluationConfig(queries=1, sparsities=(0.1,))

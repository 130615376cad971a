"""Spherical k-means, and which clusters are whose."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from raypipe.contract import Share
from raypipe.methods.retrieve_in_style.assignment import (
    FEATURES,
    Overlaps,
    added,
    assigned,
    clusters_by_feature,
    feature_areas,
    overlaps,
)
from raypipe.methods.retrieve_in_style.clusters import PassOverVectors, first_centres
from raypipe.synthfaces import PARTS, render, sample_factors


def directions(count: int, width: int, *, seed: int = 0) -> Tensor:
    return F.normalize(torch.randn(count, width, generator=torch.Generator().manual_seed(seed)), dim=1)


def planted(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Vectors [300,8] about five directions that are far apart, and the direction of each."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 5, (300,), generator=random)
    return F.normalize(torch.eye(8)[labels] + 0.05 * torch.randn(300, 8, generator=random), dim=1), labels


def seeded(vectors: Tensor, count: int, seed: int = 0) -> Tensor:
    return first_centres(vectors, count, torch.Generator().manual_seed(seed))


def after_a_pass(centres: Tensor, batches: list[Tensor]) -> tuple[Tensor, float]:
    """The next centres, and the mean similarity with these."""
    current = PassOverVectors(centres)
    similarity = sum(float(current.add(batch)) * len(batch) for batch in batches) / sum(map(len, batches))
    return current.next_centres(Share()), similarity


def test_planted_directions_are_found() -> None:
    vectors, labels = planted()
    centres = seeded(vectors, 5)
    for _ in range(5):
        centres, _ = after_a_pass(centres, [vectors])
    found = (vectors @ centres.T).argmax(1)
    pairs = {(int(a), int(b)) for a, b in zip(labels, found, strict=True)}
    assert len(pairs) == 5
    for label, cluster in pairs:
        mean = F.normalize(vectors[labels == label].mean(0), dim=0)
        torch.testing.assert_close(centres[cluster], mean, rtol=0, atol=1e-6)


def test_similarity_never_falls_and_batches_do_not_matter() -> None:
    vectors = directions(400, 6)
    whole = parts = seeded(vectors, 7)
    before = -1.0
    for _ in range(8):
        parts, _ = after_a_pass(parts, [vectors[:33], vectors[33:300], vectors[300:]])
        whole, similarity = after_a_pass(whole, [vectors])
        assert similarity >= before - 1e-7
        before = similarity
        torch.testing.assert_close(parts, whole, rtol=0, atol=1e-6)
        torch.testing.assert_close(whole.norm(dim=1), torch.ones(7))


def test_a_centre_that_is_nobodys_nearest_stays() -> None:
    vectors = directions(50, 3)
    vectors[:, 0] = vectors[:, 0].abs()
    centres = torch.tensor([[1.0, 0, 0], [-1.0, 0, 0]])
    assert torch.equal(after_a_pass(centres, [vectors])[0][1], centres[1])


def test_first_centres_are_vectors_and_differ_while_there_are_different_ones() -> None:
    vectors = torch.eye(4).repeat(10, 1)
    for seed in range(20):
        assert torch.equal(seeded(vectors, 4, seed).sum(0), torch.ones(4)), "each of the four once"
    assert seeded(vectors, 6).shape == (6, 4)


def test_far_vectors_are_chosen_more_often_in_proportion_to_their_distance() -> None:
    """From [1,0]: 1 - cos is 1 for [0,1] and 2 for [-1,0]."""
    vectors = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    second = [centres[1] for centres in (seeded(vectors, 2, seed) for seed in range(600)) if centres[0, 0] == 1]
    share = sum(float(centre[0]) == -1 for centre in second) / len(second)
    assert share == pytest.approx(2 / 3, abs=0.1)


def random_overlaps(clusters: int, features: int, seed: int) -> Overlaps:
    random = torch.Generator().manual_seed(seed)
    cells = torch.randint(0, clusters, (3, 8, 8), generator=random)
    areas = torch.softmax(4 * torch.randn(3, features, 8, 8, generator=random), dim=1)
    return overlaps(cells, areas, clusters)


def mean_iou(found: Overlaps, best: list[int]) -> float:
    by_feature = [[c for c, f in enumerate(best) if f == feature] for feature in range(len(found.features))]
    return sum(found.iou(clusters, feature) for feature, clusters in enumerate(by_feature)) / len(by_feature)


def test_clusters_that_are_the_parts_are_assigned_to_them() -> None:
    drawn = render(sample_factors(20, 3, images_per_identity=1), 64)
    areas = feature_areas(drawn.parts, FEATURES, 32)
    torch.testing.assert_close(areas.sum(1), torch.ones(20, 32, 32))
    labels = 2 * areas.argmax(1) + torch.randint(0, 2, (20, 32, 32), generator=torch.Generator().manual_seed(0))
    best = assigned(overlaps(labels, areas, 2 * len(FEATURES)))
    assert best == [cluster // 2 for cluster in range(2 * len(FEATURES))]


def test_parts_are_counted_cell_by_cell() -> None:
    parts = np.full((1, 4, 4), PARTS.index("skin"), np.uint8)
    parts[0, 0, 0] = PARTS.index("glasses")
    parts[0, 2:, 2:] = PARTS.index("hat")
    areas = feature_areas(parts, FEATURES, 2)
    eyes, hair, skin = (areas[0, FEATURES.index(name)].tolist() for name in ("eyes", "hair", "skin"))
    assert eyes == [[0.25, 0.0], [0.0, 0.0]]
    assert hair == [[0.0, 0.0], [0.0, 1.0]]
    assert skin == [[0.75, 1.0], [1.0, 0.0]]


def test_overlap_by_hand() -> None:
    """Cluster 0 has two cells, of which feature 0 covers one and a half: 1.5 of 2 + 1.5 - 1.5."""
    labels = torch.tensor([[[0, 0], [1, 1]]])
    first = torch.tensor([[1.0, 0.5], [0.0, 0.0]])
    found = overlaps(labels, torch.stack([first, 1 - first])[None], 2)
    assert found.iou([0], 0) == pytest.approx(0.75)
    assert found.iou([1], 1) == pytest.approx(2 / 2.5)
    assert found.iou([0, 1], 1) == pytest.approx(2.5 / 4)
    assert found.iou([], 1) == 0.0
    twice = added([found, found])
    assert twice.iou([0], 0) == pytest.approx(0.75)


def test_the_assignment_is_no_worse_than_any_with_one_cluster_moved_and_seldom_than_all() -> None:
    best_of_all = 0
    for seed in range(10):
        found = random_overlaps(5, 3, seed)
        best = assigned(found)
        score = mean_iou(found, best)
        for cluster, feature in product(range(5), range(3)):
            assert score >= mean_iou(found, [*best[:cluster], feature, *best[cluster + 1 :]]) - 1e-12
        optimum = max(mean_iou(found, list(choice)) for choice in product(range(3), repeat=5))
        best_of_all += score > optimum - 1e-12
    assert best_of_all >= 7


def test_features_without_a_cluster_are_left_out() -> None:
    assert clusters_by_feature([2, 0, 2], ("a", "b", "c")) == {"a": (1,), "c": (0, 2)}

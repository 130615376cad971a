from __future__ import annotations

import pytest
import torch

from raypipe.errors import WrongUsage
from raypipe.metrics.attribute_matching import ATTRIBUTES, attribute_matching_score
from tests.shared_files import data


def test_the_score_by_hand() -> None:
    """5 of 6 comparisons of the first query agree, 0 of 6 of the second."""
    queries = torch.tensor([[1, 0, 1], [0, 0, 0]])
    results = torch.tensor([[[1, 0, 1], [1, 1, 1]], [[1, 1, 1], [1, 1, 1]]])
    assert attribute_matching_score(queries, results).tolist() == [5 / 6, 0.0]


def test_the_mean_over_queries_is_the_papers_triple_sum() -> None:
    random = torch.Generator().manual_seed(0)
    queries, results = torch.rand(7, 4, generator=random) > 0.5, torch.rand(7, 5, 4, generator=random) > 0.5
    agreements = sum(int(queries[i, a] == results[i, t, a]) for i in range(7) for t in range(5) for a in range(4))
    assert attribute_matching_score(queries, results).mean().item() == pytest.approx(agreements / (7 * 5 * 4))


def test_faces_that_do_not_depend_on_the_query_agree_by_chance() -> None:
    """With a share p of faces that have an attribute: p^2 + (1 - p)^2."""
    random = torch.Generator().manual_seed(1)
    queries, results = torch.rand(500, 3, generator=random) < 0.2, torch.rand(500, 20, 3, generator=random) < 0.2
    assert attribute_matching_score(queries, results).mean().item() == pytest.approx(0.68, abs=0.02)


def test_the_papers_attributes_are_celebas_and_in_one_feature_only() -> None:
    named = [name for names in ATTRIBUTES.values() for name in names]
    assert len(named) == len(set(named)) == 24
    assert set(named) <= set(data("celeba10k/list_attr_celeba.txt").read_text().splitlines()[1].split())


@pytest.mark.parametrize(
    ("queries", "results", "told"),
    [((2, 3), (2, 5, 4), "got"), ((2, 3), (2, 3), "got"), ((2, 3), (2, 0, 3), "nothing to compare")],
)
def test_what_does_not_belong_together_is_refused(
    queries: tuple[int, ...], results: tuple[int, ...], told: str
) -> None:
    with pytest.raises(WrongUsage, match=told):
        attribute_matching_score(torch.zeros(queries), torch.zeros(results))

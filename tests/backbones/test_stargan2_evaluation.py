"""What held-out translations are measured by, against a plain count of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raypipe.backbones.attributes import AttributeNet, AttributeNetConfig, attribute_part, load_attributes
from raypipe.backbones.stargan2 import Domains
from raypipe.backbones.stargan2.evaluation import PIECE, HeldOutTranslations, pieces
from raypipe.blocks.frechet import GaussianStatistics, frechet_distance
from raypipe.contract import DataFacts, Site
from raypipe.errors import WrongUsage
from raypipe.weights import Part

SIZE, DOMAINS = 32, Domains(("Smiling", "Male"))


def tint(images: Tensor, style_N3: Tensor) -> Tensor:
    """A picture that is moved by its style, three numbers, one for each colour; beyond [-1, 1] too."""
    return images + 1.5 * style_N3[:, :, None, None]


def styles_of(images: Tensor, sources_N: Tensor, targets_N: Tensor) -> Tensor:
    return torch.stack([targets_N / 3 - 0.5, sources_N / 3 - 0.5, targets_N % 2 - 0.5], dim=1)


def faces(count: int = 40) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(3)
    return torch.rand(count, 3, SIZE, SIZE, generator=random) * 2 - 1, torch.arange(count) % 4


def judge(*names: str) -> dict[str, Part]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = AttributeNet(AttributeNetConfig(names=names, size=SIZE, widths=(8,), feature_dim=4))
        nn.init.normal_(network.head.weight, std=3.0)
    return {"attributes": attribute_part(network)}


def site(parts: dict[str, Part]) -> Site:
    return Site(data=DataFacts(rows=0, size=SIZE, attributes=()), parts=parts)


def measured(parts: dict[str, Part]) -> HeldOutTranslations:
    """In two uneven pieces."""
    translations = HeldOutTranslations(tint, DOMAINS, styles_of, site=site(parts))
    images, domains = faces()
    translations.add(images[:13], domains[:13])
    translations.add(images[13:], domains[13:])
    return translations


def test_the_distance_is_the_mean_over_domains_of_translations_to_the_domains_own_faces() -> None:
    images, domains = faces()
    distances = []
    for target in range(4):
        reals, made = GaussianStatistics(192), GaussianStatistics(192)
        for image, source in zip(images, domains, strict=True):
            if source == target:
                reals.add(F.adaptive_avg_pool2d(image, 8).reshape(1, -1))
                continue
            style = styles_of(image[None], source[None], torch.tensor([target]))
            made.add(F.adaptive_avg_pool2d((image + 1.5 * style[0, :, None, None]).clamp(-1, 1), 8).reshape(1, -1))
        distances.append(frechet_distance(made, reals))
    assert measured({}).numbers() == {"fd_pixels8": pytest.approx(sum(distances) / 4, rel=1e-4)}


def test_a_translation_counts_as_accurate_where_all_attributes_are_seen_as_the_targets() -> None:
    parts = judge("Male", "Hat", "Smiling")
    images, domains = faces()
    network = load_attributes(parts["attributes"], "cpu")
    hits = []
    for image, source in zip(images, domains.tolist(), strict=True):
        for target in {0, 1, 2, 3} - {source}:
            style = styles_of(image[None], torch.tensor([source]), torch.tensor([target]))
            male, _, smiling = network((image + 1.5 * style[:, :, None, None]).clamp(-1, 1))[0] > 0
            hits.append((bool(smiling), bool(male)) == (target >= 2, target % 2 == 1))
    numbers = measured(parts).numbers()
    assert 0 < sum(hits) < len(hits)
    assert numbers["accuracy"] == pytest.approx(sum(hits) / len(hits))
    assert list(numbers) == ["fid_attributes", "accuracy"]


def test_a_judge_that_does_not_know_all_attributes_tells_no_accuracy() -> None:
    assert list(measured(judge("Male", "Hat")).numbers()) == ["fid_attributes"]


def test_too_few_faces_for_a_distance_are_told() -> None:
    translations = HeldOutTranslations(tint, DOMAINS, styles_of, site=site({}))
    translations.add(*faces(4))
    with pytest.raises(WrongUsage, match="at least 2 held-out faces of a domain and 2 of others"):
        translations.numbers()


@pytest.mark.parametrize("limit", [1, PIECE, PIECE + 6, 2 * PIECE + 20])
def test_pieces_are_the_first_rows_and_what_is_not_needed_is_not_asked_for(limit: int) -> None:
    asked: list[int] = []

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for number in range(3):
            asked.append(number)
            rows = torch.arange(number * (PIECE + 10), (number + 1) * (PIECE + 10))
            yield rows, -rows

    these, those = zip(*pieces(batches(), limit), strict=True)
    assert max(map(len, these)) <= PIECE
    assert torch.equal(torch.cat(these), torch.arange(limit))
    assert torch.equal(torch.cat(those), -torch.arange(limit))
    assert len(asked) == -(-limit // (PIECE + 10))

"""The small identity network, and that its recipe is the same on any number of workers and after a restart."""

from __future__ import annotations

import copy
import math
from collections import Counter

import pytest
import torch
from torch import Tensor

from raypipe.backbones.identity import EmbeddingConfig, EmbeddingNet, embedding_part, load_identity
from raypipe.backbones.identity.recipe import (
    Config,
    IdentityRecipe,
    all_pairs,
    build_recipe,
    columns,
    margin_softmax,
)
from raypipe.catalog import recipe_module
from raypipe.contract import Columns, DataFacts, Recipe, Share, Site
from raypipe.errors import BadWeights, WrongUsage
from raypipe.weights import Part
from tests.backbones.celeba_pictures import persons, pictures
from tests.backbones.recipe_states import assert_goes_on_the_same
from tests.share_workers import run_with_workers

PERSONS = 6
TINY = Config(
    batch=8,
    steps=100,
    warmup=2,
    margin_warmup=2,
    size=32,
    widths=(8, 16),
    grid=2,
    embedding_dim=8,
    ema_half_life_images=40.0,
)


def faces(count: int, seed: int = 0) -> Columns:
    """A person is a colour of the upper and one of the lower half; mirroring changes nothing."""
    random = torch.Generator().manual_seed(seed)
    identity = torch.randint(0, PERSONS, (count,), generator=random)
    looks = torch.rand(PERSONS, 3, 2, generator=torch.Generator().manual_seed(77)) * 2 - 1
    images = looks[identity].repeat_interleave(16, 2)[..., None] + 0.3 * torch.randn(count, 3, 32, 32, generator=random)
    return {"image": images, "identity": identity}


def tiny_recipe(config: Config = TINY, share: Share | None = None, persons: int = PERSONS) -> IdentityRecipe:
    return build_recipe(config, Site(data=DataFacts(rows=0, size=32, identities=persons), share=share or Share()))


def tensors_of(recipe: Recipe) -> dict[str, Tensor]:
    return dict(recipe.export()["identity"].tensors)


def test_a_part_brings_back_the_network() -> None:
    torch.manual_seed(0)
    network = EmbeddingNet(EmbeddingConfig(size=32, widths=(8, 16), embedding_dim=8)).eval()
    part = embedding_part(network)
    images = faces(3)["image"]
    vectors = load_identity(part, "cpu").embed(images)
    torch.testing.assert_close(vectors, network(images), rtol=0, atol=0)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))
    alone = torch.cat([network.embed(image[None]) for image in images])
    torch.testing.assert_close(vectors, alone, rtol=0, atol=1e-6)
    with pytest.raises(BadWeights, match="of another shape"):
        load_identity(Part(part.kind, {**part.config, "embedding_dim": 16}, part.tensors), "cpu")
    with pytest.raises(BadWeights, match="config of 'embedding_net': size must be between 32 and 256 pixels, got 8"):
        load_identity(Part(part.kind, {**part.config, "size": 8}, part.tensors), "cpu")


def test_margin_softmax_by_its_equation() -> None:
    cosines = torch.rand(5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1
    identity = torch.tensor([0, 6, 3, 3, 1])
    scale, margin = 9.0, 0.35
    total = 0.0
    for row, own in zip(cosines.tolist(), identity.tolist(), strict=True):
        own_power = math.exp(scale * (row[own] - margin))
        others = sum(math.exp(scale * cosine) for person, cosine in enumerate(row) if person != own)
        total -= math.log(own_power / (own_power + others))
    assert float(margin_softmax(cosines, identity, margin=margin, scale=scale)) == pytest.approx(total / 5)


def test_all_pairs_are_compared_once() -> None:
    vectors = torch.nn.functional.normalize(torch.randn(5, 3, generator=torch.Generator().manual_seed(0)))
    cosines, is_same = all_pairs(vectors, torch.tensor([4, 2, 4, 4, 2]))
    expected = [(a, b) for a in range(5) for b in range(a + 1, 5)]
    torch.testing.assert_close(cosines, torch.stack([vectors[a] @ vectors[b] for a, b in expected]))
    assert [pair for pair, same in zip(expected, is_same.tolist(), strict=True) if same] == [
        (0, 2),
        (0, 3),
        (1, 4),
        (2, 3),
    ]


def test_the_catalog_finds_the_recipe() -> None:
    module = recipe_module("identity")
    assert module.columns(module.Config()) == ("image", "identity") == columns(TINY)
    assert isinstance(tiny_recipe(), Recipe)
    with pytest.raises(WrongUsage, match="at least 2 persons, got 1"):
        tiny_recipe(persons=1)
    with pytest.raises(WrongUsage, match=r"margin must be at least 0 and below 1, got 1\.5"):
        Config(margin=1.5)


@pytest.mark.parametrize("count", [2, 4])
def test_workers_learn_what_one_learns(count: int) -> None:
    batches = [faces(8, seed) for seed in range(4)]
    (alone,) = run_with_workers(lambda share: tiny_recipe(share=share), batches, 1)
    for worker in run_with_workers(lambda share: tiny_recipe(share=share), batches, count):
        for name, tensor in tensors_of(alone).items():
            torch.testing.assert_close(tensors_of(worker)[name], tensor, rtol=0, atol=2e-5)


def test_going_on_from_a_state_is_going_on() -> None:
    assert_goes_on_the_same(tiny_recipe, [faces(8, seed) for seed in range(6)], cut=3)


def test_it_learns() -> None:
    recipe = tiny_recipe(Config(**{**vars(TINY), "batch": 32, "learning_rate": 1e-2}))
    held_out = [faces(60, 1000), faces(60, 1001)]
    losses = [float(recipe.step(faces(32, seed))["loss"]) for seed in range(60)]
    after = recipe.evaluate(held_out)
    assert list(after) == ["error", "found_at_1_percent", "same", "different"]
    assert after["error"] < 0.02
    assert after["same"] > after["different"] + 0.3
    assert losses[-1] < losses[2] / 2


def test_evaluation_changes_nothing() -> None:
    recipe = tiny_recipe()
    recipe.step(faces(8))
    before = copy.deepcopy(tensors_of(recipe))
    recipe.evaluate([faces(20)])
    assert recipe.samples(faces(4)).shape[0] == 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in tensors_of(recipe).items())


def test_it_learns_from_photographs_of_others() -> None:
    """Trained on 200 people, it tells apart 100 whom it never saw, better than an untrained network does."""
    person_of = persons()
    counts = Counter(person_of.values())
    people = sorted(person for person, count in counts.items() if count >= 4)[:300]
    names = [name for name, person in person_of.items() if person in set(people)]
    identity = torch.tensor([people.index(person_of[name]) for name in names])
    images, is_known = pictures(names), identity < 200
    config = Config(
        batch=64,
        steps=150,
        warmup=10,
        margin_warmup=50,
        size=32,
        widths=(16, 32, 32),
        embedding_dim=32,
        learning_rate=3e-3,
        scale=12.0,
        margin=0.1,
    )
    recipe = tiny_recipe(config, persons=200)
    others = [{"image": images[~is_known], "identity": identity[~is_known]}]
    before = recipe.evaluate(others)["error"]
    known, random = is_known.nonzero()[:, 0], torch.Generator().manual_seed(0)
    for _ in range(config.steps):
        rows = known[torch.randint(len(known), (config.batch,), generator=random)]
        recipe.step({"image": images[rows], "identity": identity[rows]})
    after = recipe.evaluate(others)["error"]
    assert after < before - 0.03

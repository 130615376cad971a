"""The attribute network: what it is, and that its recipe is the same on any number of workers and after a restart."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from raypipe.backbones.attributes import AttributeNet, AttributeNetConfig, attribute_part, load_attributes
from raypipe.backbones.attributes.recipe import AttributeRecipe, Config, build_recipe, columns
from raypipe.catalog import recipe_module
from raypipe.contract import Columns, DataFacts, Recipe, Share, Site
from raypipe.errors import BadWeights, WrongUsage
from raypipe.weights import Part
from tests.backbones.celeba_pictures import labels, persons, pictures
from tests.backbones.recipe_states import assert_goes_on_the_same, assert_same_state
from tests.share_workers import run_with_workers

NAMES = ("Bright", "Red")
TINY = Config(
    batch=8, steps=100, warmup=2, size=32, widths=(8, 16), grid=2, feature_dim=8, shift=0.05, ema_half_life_images=40.0
)


def faces(count: int, seed: int = 0) -> Columns:
    """Plain pictures; the first label is whether they are bright, the second, rarer, whether red is strongest."""
    random = torch.Generator().manual_seed(seed)
    colours = torch.rand(count, 3, generator=random) * 2 - 1
    images = colours[:, :, None, None] + 0.1 * torch.randn(count, 3, 32, 32, generator=random)
    labels = torch.stack([colours.mean(1) > 0, colours.argmax(1) == 0], 1).float()
    return {"image": images, "labels": labels}


def tiny_recipe(config: Config = TINY, share: Share | None = None, seed: int = 0) -> AttributeRecipe:
    return build_recipe(
        config, Site(data=DataFacts(rows=0, size=32, attributes=NAMES), share=share or Share(), seed=seed)
    )


def tensors_of(recipe: Recipe) -> dict[str, Tensor]:
    return dict(recipe.export()["attributes"].tensors)


def tiny_net() -> AttributeNet:
    torch.manual_seed(0)
    return AttributeNet(AttributeNetConfig(names=NAMES, size=32, widths=(8, 16), grid=2, feature_dim=8)).eval()


def test_a_part_brings_back_the_network() -> None:
    network = tiny_net()
    loaded = load_attributes(attribute_part(network), "cpu")
    images = faces(3)["image"]
    assert loaded.names == NAMES
    torch.testing.assert_close(loaded(images), network(images), rtol=0, atol=0)
    assert loaded.features(images).shape == (3, 8)


def test_logits_are_linear_in_the_features() -> None:
    network, images = tiny_net(), faces(3)["image"]
    expected = network.features(images) @ network.head.weight.T + network.head.bias
    torch.testing.assert_close(network(images), expected)


def test_a_face_counts_alone() -> None:
    network, images = tiny_net(), faces(4)["image"]
    alone = torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(network(images), alone, rtol=0, atol=1e-6)


def test_other_sizes_are_resized_without_aliasing() -> None:
    """Stripes of one pixel, half black and half white, are grey at half the size."""
    network = tiny_net()
    stripes = (torch.arange(64) % 2 * 2.0 - 1).expand(1, 3, 64, 64)
    torch.testing.assert_close(network(stripes), network(torch.zeros(1, 3, 32, 32)), rtol=0, atol=0.05)


@pytest.mark.parametrize("size", [32, 100, 256])
def test_any_size_between_the_limits_works(size: int) -> None:
    network = AttributeNet(AttributeNetConfig(names=NAMES, size=size, widths=(8, 8, 8, 8), feature_dim=8))
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 2)


def test_the_default_network_is_small() -> None:
    with torch.device("meta"):
        network = AttributeNet(AttributeNetConfig(names=tuple(f"attribute {index}" for index in range(40))))
    assert 3e5 < sum(parameter.numel() for parameter in network.parameters()) < 6e5


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"size": 16}, "between 32 and 256"),
        ({"widths": (12,)}, "multiples of 8"),
        ({"depth": 0}, "at least 1, got 0"),
        ({"balance": 2.0}, "balance must be from 0 to 1, got 2"),
        ({"accumulate": 0}, "accumulate must be at least 1"),
    ],
)
def test_settings_that_cannot_be_meant_are_named(settings: dict[str, int], told: str) -> None:
    with pytest.raises(WrongUsage, match=told):
        Config(**settings)  # type: ignore[arg-type]


def test_another_kind_and_another_layout_are_refused() -> None:
    part = attribute_part(tiny_net())
    with pytest.raises(BadWeights, match="'other' is not 'attribute_net'"):
        load_attributes(Part("other", part.config, part.tensors), "cpu")
    with pytest.raises(BadWeights, match="of another shape"):
        load_attributes(Part(part.kind, {**part.config, "feature_dim": 16}, part.tensors), "cpu")


def test_the_catalog_finds_the_recipe() -> None:
    module = recipe_module("attributes")
    assert module.columns(module.Config()) == ("image", "labels") == columns(TINY)
    assert isinstance(tiny_recipe(), Recipe)
    with pytest.raises(WrongUsage, match="the data has none"):
        build_recipe(TINY, Site(data=DataFacts(rows=9, size=32)))
    with pytest.raises(WrongUsage, match="multiple of 3"):
        tiny_recipe(share=Share(0, 3))


@pytest.mark.parametrize("count", [2, 4])
def test_workers_learn_what_one_learns(count: int) -> None:
    batches = [faces(8, seed) for seed in range(4)]
    (alone,) = run_with_workers(lambda share: tiny_recipe(share=share), batches, 1)
    for worker in run_with_workers(lambda share: tiny_recipe(share=share), batches, count):
        for name, tensor in tensors_of(alone).items():
            torch.testing.assert_close(tensors_of(worker)[name], tensor, rtol=0, atol=1e-5)


def test_two_passes_are_one_batch() -> None:
    config = Config(**{**vars(TINY), "accumulate": 2})
    for one, two in zip(*(trained(tiny_recipe(each), 4) for each in (TINY, config)), strict=True):
        torch.testing.assert_close(two, one, rtol=0, atol=1e-5)


def trained(recipe: AttributeRecipe, steps: int) -> list[Tensor]:
    for seed in range(steps):
        recipe.step(faces(8, seed))
    return list(tensors_of(recipe).values())


def test_going_on_from_a_state_is_going_on() -> None:
    assert_goes_on_the_same(tiny_recipe, [faces(8, seed) for seed in range(6)], cut=3)


def test_it_learns() -> None:
    recipe = tiny_recipe(Config(**{**vars(TINY), "batch": 64, "warmup": 5, "learning_rate": 1e-2}))
    held_out = [faces(200, 1000), faces(200, 1001)]
    before = recipe.evaluate(held_out)["error"]
    losses = [float(recipe.step(faces(64, seed))["loss"]) for seed in range(60)]
    after = recipe.evaluate(held_out)
    assert before > 0.3
    assert after["error"] < 0.1
    assert losses[-1] < losses[0] / 2
    assert list(after) == ["error", "accuracy_Bright", "accuracy_Red"]


def test_evaluation_changes_nothing() -> None:
    recipe, untouched = tiny_recipe(), tiny_recipe()
    for each in (recipe, untouched):
        each.step(faces(8))
    recipe.evaluate([faces(20)])
    assert recipe.samples(faces(4)).shape[0] == 0
    assert_same_state(recipe, untouched, 0.0)


def test_balance_gives_both_classes_the_same_weight() -> None:
    """A network that knows nothing says what minimises the loss: one half where balanced, else the share."""

    def said(balance: float) -> float:
        config = Config(**{**vars(TINY), "balance": balance, "learning_rate": 0.05, "weight_decay": 0.0, "shift": 0.0})
        recipe = tiny_recipe(config)
        batch = {"image": torch.zeros(8, 3, 32, 32), "labels": torch.zeros(8, 2)}
        batch["labels"][:2] = 1.0
        for _ in range(100):
            recipe.step(batch)
        network = load_attributes(recipe.export()["attributes"], "cpu")
        return float(network(batch["image"])[0, 0].sigmoid())

    assert said(1.0) == pytest.approx(0.5, abs=0.02)
    assert said(0.0) == pytest.approx(0.25, abs=0.02)


def test_attributes_of_one_class_are_left_out() -> None:
    batch = dict(faces(20))
    batch["labels"] = torch.cat([batch["labels"][:, :1], torch.zeros(20, 1)], 1)
    assert list(tiny_recipe().evaluate([batch])) == ["error", "accuracy_Bright"]
    with pytest.raises(WrongUsage, match="no attribute has faces with and without it"):
        tiny_recipe().evaluate([{**batch, "labels": torch.zeros(20, 2)}])


def test_it_learns_from_photographs() -> None:
    names = list(persons())[:1500]
    attributes = ("Blond_Hair", "Male", "Wearing_Lipstick")
    batch = {"image": pictures(names), "labels": labels(names, attributes)}
    config = Config(
        batch=50, steps=60, warmup=10, size=32, widths=(16, 32, 32), feature_dim=32, learning_rate=3e-3, shift=0.0
    )
    recipe = build_recipe(config, Site(data=DataFacts(rows=1200, size=32, attributes=attributes)))
    for step in range(60):
        rows = slice(step % 24 * 50, step % 24 * 50 + 50)
        recipe.step({name: column[rows] for name, column in batch.items()})
    assert recipe.evaluate([{name: column[1200:] for name, column in batch.items()}])["error"] < 0.3

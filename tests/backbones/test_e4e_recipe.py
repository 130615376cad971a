"""Training e4e on a tiny generator: what it adds to pSp."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from raypipe.backbones.psp import Encoder, load_encoder
from raypipe.backbones.psp.latent_discriminator import CriticConfig, LatentDiscriminator
from raypipe.backbones.psp.losses import delta_length, first_rows
from raypipe.backbones.psp.recipe_e4e import Config, E4eRecipe, build_recipe
from raypipe.backbones.psp.training_config import EncoderShape
from raypipe.contract import Recipe, Share, Site
from raypipe.errors import WrongUsage
from tests.backbones.inversion_models import ROW_HEADS, SHAPE, pictures, site
from tests.backbones.recipe_states import assert_goes_on_the_same, assert_same_state
from tests.share_workers import run_with_workers

CRITIC = CriticConfig(learning_rate=1e-3, r1_every=3, pool_size=6)


def config(**settings: object) -> Config:
    """Small, without the losses that need further networks, two rows at first; settings by name."""
    values = {
        "batch": 8,
        "steps": 10,
        "encoder": SHAPE,
        "perceptual_weight": 0.0,
        "identity_weight": 0.0,
        "freeze_statistics": True,
        "learning_rate": 1e-3,
        "critic": CRITIC,
        "progressive_start": 0,
        "progressive_every": 2,
        **settings,
    }
    return Config(**values)  # type: ignore[arg-type]


def recipe_after(settings: Config, batches: list[Tensor], where: Site | None = None) -> E4eRecipe:
    recipe = build_recipe(settings, where or site())
    for images in batches:
        recipe.step({"image": images})
    return recipe


def encoder_of(recipe: Recipe) -> Encoder:
    return load_encoder(recipe.export()["encoder"], "cpu")


@pytest.mark.parametrize("count", [2, 4])
def test_the_result_does_not_depend_on_the_number_of_workers(count: int) -> None:
    settings = config(generated_share=0.4, ema_half_life_images=8.0)
    batches = [pictures(8, seed=step) for step in range(8)]

    def build(share: Share) -> Recipe:
        return build_recipe(settings, site(share=share))

    alone = recipe_after(settings, batches)
    for recipe in run_with_workers(build, [{"image": images} for images in batches], count):
        assert_same_state(recipe, alone, 1e-4)


def test_accumulated_passes_give_the_same_step() -> None:
    batches = [pictures(8, seed=step) for step in range(3)]
    whole, parts = (recipe_after(config(accumulate=count), batches) for count in (1, 4))
    assert_same_state(whole, parts, 1e-4)


def test_going_on_from_a_state_is_going_on() -> None:
    batches = [{"image": pictures(8, seed=step)} for step in range(9)]
    assert_goes_on_the_same(lambda: build_recipe(config(freeze_statistics=False), site()), batches, cut=5)


def test_rows_join_one_after_the_other() -> None:
    settings = config(progressive_start=20, progressive_every=5)
    assert [settings.rows_at(step, 8) for step in (0, 19, 20, 24, 25, 49, 50, 500)] == [1, 1, 2, 2, 3, 7, 8, 8]
    at_once = config(progressive_start=3, progressive_every=0)
    assert [at_once.rows_at(step, 8) for step in (2, 3)] == [1, 8]


@pytest.mark.parametrize("shape", [SHAPE, ROW_HEADS])
def test_rows_that_are_not_in_use_are_the_first(shape: EncoderShape) -> None:
    """Also in the exported encoder, whenever training ends."""
    images = pictures(4)
    for steps, rows in ((0, 1), (1, 1), (2, 1), (4, 2), (6, 3)):
        settings = config(encoder=shape, progressive_start=2)
        codes = encoder_of(recipe_after(settings, [pictures(8, seed=step) for step in range(steps)]))(images)
        is_own = (codes != codes[:, :1]).any(2).any(0)
        assert is_own.sum() == rows - 1
        assert is_own[1:rows].all()


def test_heads_that_are_not_in_use_have_no_moments() -> None:
    """Else their first steps would be several times too long."""
    recipe = recipe_after(config(encoder=ROW_HEADS), [pictures(8)])
    indices = {name: index for index, (name, _) in enumerate(encoder_of(recipe).named_parameters()) if "styles" in name}
    moved = recipe.state_dict()["training"]["optimiser"]["radam"]["state"].keys()
    assert {int(name.split(".")[2]) for name, index in indices.items() if index in moved} == {0, 1}


def test_short_offsets_are_the_papers_sum() -> None:
    codes = torch.randn(3, 4, 5)
    expected = sum(float((code[row] - code[0]).norm()) for code in codes for row in range(1, 4)) / 3
    assert float(delta_length(codes)) == pytest.approx(expected)
    flat = torch.zeros(2, 4, 5, requires_grad=True)
    delta_length(flat).backward()
    assert flat.grad is not None
    assert torch.equal(flat.grad, torch.zeros(2, 4, 5))
    assert torch.equal(first_rows(codes, 4), codes)
    assert torch.equal(first_rows(codes, 1), codes[:, :1].expand(3, 4, 5))


def test_a_heavier_weight_keeps_offsets_shorter() -> None:
    batches = [pictures(8, seed=step) for step in range(24)]
    lengths = [
        float(delta_length(encoder_of(recipe_after(settings, batches))(pictures(8))))
        for settings in (
            config(delta_weight=weight, progressive_every=0, learning_rate=1e-2, adversarial_weight=0.0)
            for weight in (0.0, 10.0)
        )
    ]
    assert lengths[1] < 0.5 * lengths[0]


def test_the_critics_loss_is_a_mean_over_the_rows_in_use() -> None:
    settings = config(progressive_start=0, progressive_every=1, mirror=False)
    recipe, images = recipe_after(settings, [pictures(8)]), pictures(8, seed=1)
    critic = LatentDiscriminator(16)
    critic.load_state_dict(recipe.state_dict()["critic"]["network"])
    codes = encoder_of(recipe)(images)
    losses = [F.softplus(-critic(codes[:, row])).mean() for row in range(3)]
    number = recipe.step({"image": images})["adversarial"]
    torch.testing.assert_close(number, torch.stack(losses).mean().detach(), rtol=1e-5, atol=0)


def test_reconstructions_come_closer() -> None:
    settings = config(
        steps=50, learning_rate=3e-2, decay_share=0.3, encoder=ROW_HEADS, random_noise=False, progressive_start=10
    )
    recipe, held_out = build_recipe(settings, site()), [{"image": pictures(16, seed=99)}]
    before = recipe.evaluate(held_out)["reconstruction_mse"]
    for step in range(settings.steps):
        numbers = recipe.step({"image": pictures(8, seed=step)})
    assert numbers.keys() >= {"loss", "pixel", "delta", "adversarial", "discriminator"}
    assert recipe.evaluate(held_out)["reconstruction_mse"] < 0.7 * before
    assert recipe.samples({"image": pictures(4)}).shape == (2, 4, 3, 32, 32)
    assert recipe.export()["encoder"].kind == "e4e"


def test_wrong_settings_are_named() -> None:
    with pytest.raises(WrongUsage, match="delta_weight must be at least 0, got -1"):
        config(delta_weight=-1.0)
    with pytest.raises(WrongUsage, match="pool_size must be at least 1, got 0"):
        CriticConfig(pool_size=0)

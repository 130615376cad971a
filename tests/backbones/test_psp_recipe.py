"""Training pSp on a tiny generator: what must not change the result, and that it learns."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from raypipe.backbones.identity import load_identity
from raypipe.backbones.perceptual import load_perceptual
from raypipe.backbones.psp import load_encoder
from raypipe.backbones.psp.recipe import Config, PspRecipe, build_recipe, columns
from raypipe.backbones.psp.training_config import EncoderShape
from raypipe.backbones.stylegan2 import Generator, GeneratorConfig, generator_part
from raypipe.contract import Recipe, Share, Site
from raypipe.errors import WrongUsage
from tests.backbones.inversion_models import LAYERS, ROW_HEADS, SHAPE, STYLE_DIM, pictures, site, tiny_generator
from tests.backbones.recipe_states import assert_goes_on_the_same
from tests.share_workers import run_with_workers

ALL_PARTS = ("generator", "discriminator", "identity")


def config(**settings: object) -> Config:
    """Small, without the losses that need further networks; settings by name."""
    values = {"batch": 8, "steps": 10, "encoder": SHAPE, "perceptual_weight": 0.0, "identity_weight": 0.0, **settings}
    return Config(**values)  # type: ignore[arg-type]


def recipe_after(settings: Config, where: Site, batches: list[Tensor]) -> PspRecipe:
    recipe = build_recipe(settings, where)
    for images in batches:
        recipe.step({"image": images})
    return recipe


def tensors(recipe: Recipe) -> dict[str, Tensor]:
    return dict(recipe.export()["encoder"].tensors)


def greatest_difference(first: Recipe, second: Recipe) -> float:
    theirs = tensors(second)
    return max(float((x.double() - theirs[name].double()).abs().max()) for name, x in tensors(first).items())


@pytest.mark.parametrize("count", [2, 4])
def test_the_result_does_not_depend_on_the_number_of_workers(count: int) -> None:
    settings = config(
        freeze_statistics=True,
        perceptual_weight=0.8,
        average_weight=0.005,
        generated_share=0.4,  # 3 of 8: workers have different numbers of them
        generated_mixing=0.5,
        learning_rate=1e-3,
        ema_half_life_images=8.0,
    )
    assert settings.generated == 3
    batches = [pictures(8, seed=step) for step in range(8)]  # RAdam rectifies, and slow weights follow, from step 6 on

    def build(share: Share) -> Recipe:
        return build_recipe(settings, site("generator", "discriminator", share=share))

    alone = recipe_after(settings, site("generator", "discriminator"), batches)
    together = run_with_workers(build, [{"image": images} for images in batches], count)
    for recipe in together:
        assert greatest_difference(recipe, alone) < 2e-5
    assert greatest_difference(recipe_after(settings, site("generator", "discriminator"), []), alone) > 5e-4


def test_workers_hold_the_same_state_where_statistics_are_their_own() -> None:
    def build(share: Share) -> Recipe:
        return build_recipe(config(learning_rate=1e-3), site(share=share))

    batches = [{"image": pictures(8, seed=step)} for step in range(3)]
    first, second = run_with_workers(build, batches, 2)
    assert greatest_difference(first, second) == 0
    mean = tensors(first)["input_layer.1.running_mean"]
    alone = build(Share())
    for batch in batches:
        alone.step(batch)
    torch.testing.assert_close(mean, tensors(alone)["input_layer.1.running_mean"], rtol=0, atol=1e-3)
    assert mean.abs().max() > 1e-2


@pytest.mark.parametrize("settings", [{"freeze_statistics": True}, {"freeze_statistics": True, "generated_share": 0.4}])
def test_accumulated_passes_give_the_same_step(settings: dict[str, object]) -> None:
    batches = [pictures(8, seed=step) for step in range(2)]
    whole, parts = (
        recipe_after(config(accumulate=count, learning_rate=1e-3, **settings), site(), batches) for count in (1, 4)
    )
    assert greatest_difference(whole, parts) < 2e-5


def test_going_on_from_a_state_is_going_on() -> None:
    settings = config(ema_half_life_images=10.0, generated_share=0.25, accumulate=2, learning_rate=1e-3)
    batches = [{"image": pictures(8, seed=step)} for step in range(9)]
    assert_goes_on_the_same(lambda: build_recipe(settings, site()), batches, cut=5)


def test_numbers_are_detached() -> None:
    for number in build_recipe(config(), site()).step({"image": pictures(8, seed=0)}).values():
        assert number.shape == ()
        assert not number.requires_grad


def test_each_loss_is_its_formula() -> None:
    """One step's numbers against the formulas of the paper, picture by picture, at the weights before the step."""
    settings = config(
        perceptual_weight=0.8,
        identity_weight=0.1,
        average_weight=0.005,
        random_noise=False,
        mirror=False,
        freeze_statistics=True,
        batch=3,
    )
    where = site(*ALL_PARTS)
    recipe = build_recipe(settings, where)
    encoder, generator, images = load_encoder(recipe.export()["encoder"], "cpu"), tiny_generator(), pictures(3)
    identity, perceptual = load_identity(where.parts["identity"], "cpu"), load_perceptual(where.parts, "cpu")
    pixel, perceived, person, distance = [], [], [], []
    for image in images:
        code = encoder(image[None])
        made = generator.synthesis(code)
        pixel.append(F.mse_loss(made[0], image))
        perceived.append(perceptual(made, image[None])[0])
        person.append(1 - F.cosine_similarity(identity.embed(made), identity.embed(image[None]))[0])
        distance.append((code[0] - generator.w_avg).square().sum().sqrt())
    expected = {
        name: torch.stack(losses).mean()
        for name, losses in {"pixel": pixel, "perceptual": perceived, "identity": person, "average": distance}.items()
    }
    expected["loss"] = (
        expected["pixel"] + 0.8 * expected["perceptual"] + 0.1 * expected["identity"] + 0.005 * expected["average"]
    )
    numbers = recipe.step({"image": images})
    assert numbers.keys() == expected.keys()
    for name, number in numbers.items():
        torch.testing.assert_close(number, expected[name].detach(), rtol=1e-4, atol=1e-5)


def test_in_bfloat16_a_step_is_nearly_the_same_and_weights_stay_precise() -> None:
    wanted, made = (
        build_recipe(config(bf16=bf16, perceptual_weight=0.8), site("generator", "discriminator")).step(
            {"image": pictures(8)}
        )
        for bf16 in (False, True)
    )
    assert float(made["loss"]) == pytest.approx(float(wanted["loss"]), rel=0.03)
    assert float(made["loss"]) != float(wanted["loss"])
    trained = tensors(recipe_after(config(bf16=True), site(), [pictures(8)])).values()
    assert {x.dtype for x in trained if x.is_floating_point()} == {torch.float32}


def test_codes_begin_around_the_average() -> None:
    encoder = load_encoder(build_recipe(config(), site()).export()["encoder"], "cpu")
    torch.testing.assert_close(encoder.latent_avg, tiny_generator().w_avg.expand(LAYERS, STYLE_DIM))


@pytest.mark.parametrize("shape", [SHAPE, ROW_HEADS])
def test_reconstructions_come_closer(shape: EncoderShape) -> None:
    settings = config(
        steps=50, learning_rate=3e-2, decay_share=0.3, encoder=shape, perceptual_weight=0.8, random_noise=False
    )
    recipe = build_recipe(settings, site(*ALL_PARTS))
    held_out = [{"image": pictures(16, seed=99)}]
    before = recipe.evaluate(held_out)
    for step in range(settings.steps):
        recipe.step({"image": pictures(8, seed=step)})
    after = recipe.evaluate(held_out)
    assert next(iter(after)) == "reconstruction_mse"
    assert after["reconstruction_mse"] < 0.6 * before["reconstruction_mse"]
    assert after["perceptual"] < before["perceptual"]


def test_known_codes_are_learned_from_generated_pictures_alone() -> None:
    settings = config(
        steps=60, generated_share=1.0, learning_rate=3e-2, decay_share=0.5, pixel_weight=0.0, random_noise=False
    )
    recipe = build_recipe(settings, site())
    nothing = {"image": torch.zeros(8, 3, 32, 32)}
    losses = [float(recipe.step(nothing)["latent"]) for _ in range(settings.steps)]
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])


def test_data_do_not_matter_where_everything_is_generated() -> None:
    settings = config(generated_share=1.0)
    first = recipe_after(settings, site(), [pictures(8, seed=1)])
    second = recipe_after(settings, site(), [torch.zeros(8, 3, 32, 32)])
    assert greatest_difference(first, second) == 0


def test_evaluation_changes_nothing_and_does_not_depend_on_the_batches() -> None:
    settings, batches = (
        config(perceptual_weight=0.8, identity_weight=0.1),
        [pictures(8, seed=step) for step in range(3)],
    )
    plain, watched = (build_recipe(settings, site(*ALL_PARTS)) for _ in range(2))
    held_out = pictures(5, seed=50)
    for images in batches:
        plain.step({"image": images})
        watched.step({"image": images})
        whole = watched.evaluate([{"image": held_out}])
        watched.samples({"image": held_out})
    assert greatest_difference(plain, watched) == 0
    parts = watched.evaluate([{"image": held_out[:2]}, {"image": held_out[2:]}])
    assert list(whole) == ["reconstruction_mse", "perceptual", "identity_similarity"]
    assert parts == pytest.approx(whole, rel=1e-4)


def test_samples_are_the_pictures_and_what_the_exported_encoder_makes_of_them() -> None:
    recipe, images = recipe_after(config(ema_half_life_images=5.0), site(), [pictures(8)]), pictures(4, seed=3)
    samples = recipe.samples({"image": images})
    assert samples.shape == (2, 4, 3, 32, 32)
    assert torch.equal(samples[0], images)
    made = tiny_generator().synthesis(load_encoder(recipe.export()["encoder"], "cpu")(images))
    torch.testing.assert_close(samples[1], made.clamp(-1, 1), rtol=0, atol=1e-5)


def test_larger_pictures_of_the_generator_are_averaged_down() -> None:
    """A generator of 64 px learns from 32 px data: the loss is that of its averaged pictures."""
    torch.manual_seed(2)
    large = Generator(GeneratorConfig(size=64, style_dim=16, z_dim=12, mapping_layers=1, channels=(8,) * 5))
    where = Site(data=site().data, parts={"generator": generator_part(large)})
    recipe = build_recipe(config(batch=2, random_noise=False, mirror=False, freeze_statistics=True), where)
    encoder, images = load_encoder(recipe.export()["encoder"], "cpu"), pictures(2)
    made = large.synthesis(encoder(images)).detach()
    smaller = (made[..., ::2, ::2] + made[..., 1::2, ::2] + made[..., ::2, 1::2] + made[..., 1::2, 1::2]) / 4
    loss = recipe.step({"image": images})["pixel"]
    torch.testing.assert_close(loss, F.mse_loss(smaller, images), rtol=1e-4, atol=0)


def test_the_backbone_may_begin_as_an_identity_network() -> None:
    where = site("generator", "identity")
    recipe = build_recipe(config(start_from_identity=True, encoder=SHAPE), where)
    own, theirs = tensors(recipe), where.parts["identity"].tensors
    for name in ("input_layer.0.weight", "body.3.res_layer.5.fc1.weight", "body.0.res_layer.4.running_var"):
        assert torch.equal(own[name], theirs[name])
    with pytest.raises(WrongUsage, match=r"identity network has the sizes .*the encoder"):
        build_recipe(config(start_from_identity=True, encoder=replace(SHAPE, widths=(8, 8, 8, 16))), where)
    with pytest.raises(WrongUsage, match="needs a part 'identity' of kind 'ir_se50'; parts: generator"):
        build_recipe(config(start_from_identity=True), site())


def test_a_given_encoder_may_go_on() -> None:
    first = build_recipe(config(encoder=SHAPE), site())
    first.step({"image": pictures(8)})
    given = first.export()
    where = replace(site(), parts={**site().parts, **given})
    recipe = build_recipe(config(start_from_encoder=True), where)  # whatever sizes the config has
    before = {name: tensor.clone() for name, tensor in given["encoder"].tensors.items()}
    assert all(torch.equal(tensor, before[name]) for name, tensor in tensors(recipe).items())
    recipe.step({"image": pictures(8)})
    assert any(not torch.equal(tensor, before[name]) for name, tensor in tensors(recipe).items())
    assert all(torch.equal(tensor, before[name]) for name, tensor in given["encoder"].tensors.items())
    with pytest.raises(WrongUsage, match=r"part 'encoder' of kind 'psp'; parts: generator \(stylegan2\)"):
        build_recipe(config(start_from_encoder=True), site())
    with pytest.raises(
        WrongUsage, match=r"has \(size, rows, width\) \(32, 8, 16\), and the generator needs \(16, 8, 16\)"
    ):
        build_recipe(config(start_from_encoder=True), replace(where, data=replace(where.data, size=16)))
    with pytest.raises(WrongUsage, match="exclude each other"):
        config(start_from_encoder=True, start_from_identity=True)


def test_what_is_missing_or_does_not_fit_is_named() -> None:
    assert columns(config()) == ("image",)
    with pytest.raises(WrongUsage, match=r"part 'generator' is needed; parts: identity"):
        build_recipe(config(), site("identity"))
    with pytest.raises(WrongUsage, match=r"perceptual_weight=0"):
        build_recipe(config(perceptual_weight=0.8), site())
    with pytest.raises(WrongUsage, match=r"identity_weight=0"):
        build_recipe(config(identity_weight=0.1), site())
    with pytest.raises(WrongUsage, match=r"at most the generator's 32 px, got 64"):
        build_recipe(config(), site("generator", size=64))
    with pytest.raises(WrongUsage, match="a batch of 8 cannot be shared by 3 workers x 2 passes: give a multiple of 6"):
        build_recipe(config(accumulate=2), site("generator", share=Share(0, 3)))
    with pytest.raises(WrongUsage, match=r"(?s)batch must be at least 1.*generated_share must be from 0 to 1"):
        config(batch=0, generated_share=1.5)


def test_the_learning_rate_follows_from_the_step() -> None:
    settings = config(steps=100, learning_rate=1.0, decay_share=0.5)
    assert [settings.learning_rate_at(step) for step in (0, 50, 75, 100, 200)] == pytest.approx([1, 1, 0.5, 0, 0])
    assert config(steps=100, learning_rate=1.0).learning_rate_at(200) == 1

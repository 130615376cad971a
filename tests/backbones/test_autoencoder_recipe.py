"""Training a generator and an encoder together: the same on any number of workers and after a restart; it learns."""

from __future__ import annotations

import dataclasses
import io

import pytest
import torch
from torch import Tensor

from raypipe.backbones.psp import Encoder, encoder_part, load_encoder
from raypipe.backbones.psp.recipe_autoencoder import AutoencoderRecipe, Config, build_recipe, columns
from raypipe.backbones.stylegan2 import load_discriminator, load_generator
from raypipe.backbones.stylegan2.losses import generator_loss
from raypipe.contract import Columns, DataFacts, Share, Site
from raypipe.errors import WrongUsage
from raypipe.weights import Part
from tests.backbones.inversion_models import LAYERS, SHAPE, SIZE, STYLE_DIM, pictures, tiny_parts
from tests.backbones.recipe_states import assert_same_state, differing
from tests.share_workers import run_with_workers

TINY = Config(batch=8, steps=10, stddev_group=2, d_reg_interval=2, ema_half_life_images=20, fid_images=12)


def tiny_encoder() -> Part:
    with torch.random.fork_rng():
        torch.manual_seed(13)
        return encoder_part(Encoder("e4e", SHAPE.config(input_size=SIZE, num_layers=LAYERS, style_dim=STYLE_DIM)))


def a_site(*names: str, share: Share | None = None, size: int = SIZE) -> Site:
    """With generator and encoder, and further parts by name."""
    parts = {**tiny_parts("generator", *names), "encoder": tiny_encoder()}
    return Site(data=DataFacts(rows=100, size=size), parts=parts, share=share or Share(), seed=7)


def batches(count: int) -> list[Columns]:
    random = torch.Generator().manual_seed(5)
    return [{"image": torch.rand(TINY.batch, 3, SIZE, SIZE, generator=random) * 2 - 1} for _ in range(count)]


def recipe_after(steps: int, settings: Config = TINY, *names: str) -> AutoencoderRecipe:
    recipe = build_recipe(settings, a_site(*names))
    for batch in batches(steps):
        recipe.step(batch)
    return recipe


def build_in_double(settings: Config, site: Site, share: Share) -> AutoencoderRecipe:
    """In double precision: Adam without momentum turns rounding of a gradient near zero into a whole step."""
    recipe = build_recipe(settings, dataclasses.replace(site, share=share))
    for network in (recipe.autoencoder.network, recipe.discriminator.network, recipe.average):
        network.double()
    return recipe


@pytest.mark.parametrize("workers", [2, 4])
def test_workers_do_not_matter(workers: int, request: pytest.FixtureRequest) -> None:
    settings = dataclasses.replace(TINY, stddev_group=1 if workers == 4 else 2)
    site = a_site()  # its networks are made in the usual precision
    request.getfixturevalue("double_precision")
    (alone,) = run_with_workers(lambda share: build_in_double(settings, site, share), batches(4), 1)
    for recipe in run_with_workers(lambda share: build_in_double(settings, site, share), batches(4), workers):
        assert_same_state(recipe, alone, 1e-7)


def test_going_on_from_a_state_is_going_on() -> None:
    unbroken, restarted = recipe_after(3), build_recipe(TINY, a_site())
    stored = io.BytesIO()
    torch.save(unbroken.state_dict(), stored)
    stored.seek(0)
    restarted.load_state_dict(torch.load(stored, weights_only=True))
    for batch in batches(6)[3:]:
        numbers, again = unbroken.step(batch), restarted.step(batch)
        assert {name: float(value) for name, value in numbers.items()} == {
            name: float(value) for name, value in again.items()
        }
    assert_same_state(restarted, unbroken, 0.0)


def test_all_three_networks_learn_and_the_site_keeps_its_own() -> None:
    site = a_site("discriminator")
    before = {name: {key: tensor.clone() for key, tensor in part.tensors.items()} for name, part in site.parts.items()}
    recipe = build_recipe(TINY, site)
    for batch in batches(2):
        recipe.step(batch)
    for name, part in recipe.export().items():
        assert differing(part, site.parts[name]), name
        assert all(torch.equal(tensor, before[name][key]) for key, tensor in site.parts[name].tensors.items())


def test_reconstructions_come_nearer_where_only_they_count() -> None:
    """A weight that drowns the discriminator's opinion."""
    settings = dataclasses.replace(
        TINY, pixel_weight=1e4, learning_rate=3e-3, ema_half_life_images=1.0, decay_share=0.0
    )
    recipe = build_recipe(settings, a_site())
    (batch,) = batches(1)
    before = recipe.evaluate([batch])["reconstruction_mse"]
    for _ in range(30):
        recipe.step(batch)
    assert recipe.evaluate([batch])["reconstruction_mse"] < 0.75 * before


def test_the_numbers_are_those_of_the_networks_before_the_step() -> None:
    """Written out: the first half of the batch reconstructed, and the discriminator's opinion of all that is made."""
    site = a_site("discriminator")
    (batch,) = batches(1)
    settings = dataclasses.replace(TINY, discriminator_learning_rate=1e-30, r1_gamma=0.0)  # it stays as it is
    numbers = build_recipe(settings, site).step(batch)
    generator, encoder = load_generator(site.parts["generator"], "cpu"), load_encoder(site.parts["encoder"], "cpu")
    shown = batch["image"][:4]
    wanted = (generator.synthesis(encoder(shown)) - shown).square().mean()
    torch.testing.assert_close(numbers["pixel"], wanted)
    judge = load_discriminator(site.parts["discriminator"], "cpu")
    made = generator.synthesis(encoder(shown))
    of_reconstructions = generator_loss(judge(made))
    assert float(numbers["g_loss"]) != float(of_reconstructions)  # pictures of random w count as well
    assert all(number.ndim == 0 and not number.requires_grad for number in numbers.values())


def test_at_first_the_discriminator_learns_alone() -> None:
    settings = dataclasses.replace(TINY, generator_from_step=2)
    first, later = recipe_after(2, settings), recipe_after(3, settings)
    unchanged = a_site().parts
    for name in ("generator", "encoder"):
        assert not differing(first.export()[name], unchanged[name])
        assert differing(later.export()[name], unchanged[name])
    fresh = build_recipe(settings, a_site()).export()["discriminator"]
    assert differing(first.export()["discriminator"], fresh)


def test_in_bfloat16_a_step_is_nearly_the_same_and_weights_stay_precise() -> None:
    (batch,) = batches(1)
    precise, rough = (build_recipe(dataclasses.replace(TINY, bf16=bf16), a_site()) for bf16 in (False, True))
    wanted, made = precise.step(batch), rough.step(batch)
    for name, value in wanted.items():
        assert float(made[name]) == pytest.approx(float(value), rel=0.05)
        assert float(made[name]) != float(value)
    assert {x.dtype for x in rough.export()["generator"].tensors.values()} == {torch.float32}


def test_samples_are_pictures_reconstructions_and_random_faces() -> None:
    recipe = recipe_after(1)
    images = pictures(3, seed=9)
    rows: Tensor = recipe.samples({"image": images})
    assert rows.shape == (3, 3, 3, SIZE, SIZE)
    torch.testing.assert_close(rows[0], images)
    torch.testing.assert_close(rows[1], recipe.average.reconstructions(images).clamp(-1, 1))
    other = recipe.samples({"image": pictures(3, seed=10)})
    torch.testing.assert_close(rows[2], other[2])
    assert not torch.equal(rows[1], other[1])


def test_evaluation_reads_no_more_than_it_asks_for_and_changes_nothing() -> None:
    recipe, untouched = recipe_after(1), recipe_after(1)
    first, second = {"image": pictures(12, seed=3)}, {"image": pictures(5, seed=4)}
    numbers = recipe.evaluate(iter([first, second]))
    assert list(numbers) == ["reconstruction_mse", "fd_pixels8"]
    made = recipe.average.reconstructions(first["image"]).clamp(-1, 1)
    assert numbers["reconstruction_mse"] == pytest.approx(float((made - first["image"]).square().mean()), rel=1e-5)
    assert_same_state(recipe, untouched, 0.0)


def test_what_cannot_be_is_refused() -> None:
    assert columns(TINY) == ("image",)
    with pytest.raises(WrongUsage, match="a part 'encoder'"):
        build_recipe(TINY, Site(data=DataFacts(rows=100, size=SIZE), parts=tiny_parts("generator")))
    with pytest.raises(WrongUsage, match="a part 'generator'"):
        build_recipe(TINY, Site(data=DataFacts(rows=100, size=SIZE), parts={"encoder": tiny_encoder()}))
    with pytest.raises(WrongUsage, match="the generator needs"):
        build_recipe(TINY, a_site(size=16))
    with pytest.raises(WrongUsage, match="a batch of 8 cannot be shared by 3 workers"):
        build_recipe(TINY, a_site(share=Share(0, 3)))
    with pytest.raises(WrongUsage, match="decay_share must be at most 1, got 2\nlearning_rate must be above 0, got 0"):
        Config(decay_share=2, learning_rate=0)
    with pytest.raises(WrongUsage, match="batch must be at least 1, got 0"):
        Config(batch=0)
    with pytest.raises(WrongUsage, match="r1_gamma must be at least 0, got -1"):
        Config(r1_gamma=-1)

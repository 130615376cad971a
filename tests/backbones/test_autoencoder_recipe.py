"""Training a generator and an encoder together: the same on any number of workers and after a restart; it learns."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import Tensor, nn

from raypipe.backbones.psp import Encoder, encoder_part, load_encoder
from raypipe.backbones.psp.recipe_autoencoder import AutoencoderRecipe, Config, build_recipe, columns
from raypipe.backbones.stylegan2 import Discriminator, load_discriminator, load_generator
from raypipe.backbones.stylegan2.losses import discriminator_loss, generator_loss, r1_penalties
from raypipe.backbones.stylegan2.players import SECOND_BETA, Player
from raypipe.blocks.randomness import Draws
from raypipe.contract import Columns, DataFacts, Share, Site
from raypipe.errors import WrongUsage
from raypipe.weights import Part
from tests.backbones.inversion_models import LAYERS, SHAPE, SIZE, STYLE_DIM, pictures, tiny_parts
from tests.backbones.recipe_states import assert_goes_on_the_same, assert_same_state, differing
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
    assert_goes_on_the_same(lambda: build_recipe(TINY, a_site()), batches(6), cut=3)


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


def test_a_step_written_out() -> None:
    """The first half of the batch reconstructed, as many pictures of random w, and one opinion of all of them."""
    site = a_site("discriminator")
    (batch,) = batches(1)
    settings = dataclasses.replace(TINY, discriminator_learning_rate=1e-30, r1_gamma=0.0)  # it stays as it is
    recipe = build_recipe(settings, site)
    numbers = recipe.step(batch)
    generator, encoder = load_generator(site.parts["generator"], "cpu"), load_encoder(site.parts["encoder"], "cpu")
    judge = load_discriminator(site.parts["discriminator"], "cpu")
    draws, shown = Draws(site.seed, 0, Share(), site.device), batch["image"][:4]
    w_of_each_player = [generator.mapping(draws.normal(4, generator.config.z_dim)) for _ in range(2)]
    reconstructions = generator.synthesis(encoder(shown))
    fakes = [torch.cat([reconstructions, generator.synthesis(generator.broadcast(w))]) for w in w_of_each_player]
    wanted = {
        "d_loss": discriminator_loss(judge(batch["image"]), judge(fakes[0])),
        "g_loss": generator_loss(judge(fakes[1])),
        "pixel": (reconstructions - shown).square().mean(),
    }
    for name, value in wanted.items():
        assert float(numbers[name]) == pytest.approx(float(value), rel=1e-5), name
    w_avg = generator.w_avg.lerp(w_of_each_player[1].mean(0), 1 - settings.w_avg_beta)
    torch.testing.assert_close(recipe.average.generator.w_avg, w_avg)
    assert all(number.ndim == 0 and not number.requires_grad for number in numbers.values())


def test_r1_is_lazy_and_weighs_half_of_gamma_times_its_interval() -> None:
    first, second = batches(2)
    with_r1, without = (
        build_recipe(dataclasses.replace(TINY, r1_gamma=gamma), a_site("discriminator")) for gamma in (10.0, 0.0)
    )
    without.step(first)
    judge = without.discriminator.network  # as it is before R1's step, which takes no gradient here
    seen = first["image"].clone().requires_grad_()
    weight = next(judge.parameters()).requires_grad_()
    (slope,) = torch.autograd.grad(r1_penalties(judge(seen), seen).mean(), weight)
    assert with_r1.step(first).keys() - with_r1.step(second).keys() == {"r1"}
    again = build_recipe(dataclasses.replace(TINY, r1_gamma=10.0), a_site("discriminator"))
    again.step(first)
    beta = SECOND_BETA ** (TINY.d_reg_interval / (TINY.d_reg_interval + 1))
    of_r1 = [squares_of(recipe.discriminator) for recipe in (again, without)]
    wanted = (1 - beta) * (0.5 * 10.0 * TINY.d_reg_interval * slope).square()
    torch.testing.assert_close(of_r1[0] - of_r1[1], wanted, rtol=1e-3, atol=1e-9)


def squares_of(player: Player[Discriminator]) -> Tensor:
    """Adam's running mean of the squared gradients of the first weight."""
    squares: Tensor = player.optimiser.state[next(player.network.parameters())]["exp_avg_sq"]
    return squares


def test_both_learning_rates_fall_to_zero_at_the_end() -> None:
    recipe = recipe_after(4, dataclasses.replace(TINY, steps=4, decay_share=1.0))
    networks: list[nn.Module] = [recipe.autoencoder.network, recipe.discriminator.network]
    before = copy.deepcopy(networks)
    recipe.step(batches(1)[0])
    for old, network in zip(before, networks, strict=True):
        for kept, now in zip(old.parameters(), network.parameters(), strict=True):
            assert torch.equal(kept, now)


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
    with pytest.raises(WrongUsage, match=r"decay_share must be from 0 to 1, got 2\nlearning_rate must be above 0"):
        Config(decay_share=2, learning_rate=0)
    with pytest.raises(WrongUsage, match="batch must be at least 1, got 0"):
        Config(batch=0)
    with pytest.raises(WrongUsage, match="r1_gamma must be at least 0, got -1"):
        Config(r1_gamma=-1)

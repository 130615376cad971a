"""Training StyleGAN2: the same on any number of workers, with accumulation and after a restart; and it learns."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch

from raypipe.backbones.attributes.network import AttributeNet, AttributeNetConfig
from raypipe.backbones.attributes.parts import attribute_part
from raypipe.backbones.stylegan2 import load_discriminator, load_generator
from raypipe.backbones.stylegan2.recipe import Config, StyleGAN2Recipe, build_recipe, columns
from raypipe.contract import Columns, DataFacts, Share, Site
from raypipe.errors import WrongUsage
from tests.backbones.recipe_states import assert_goes_on_the_same, assert_same_state, differing
from tests.share_workers import run_with_workers

TINY = Config(
    batch=8,
    style_dim=8,
    mapping_layers=2,
    channels=(8, 6),
    stddev_group=2,
    d_reg_interval=2,
    g_reg_interval=2,
    augment_interval=1,
    augment_target=-1.0,
    augment_length_images=32.0,
    fid_images=20,
    conditional=True,
)
FACTS = DataFacts(rows=64, size=8, attributes=("smile", "hat"))


def batches(count: int, rows: int = TINY.batch) -> list[Columns]:
    random = torch.Generator().manual_seed(5)
    return [
        {
            "image": torch.rand(rows, 3, 8, 8, generator=random) * 2 - 1,
            "labels": (torch.rand(rows, 2, generator=random) < 0.5).to(torch.get_default_dtype()),
        }
        for _ in range(count)
    ]


def build(config: Config = TINY, share: Share | None = None) -> StyleGAN2Recipe:
    return build_recipe(config, Site(data=FACTS, share=share or Share()))


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("workers", [2, 4])
def test_workers_do_not_matter(workers: int) -> None:
    (alone,) = run_with_workers(lambda share: build(share=share), batches(4), 1)
    together = run_with_workers(lambda share: build(share=share), batches(4), workers)
    assert alone.state_dict()["augment_p"] > 0.5  # so augmentation took part
    for recipe in together:
        assert_same_state(recipe, alone, 1e-7)


@pytest.mark.usefixtures("double_precision")
def test_accumulated_passes_do_not_matter() -> None:
    whole, in_passes = build(), build(dataclasses.replace(TINY, accumulate=2))
    for batch in batches(4):
        whole.step(batch)
        in_passes.step(batch)
    assert_same_state(in_passes, whole, 1e-7)


def test_going_on_from_a_state_is_going_on() -> None:
    assert_goes_on_the_same(build, batches(6), cut=3)


def test_numbers_are_detached_and_regularisers_lazy() -> None:
    recipe = build()
    first, second = (recipe.step(batch) for batch in batches(2))
    assert {"r1", "path_length", "path_penalty"} == first.keys() - second.keys()
    assert all(number.ndim == 0 and not number.requires_grad for number in first.values())


def test_in_bfloat16_a_step_is_nearly_the_same_and_weights_stay_precise() -> None:
    precise, rough = (build(dataclasses.replace(TINY, augment=False, bf16=bf16)) for bf16 in (False, True))
    (batch,) = batches(1)
    wanted, made = precise.step(batch), rough.step(batch)
    for name in ("d_loss", "g_loss", "r1", "path_length"):
        assert float(made[name]) == pytest.approx(float(wanted[name]), rel=0.03)
        assert float(made[name]) != float(wanted[name])
    assert {x.dtype for x in rough.export()["generator"].tensors.values()} == {torch.float32}


def test_the_learning_rate_falls_to_zero_at_the_end() -> None:
    settings = dataclasses.replace(TINY, steps=4, decay_share=0.5, learning_rate=1.0)
    assert [settings.learning_rate_at(step) for step in range(6)] == pytest.approx([1, 1, 1, 0.5, 0, 0])
    recipe = build(dataclasses.replace(settings, learning_rate=0.01))
    for batch in batches(4):
        recipe.step(batch)
    assert differing(build().export()["generator"], recipe.export()["generator"])
    end = copy.deepcopy(recipe.state_dict())
    recipe.step(*batches(1))
    for player in ("generator", "discriminator"):
        before, after = end[player]["network"], recipe.state_dict()[player]["network"]
        assert [name for name in after if name != "w_avg" and not torch.equal(after[name], before[name])] == []


def test_looking_changes_nothing() -> None:
    looked, alone = build(), build()
    for batch in batches(2):
        for recipe in (looked, alone):
            recipe.step(batch)
        assert looked.evaluate([batch]) == looked.evaluate([batch])
        looked.samples(batch)
        looked.export()
    assert_same_state(looked, alone, 0.0)


def test_without_augmentation_p_stays_zero() -> None:
    recipe = build(dataclasses.replace(TINY, augment=False))
    assert "augment_p" not in recipe.step(batches(1)[0])
    assert recipe.state_dict()["augment_p"] == 0.0


def test_p_falls_where_the_discriminator_does_not_overfit() -> None:
    recipe = build(dataclasses.replace(TINY, augment_target=2.0))
    recipe.load_state_dict({**recipe.state_dict(), "augment_p": 1.0})
    assert float(recipe.step(batches(1)[0])["augment_p"]) == pytest.approx(1 - 8 / 32)


def test_w_avg_follows_the_mean_w() -> None:
    recipe = build(dataclasses.replace(TINY, w_avg_beta=0.0, learning_rate=1e-9, batch=256, mixing=0.0))
    recipe.step(batches(1, rows=256)[0])
    part = recipe.export()["generator"]
    generator = load_generator(part, "cpu")
    labels = (torch.rand(4096, 2) < 0.5).float()
    w = generator.mapping(torch.randn(4096, 8), labels)
    spread = w.std(0) * (1 / 256**0.5)
    assert bool(((part.tensors["w_avg"] - w.mean(0)).abs() < 6 * spread).all())


def test_a_warm_start_begins_with_the_given_networks() -> None:
    trained = build()
    trained.step(batches(1)[0])
    parts = trained.export()
    warm = dataclasses.replace(TINY, warm_start=True, channels=())
    begun = build_recipe(warm, Site(data=FACTS, parts=parts, seed=7)).export()
    assert not any(differing(begun[name], part) for name, part in parts.items())
    with pytest.raises(WrongUsage, match="a warm start needs a model with a generator"):
        build(warm)
    with pytest.raises(WrongUsage, match=r"has \(size, labels\) \(8, 2\), and the data ask for \(16, 2\)"):
        build_recipe(warm, Site(data=dataclasses.replace(FACTS, size=16), parts=parts))


def test_the_discriminator_may_begin_alone() -> None:
    recipe = build(dataclasses.replace(TINY, generator_from_step=2))
    begun = copy.deepcopy(recipe.export())
    for batch in batches(2):
        recipe.step(batch)
    alone = recipe.export()
    assert not differing(alone["generator"], begun["generator"])
    assert differing(alone["discriminator"], begun["discriminator"])
    recipe.step(batches(3)[2])
    assert differing(recipe.export()["generator"], begun["generator"])


def test_path_lengths_of_a_trained_generator_are_measured_before_they_are_held() -> None:
    parts = build().export()
    warm = dataclasses.replace(TINY, warm_start=True, channels=())
    (batch,) = batches(1)
    ends = []
    for weight in (1e-6, 1e6):
        recipe = build_recipe(dataclasses.replace(warm, path_length_weight=weight), Site(data=FACTS, parts=parts))
        length = recipe.step(batch)["path_length"]
        assert recipe.state_dict()["mean_length"] == length > 0
        ends.append(recipe.export()["generator"])
    assert not differing(*ends)


def test_exported_parts_are_the_networks() -> None:
    recipe = build()
    (batch,) = batches(1)
    recipe.step(batch)
    parts = recipe.export()
    z = torch.randn(8, 8)
    images = load_generator(parts["generator"], "cpu")(z, batch["labels"])
    torch.testing.assert_close(images, recipe.average(z, batch["labels"]))
    assert load_discriminator(parts["discriminator"], "cpu")(images, batch["labels"]).shape == (8, 1)


def test_samples_have_a_row_for_each_held_out_face() -> None:
    (batch,) = batches(1)
    assert build().samples(batch).shape == (8, 6, 3, 8, 8)
    plain = build(dataclasses.replace(TINY, conditional=False))
    assert plain.samples({"image": batch["image"]}).shape == (6, 6, 3, 8, 8)


def test_the_distance_is_of_the_features_at_hand() -> None:
    torch.manual_seed(0)
    network = AttributeNet(AttributeNetConfig(names=FACTS.attributes, size=32, widths=(8,), feature_dim=4))
    site = Site(data=FACTS, parts={"attributes": attribute_part(network)})
    held_out = batches(3)
    assert list(build_recipe(TINY, site).evaluate(held_out)) == ["fid_attributes"]
    assert list(build().evaluate(held_out)) == ["fd_pixels8"]
    with pytest.raises(WrongUsage, match="at least 2 held-out faces"):
        build().evaluate([])


def test_it_learns_flat_colours_and_what_the_label_says() -> None:
    """Pictures of one random colour each; with the label it is redder by 0.8."""
    random = torch.Generator().manual_seed(0)

    def flat_pictures(rows: int) -> Columns:
        labels = (torch.rand(rows, 1, generator=random) < 0.5).float()
        colours = torch.rand(rows, 3, generator=random) * 0.8 - 0.4
        colours[:, :1] += 0.8 * labels - 0.4
        return {"image": colours[:, :, None, None].expand(-1, -1, 8, 8).contiguous(), "labels": labels}

    config = Config(
        batch=16,
        style_dim=16,
        mapping_layers=2,
        channels=(16, 16),
        learning_rate=0.005,
        r1_gamma=0.3,
        conditional=True,
        fid_images=64,
    )
    recipe = build_recipe(config, Site(data=DataFacts(rows=0, size=8, attributes=("red",))))
    held_out = flat_pictures(200)
    before = recipe.evaluate([held_out])["fd_pixels8"]
    for _ in range(100):
        recipe.step(flat_pictures(16))
    assert recipe.evaluate([held_out])["fd_pixels8"] < before / 3
    z = torch.randn(64, 16, generator=random)
    with_label, without = (recipe.average(z, torch.full((64, 1), told)).mean((0, 2, 3)) for told in (1.0, 0.0))
    red, green, blue = (with_label - without).tolist()
    assert red > 0.4
    assert max(abs(green), abs(blue)) < 0.2


def test_batches_that_do_not_divide_are_refused() -> None:
    with pytest.raises(WrongUsage, match="multiple of 16"):
        build(dataclasses.replace(TINY, accumulate=8))
    with pytest.raises(WrongUsage, match="path_batch_shrink"):
        build(dataclasses.replace(TINY, path_batch_shrink=3))


def test_settings_that_cannot_be_are_all_told() -> None:
    with pytest.raises(WrongUsage, match=r"batch must be at least 1.*\n.*learning_rate.*\n.*mixing"):
        Config(batch=0, learning_rate=0.0, mixing=1.5)


def test_labels_are_needed_where_conditional() -> None:
    assert columns(Config()) == ("image",)
    assert columns(TINY) == ("image", "labels")
    with pytest.raises(WrongUsage, match="the data has none"):
        build_recipe(TINY, Site(data=DataFacts(rows=4, size=8)))

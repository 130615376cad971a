"""Training StarGAN v2: its losses are the published ones; the same on any number of workers and after a restart."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.nn import functional as F

from raypipe.backbones import stargan2
from raypipe.backbones.attributes import AttributeNet, AttributeNetConfig, attribute_part
from raypipe.backbones.stargan2 import Drawer
from raypipe.backbones.stargan2.losses import Networks, Task, discriminator_losses, generator_losses
from raypipe.backbones.stargan2.recipe import Config, StarGAN2Recipe, build_recipe
from raypipe.contract import Columns, DataFacts, Share, Site
from raypipe.errors import WrongUsage
from raypipe.weights import Part
from tests.backbones.recipe_states import assert_goes_on_the_same, assert_same_state, differing
from tests.backbones.stargan2_landmarks import tiny_landmarks
from tests.share_workers import run_with_workers
from tests.shared_files import oracle

TINY = Config(batch=12, style_dim=4, first_width=4, max_width=6, latent_dim=3, hidden=8, crop=0.7, shift=0.1)
FACTS = DataFacts(rows=64, size=32, attributes=("Male", "Smiling"))


def batches(count: int) -> list[Columns]:
    random = torch.Generator().manual_seed(5)
    return [
        {
            "image": torch.rand(TINY.batch, 3, 32, 32, generator=random) * 2 - 1,
            "labels": (torch.rand(TINY.batch, 2, generator=random) < 0.5).to(torch.get_default_dtype()),
        }
        for _ in range(count)
    ]


def attributes_part() -> dict[str, Part]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = AttributeNet(AttributeNetConfig(names=FACTS.attributes, size=32, widths=(8,), feature_dim=4))
    return {"attributes": attribute_part(network)}


def build(config: Config = TINY, share: Share | None = None, parts: dict[str, Part] | None = None) -> StarGAN2Recipe:
    return build_recipe(config, Site(data=FACTS, parts=parts or {}, share=share or Share()))


def test_losses_by_references_agree() -> None:
    stored, drawn, judged = (
        torch.load(oracle(f"stargan_l2m/{name}.pt"), weights_only=True)
        for name in ("sg2_losses_s64", "sg2_generator_s64_hpf0", "sg2_styleenc_disc_s64")
    )
    sizes = {"size": 64, "max_width": 64}
    generator = stargan2.Generator(stargan2.GeneratorConfig(**sizes, style_dim=16))
    encoder = stargan2.StyleEncoder(stargan2.StyleEncoderConfig(**sizes, style_dim=16, domains=3))
    discriminator = stargan2.Discriminator(stargan2.DiscriminatorConfig(**sizes, domains=3))
    generator.load_state_dict(drawn["state_dict"])
    encoder.load_state_dict(judged["style_encoder"])
    discriminator.load_state_dict(judged["discriminator"])
    networks = Networks(Drawer(generator, None), encoder, discriminator)
    source, target = stored["y_org"], stored["y_trg"]
    with torch.no_grad():
        styles, others = (stargan2.of_domain(encoder(stored[name]), target) for name in ("x_ref", "x_ref2"))
    task = Task(stored["x_real"], styles, source, target)
    of_discriminator = discriminator_losses(networks, task, r1=True)
    wanted = stored["losses"]["d_ref"]
    assert float(of_discriminator["d_loss"].detach()) == pytest.approx(wanted["real"] + wanted["fake"], rel=1e-4)
    assert float(of_discriminator["r1"].detach()) / 2 == pytest.approx(wanted["reg"], rel=1e-3)
    with torch.no_grad():
        of_generator, _ = generator_losses(networks, task, others, torch.ones(3))
    wanted = stored["losses"]["g_ref"]
    for ours, theirs in (("adversarial", "adv"), ("style", "sty"), ("diversity", "ds"), ("cycle", "cyc")):
        assert float(of_generator[ours]) == pytest.approx(wanted[theirs], rel=1e-4), theirs


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("workers", [2, 4])
def test_workers_do_not_matter(workers: int) -> None:
    (alone,) = run_with_workers(lambda share: build(share=share), batches(2), 1)
    for recipe in run_with_workers(lambda share: build(share=share), batches(2), workers):
        assert_same_state(recipe, alone, 1e-7)


def test_going_on_from_a_state_is_going_on() -> None:
    assert_goes_on_the_same(build, batches(3), cut=1)


def test_every_network_learns() -> None:
    recipe = build(dataclasses.replace(TINY, weight_decay=0.0))
    begun = {name: {key: x.clone() for key, x in part.tensors.items()} for name, part in recipe.export().items()}
    told = recipe.step(batches(1)[0])
    for name, part in recipe.export().items():
        assert any(not torch.equal(x, begun[name][key]) for key, x in part.tensors.items()), name
    assert {"d_loss", "r1", "adversarial", "style", "diversity", "cycle"} <= told.keys()
    assert {f"reference_{name}" for name in ("d_loss", "r1", "adversarial", "cycle")} <= told.keys()
    assert all(number.ndim == 0 and not number.requires_grad for number in told.values())


def test_diversity_fades() -> None:
    config = dataclasses.replace(TINY, diversity_weight=2.0, diversity_steps=4)
    assert [config.diversity_weight_at(step) for step in range(6)] == [2.0, 1.5, 1.0, 0.5, 0.0, 0.0]


def test_the_perceptual_loss_of_the_ablation() -> None:
    told = build(dataclasses.replace(TINY, perceptual_weight=2.0), parts=attributes_part()).step(batches(1)[0])
    assert told["perceptual"] > 0
    with pytest.raises(WrongUsage, match="or set perceptual_weight=0"):
        build(dataclasses.replace(TINY, perceptual_weight=2.0))


def test_at_the_beginning_the_discriminator_alone_learns_to_tell_domains_apart() -> None:
    recipe, twin = build(dataclasses.replace(TINY, discriminator_steps=1, mirror=False, crop=0.0, shift=0.0)), build()
    (batch,) = batches(1)
    told = recipe.step(batch)
    assert set(told) == {"d_loss", "mismatch"}
    discriminator = stargan2.load_discriminator(twin.export()["stargan2_discriminator"], "cpu")
    domains = stargan2.Domains(FACTS.attributes).of_values(batch["labels"])
    logits, is_own = discriminator(batch["image"]), F.one_hot(domains, 4).bool()
    torch.testing.assert_close(told["d_loss"], F.softplus(-logits[is_own]).mean())
    torch.testing.assert_close(told["mismatch"], F.softplus(logits[~is_own]).mean())
    now, before = recipe.export(), twin.export()
    assert {name for name in now if differing(now[name], before[name])} == {"stargan2_discriminator"}
    assert {"cycle", "reference_r1"} <= recipe.step(batch).keys()


def test_faces_of_other_domains_are_called_fake_and_faces_in_their_own_style_are_themselves() -> None:
    plain = build(dataclasses.replace(TINY, mirror=False, crop=0.0, shift=0.0))
    changed = build(
        dataclasses.replace(TINY, mirror=False, crop=0.0, shift=0.0, mismatch_weight=3.0, reconstruction_weight=2.0)
    )
    (batch,) = batches(1)
    without, told = plain.step(batch), changed.step(batch)
    torch.testing.assert_close(told["mismatch"], without["mismatch"])  # told before the first step of either
    assert "reconstruction" not in without
    assert told["reconstruction"] > 0
    for name in ("stargan2_discriminator", "stargan2_generator"):
        assert differing(changed.export()[name], plain.export()[name])


def test_a_warm_start_keeps_what_does_not_depend_on_the_domains() -> None:
    given = build()
    given.step(batches(1)[0])
    parts = given.export()
    same = build(dataclasses.replace(TINY, warm_start=True), parts=parts).export()
    assert not [name for name in same if differing(same[name], parts[name])]
    other = build(dataclasses.replace(TINY, warm_start=True, attributes=("Male",)), parts=parts).export()
    assert not differing(other["stargan2_generator"], parts["stargan2_generator"])
    for name, own in (("stargan2_style_encoder", "unshared."), ("stargan2_mapping", "unshared.")):
        for key, tensor in other[name].tensors.items():
            assert key.startswith(own) or torch.equal(tensor, parts[name].tensors[key])
    with pytest.raises(WrongUsage, match="a warm start needs a model with a part 'stargan2_generator'; parts: none"):
        build(dataclasses.replace(TINY, warm_start=True))
    with pytest.raises(WrongUsage, match="needs networks of the sizes of those that are given: Generator's differ"):
        build(dataclasses.replace(TINY, warm_start=True, style_dim=7), parts=parts)


def test_numbers_and_samples_of_held_out_faces() -> None:
    recipe = build(parts=attributes_part())
    numbers = recipe.evaluate(batches(3))
    assert list(numbers) == ["fid_attributes", "accuracy"]
    assert recipe.evaluate(batches(3)) == numbers
    assert recipe.samples(batches(1)[0]).shape == (12, 1 + 4 + 1, 3, 32, 32)


def test_only_so_many_faces_are_evaluated() -> None:
    recipe = build(dataclasses.replace(TINY, evaluated_faces=TINY.batch))
    assert recipe.evaluate(batches(3)) == recipe.evaluate(batches(1)) != build().evaluate(batches(3))


@torch.no_grad()
def test_samples_are_each_domain_by_noise_and_then_the_style_of_the_face_before() -> None:
    recipe, (batch,) = build(), batches(1)
    images, (male, smiling) = batch["image"], batch["labels"].long().unbind(1)
    shown = recipe.samples(batch)
    assert torch.equal(shown[:, 0], images)
    assert torch.equal(shown, recipe.samples(batch))
    styles = recipe.average.style_encoder(images)
    for face in range(TINY.batch):
        before = (face - 1) % TINY.batch
        style = styles[before, 2 * male[before] + smiling[before]]
        made = recipe.average.generator(images[face : face + 1], style[None])[0].clamp(-1, 1)
        torch.testing.assert_close(shown[face, -1], made, rtol=0, atol=1e-5)
    by_noise = shown[:, 1:-1]
    assert all(not torch.equal(by_noise[:, one], by_noise[:, other]) for one in range(4) for other in range(one))


def test_a_filtered_model_is_trained_further_through_its_filter() -> None:
    """Samples are drawn through it too; the steps are in ``test_stargan2_step``."""
    landmarks, filtered = tiny_landmarks(), dataclasses.replace(TINY, high_pass=1.0)
    parts = {"stargan2_landmarks": stargan2.landmarks_part(landmarks)}
    parts |= build(filtered, parts=parts).export()
    with pytest.raises(WrongUsage, match=r"sizes of those that are given: Generator's differ; .* high_pass and"):
        build(dataclasses.replace(TINY, warm_start=True), parts=parts)
    recipe, (batch,) = build(dataclasses.replace(filtered, warm_start=True), parts=parts), batches(1)
    generator = stargan2.load_generator(parts["stargan2_generator"], "cpu")
    images, (male, smiling) = batch["image"], batch["labels"].long().unbind(1)
    style = stargan2.of_domain(recipe.average.style_encoder(images), 2 * male + smiling).roll(1, 0)
    made = recipe.samples(batch)[:, -1]
    torch.testing.assert_close(made, generator(images, style, landmarks.masks(images)).clamp(-1, 1))
    assert float((made - generator(images, style).clamp(-1, 1)).abs().max()) > 0.01


def test_exported_parts_are_the_networks() -> None:
    recipe = build()
    recipe.step(batches(1)[0])
    parts = recipe.export()
    x, z = torch.rand(2, 3, 32, 32), torch.randn(2, 3)
    style = stargan2.load_mapping(parts["stargan2_mapping"], "cpu")(z)[:, 2]
    made = stargan2.load_generator(parts["stargan2_generator"], "cpu")(x, style)
    assert torch.equal(made, recipe.average.generator(x, recipe.average.mapping(z)[:, 2]))


def test_what_cannot_be_trained_is_named() -> None:
    with pytest.raises(WrongUsage, match=r"a batch of 12 gives 5 workers no faces to change.*: give a multiple of 15"):
        build(share=Share(0, 5))
    with pytest.raises(WrongUsage, match="the data has no label Hat"):
        build(dataclasses.replace(TINY, attributes=("Hat",)))
    with pytest.raises(WrongUsage, match=r"\(high_pass=2\) need a network of face landmarks: .*; parts: none"):
        build(dataclasses.replace(TINY, high_pass=2.0))
    with pytest.raises(WrongUsage, match=r"batch must be at least 1.*\nlearning_rate must be above 0"):
        Config(batch=0, learning_rate=0.0)

"""Training an L2M-GAN: the same on any number of workers, with accumulation and after a restart; and it learns."""

from __future__ import annotations

import dataclasses
from itertools import combinations

import pytest
import torch
from torch.nn import functional as F

from raypipe.backbones.attributes import AttributeNet, AttributeNetConfig, attribute_part
from raypipe.backbones.perceptual.resnet18 import ResNet18, ResNet18Config, load_resnet18, resnet18_part
from raypipe.backbones.stargan2 import Domains, landmarks_part, of_domain
from raypipe.blocks.jitter import crop, jitter
from raypipe.blocks.randomness import Draws
from raypipe.contract import Columns, DataFacts, Share, Site
from raypipe.errors import WrongUsage
from raypipe.methods.l2m_gan import Config, build_recipe, load
from raypipe.methods.l2m_gan.frequencies import Frequencies
from raypipe.methods.l2m_gan.networks import load_l2m
from raypipe.methods.l2m_gan.recipe import L2MGANRecipe
from raypipe.weights import Part
from tests.backbones.recipe_states import assert_goes_on_the_same, assert_same_state, differing
from tests.backbones.stargan2_landmarks import tiny_landmarks
from tests.share_workers import run_with_workers

TINY = Config(batch=4, attributes=("Smiling", "Male"), style_dim=4, first_width=4, max_width=6, crop=0.7, shift=0.1)
FACTS = DataFacts(rows=64, size=32, attributes=("Hat", "Male", "Smiling"))


def attributes_part() -> dict[str, Part]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = AttributeNet(AttributeNetConfig(names=FACTS.attributes, size=32, widths=(8,), feature_dim=4))
    return {"attributes": attribute_part(network)}


def batches(count: int, rows: int = TINY.batch) -> list[Columns]:
    random = torch.Generator().manual_seed(5)
    return [
        {
            "image": torch.rand(rows, 3, 32, 32, generator=random) * 2 - 1,
            "labels": (torch.rand(rows, 3, generator=random) < 0.5).to(torch.get_default_dtype()),
        }
        for _ in range(count)
    ]


def build(config: Config = TINY, share: Share | None = None, parts: dict[str, Part] | None = None) -> L2MGANRecipe:
    given = attributes_part() if parts is None else parts
    return build_recipe(config, Site(data=FACTS, parts=given, share=share or Share()))


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("workers", [2, 4])
def test_workers_do_not_matter(workers: int) -> None:
    plain = dataclasses.replace(TINY, perceptual_weight=0.0)  # the attribute network is stored in float32
    (alone,) = run_with_workers(lambda share: build(plain, share), batches(3), 1)
    for recipe in run_with_workers(lambda share: build(plain, share), batches(3), workers):
        assert_same_state(recipe, alone, 1e-7)


@pytest.mark.usefixtures("double_precision")
def test_accumulated_passes_do_not_matter() -> None:
    plain = dataclasses.replace(TINY, perceptual_weight=0.0)
    whole, in_passes = build(plain), build(dataclasses.replace(plain, accumulate=2))
    for batch in batches(3):
        whole.step(batch)
        in_passes.step(batch)
    assert_same_state(in_passes, whole, 1e-7)


def test_going_on_from_a_state_is_going_on() -> None:
    assert_goes_on_the_same(build, batches(4), cut=2)


def test_the_losses_are_the_papers() -> None:
    """Of the first step, with nothing moved or mirrored, in the equations' own words."""
    config = dataclasses.replace(TINY, mirror=False, crop=0.0, shift=0.0, balanced=False, reconstruction_weight=1.0)
    recipe, twin = build(config), build(config)
    (batch,) = batches(1)
    told = recipe.step(batch)
    assert all(number.ndim == 0 and not number.requires_grad for number in told.values())
    network, judge = twin.average, twin.discriminator
    x, labels = batch["image"], batch["labels"][:, [2, 1]]
    source = (2 * labels[:, 0] + labels[:, 1]).long()
    draws = Draws(0, 0, Share(), torch.device("cpu"))
    jitter(crop(x, draws, probability=0.0), draws, mirror=False, shift=0.0)
    target = draws.integers(0, 4, 4)
    s = of_domain(network.style_encoder(x), source)
    s_un = network.transformer.decomposer(s)
    s_re = s - s_un
    moved = torch.stack([network.transformer.transformers[int(y)](row) for y, row in zip(target, s_re, strict=True)])
    fake = network.generator(x, moved + s_un)
    real_logits, fake_logits = of_domain(judge(x), source), of_domain(judge(fake), target)
    torch.testing.assert_close(told["d_loss"], -(F.logsigmoid(real_logits).mean() + F.logsigmoid(-fake_logits).mean()))
    torch.testing.assert_close(told["cycle"], (network.generator(fake, s) - x).abs().mean())
    torch.testing.assert_close(told["reconstruction"], (network.generator(x, s) - x).abs().mean())
    torch.testing.assert_close(
        told["style"], (moved + s_un - of_domain(network.style_encoder(fake), target)).abs().mean()
    )
    products = (s_re * s_un).abs() + (moved * s_un).abs()
    torch.testing.assert_close(told["orthogonality"], products.mean())
    torch.testing.assert_close(told["style_size"], (moved + s_un).square().mean().sqrt())
    torch.testing.assert_close(told["change_size"], (moved - s_re).square().mean().sqrt())
    pixels = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(of_domain(judge(pixels), source).sum(), pixels)
    torch.testing.assert_close(told["r1"], gradient.square().sum((1, 2, 3)).mean())
    # The adversarial and perceptual losses come after the discriminator's step.
    assert told["adversarial"] > 0
    assert told["perceptual"] > 0


def test_a_loss_without_weight_is_left_out() -> None:
    recipe = build(dataclasses.replace(TINY, perceptual_weight=0.0, r1_weight=0.0))
    told = recipe.step(batches(1)[0])
    assert not {"perceptual", "r1", "reconstruction"} & told.keys()


def test_the_papers_perceptual_network_is_taken_where_there_is_one() -> None:
    torch.manual_seed(0)
    resnet = {"resnet18": resnet18_part(ResNet18(ResNet18Config()).eval())}
    (batch,) = batches(1)
    with_resnet, with_attributes = build(parts=resnet | attributes_part()), build()
    assert float(with_resnet.step(batch)["perceptual"]) != float(with_attributes.step(batch)["perceptual"])
    assert load_resnet18(resnet["resnet18"], "cpu")(batch["image"]).shape == (4, 512)


@pytest.mark.parametrize("variant", ["l1", "inner", "single"])
def test_every_variant_of_the_ablation_trains(variant: str) -> None:
    recipe = build(dataclasses.replace(TINY, orthogonality=variant))
    assert torch.isfinite(recipe.step(batches(1)[0])["orthogonality"])


def test_in_bfloat16_a_step_is_nearly_the_same_and_weights_stay_precise() -> None:
    precise, rough = (build(dataclasses.replace(TINY, bf16=bf16)) for bf16 in (False, True))
    (batch,) = batches(1)
    wanted, made = precise.step(batch), rough.step(batch)
    for name in ("d_loss", "cycle", "style", "orthogonality"):
        assert float(made[name]) == pytest.approx(float(wanted[name]), rel=0.05)
        assert float(made[name]) != float(wanted[name])
    assert {x.dtype for x in rough.average.state_dict().values()} == {torch.float32}


def test_what_is_exported_is_the_average_and_can_be_used() -> None:
    recipe = build()
    recipe.step(batches(1)[0])
    parts = recipe.export()
    assert set(parts) == {"l2m_gan", "l2m_gan_discriminator"}
    x, style = torch.rand(2, 3, 32, 32), torch.ones(2, 4)
    network = load_l2m(parts["l2m_gan"], "cpu")
    assert torch.equal(network.generator(x, style), recipe.average.generator(x, style))
    assert load(parts | attributes_part(), "cpu").domains == network.domains.names


def test_rare_domains_weigh_as_much_as_frequent_ones() -> None:
    """Three faces of one domain and one of another are as two of each; those are as if nothing were weighed."""
    frequencies = Frequencies(Domains(("Smiling",)), torch.device("cpu"))
    domains = torch.tensor([0, 0, 0, 1])
    frequencies.count(domains, Share(), step=0, batch=4)
    torch.testing.assert_close(frequencies.weights(domains), torch.tensor([2 / 3, 2 / 3, 2 / 3, 2.0]))
    even = {**batches(1)[0], "labels": torch.tensor([[0.0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1]])}
    told = [build(dataclasses.replace(TINY, balanced=balanced)).step(even)["d_loss"] for balanced in (True, False)]
    torch.testing.assert_close(*told)


def test_a_domain_that_is_never_seen_is_named() -> None:
    frequencies = Frequencies(Domains(("Smiling", "Male")), torch.device("cpu"))
    for step in range(3):
        frequencies.count(torch.tensor([0, 1, 2, 0]), Share(), step=step, batch=500)
    with pytest.raises(WrongUsage, match="not one of 2,000 faces is 'Smiling, Male'"):
        frequencies.count(torch.tensor([0, 1, 2, 0]), Share(), step=3, batch=500)


def test_what_cannot_be_trained_is_named() -> None:
    with pytest.raises(WrongUsage, match="the data has no label Beard with faces of 0 and faces of 1; it has: Hat"):
        build(dataclasses.replace(TINY, attributes=("Beard",)))
    with pytest.raises(WrongUsage, match="size 8 is not one of 32, 64"):
        build_recipe(TINY, Site(data=dataclasses.replace(FACTS, size=8), parts=attributes_part()))
    with pytest.raises(WrongUsage, match="a batch of 4 cannot be shared by 1 workers x 3 passes"):
        build(dataclasses.replace(TINY, accumulate=3))
    with pytest.raises(WrongUsage, match=r"\(high_pass=2\) need a network of face landmarks: .*; parts: attributes"):
        build(dataclasses.replace(TINY, high_pass=2.0))
    with pytest.raises(WrongUsage, match=r"batch must be at least 1.*\n.*learning_rate.*\northogonality 'l3'"):
        Config(batch=0, learning_rate=0.0, orthogonality="l3")
    with pytest.raises(WrongUsage, match=r"must see which faces have Smiling, Male: give a model .* known: none"):
        build(parts={})
    with pytest.raises(WrongUsage, match="a warm start needs a model with a part 'l2m_gan'"):
        build(dataclasses.replace(TINY, warm_start=True))


def test_a_warm_start_begins_with_the_given_networks() -> None:
    trained = build()
    for batch in batches(2):
        trained.step(batch)
    parts = trained.export() | attributes_part()
    begun = build(dataclasses.replace(TINY, warm_start=True, style_dim=3, attributes=()), parts=parts)
    assert begun.average.config.attributes == TINY.attributes
    for name, tensor in begun.average.state_dict().items():
        assert torch.equal(tensor, parts["l2m_gan"].tensors[name])
    for name, part in begun.export().items():
        assert not differing(part, parts[name])
    begun.step(batches(1)[0])
    assert not differing(parts["l2m_gan"], trained.export()["l2m_gan"])  # what is given stays as it is


def test_a_warm_start_for_other_attributes_keeps_what_does_not_depend_on_them() -> None:
    given = build()
    parts = given.export() | attributes_part()
    begun = build(dataclasses.replace(TINY, warm_start=True, attributes=("Hat",)), parts=parts)
    assert begun.average.domains.names == ("not Hat", "Hat")
    taken, new = given.average.state_dict(), begun.average.state_dict()
    same = {name for name, tensor in new.items() if name in taken and torch.equal(tensor, taken[name])}
    changed = {name for name in new if name not in same}
    assert {name.split(".")[0] for name in same if "bias" not in name} == {"generator", "style_encoder"}
    assert all(name.startswith(("style_encoder.unshared", "transformer")) for name in changed)
    last = [name for name, tensor in begun.discriminator.state_dict().items() if len(tensor) == 2]
    assert len(last) == 2
    for name, tensor in begun.discriminator.state_dict().items():
        assert name in last or torch.equal(tensor, given.discriminator.state_dict()[name])


def test_at_the_beginning_the_discriminator_alone_learns_to_tell_domains_apart() -> None:
    recipe = build(dataclasses.replace(TINY, discriminator_steps=1, mirror=False, crop=0.0, shift=0.0))
    twin = build(dataclasses.replace(TINY, mirror=False, crop=0.0, shift=0.0))
    (batch,) = batches(1)
    told = recipe.step(batch)
    assert set(told) == {"d_loss", "mismatch"}
    source = (2 * batch["labels"][:, 2] + batch["labels"][:, 1]).long()
    logits, is_own = twin.discriminator(batch["image"]), F.one_hot(source, 4).bool()
    torch.testing.assert_close(told["d_loss"], F.softplus(-logits[is_own]).mean())
    torch.testing.assert_close(told["mismatch"], F.softplus(logits[~is_own]).mean())
    assert not differing(recipe.export()["l2m_gan"], twin.export()["l2m_gan"])
    assert differing(recipe.export()["l2m_gan_discriminator"], twin.export()["l2m_gan_discriminator"])
    assert {"cycle", "r1"} <= recipe.step(batch).keys()


def test_faces_of_other_domains_are_called_fake() -> None:
    plain, some, matched = (build(dataclasses.replace(TINY, mismatch_weight=weight)) for weight in (0.0, 1.0, 3.0))
    (batch,) = batches(1)
    without, told = plain.step(batch), matched.step(batch)
    some.step(batch)
    assert "mismatch" not in without
    torch.testing.assert_close(told["d_loss"], without["d_loss"])
    assert told["mismatch"] > 0
    learnt = [recipe.export()["l2m_gan_discriminator"] for recipe in (plain, some, matched)]
    assert all(differing(one, other) for one, other in combinations(learnt, 2))


def test_numbers_and_samples_of_held_out_faces() -> None:
    recipe = build()
    held_out = batches(6)
    numbers = recipe.evaluate(held_out)
    assert list(numbers) == ["fid_attributes", "accuracy", "reconstruction"]
    assert 0 <= numbers["accuracy"] <= 1
    assert recipe.evaluate(held_out) == numbers
    samples = recipe.samples(held_out[0])
    assert samples.shape == (4, 2 + 4, 3, 32, 32)
    assert torch.equal(samples[:, 0], held_out[0]["image"])
    with pytest.raises(WrongUsage, match="at least 2 held-out faces"):
        recipe.evaluate([])


@torch.no_grad()
def test_a_filtered_model_is_trained_further_through_its_filter() -> None:
    """Samples and evaluations are drawn through it too; the steps are in ``test_l2m_gan_step``."""
    landmarks = tiny_landmarks()
    parts = attributes_part() | {"stargan2_landmarks": landmarks_part(landmarks)}
    parts |= build(dataclasses.replace(TINY, high_pass=1.0), parts=parts).export()
    recipe, (batch,) = build(dataclasses.replace(TINY, warm_start=True), parts=parts), batches(1)
    network, images = load_l2m(parts["l2m_gan"], "cpu"), batch["image"]
    own = of_domain(network.style_encoder(images), (2 * batch["labels"][:, 2] + batch["labels"][:, 1]).long())
    wanted = network.generator(images, own, landmarks.masks(images))
    torch.testing.assert_close(recipe.samples(batch)[:, 1], wanted.clamp(-1, 1))
    assert float((network.generator(images, own) - wanted).abs().max()) > 0.01
    told = recipe.evaluate([batch] * 3)["reconstruction"]
    assert told == pytest.approx(float((wanted - images).abs().mean()), rel=1e-5)


def test_weight_decay_shrinks_the_weights() -> None:
    plain, decayed = build(), build(dataclasses.replace(TINY, weight_decay=10.0))
    for recipe in (plain, decayed):
        recipe.step(batches(1)[0])
    lengths = [sum(float(x.square().sum()) for x in r.average.state_dict().values()) for r in (decayed, plain)]
    assert lengths[0] < lengths[1]


def test_the_defaults_are_the_papers() -> None:
    """Section 4.1."""
    config = Config()
    assert (config.batch, config.steps, config.learning_rate) == (8, 100_000, 1e-4)
    weights = config.cycle_weight, config.style_weight, config.perceptual_weight, config.orthogonality_weight
    assert weights == (1, 2, 2, 1)


def test_without_a_choice_all_attributes_make_domains() -> None:
    recipe = build(dataclasses.replace(TINY, attributes=()))
    assert len(recipe.average.domains) == 8
    facts = dataclasses.replace(FACTS, attributes=tuple("abcdef"))
    with pytest.raises(WrongUsage, match="domains are of 1 to 5 attributes, all different; got a, b, c, d, e, f"):
        build_recipe(dataclasses.replace(TINY, attributes=()), Site(data=facts, parts=attributes_part()))


def test_it_learns_to_change_what_the_label_says_and_to_keep_the_rest() -> None:
    """Coloured squares, no two faces the same; below them a mouth that is bright where they smile and else dark."""
    config = Config(
        batch=16,
        crop=0.0,
        style_dim=4,
        first_width=8,
        max_width=16,
        perceptual_weight=0.0,
        learning_rate=2e-3,
        ema_half_life_images=60.0,
    )
    recipe = build_recipe(
        config, Site(data=dataclasses.replace(FACTS, attributes=("Smiling",)), parts=attributes_part())
    )
    random = torch.Generator().manual_seed(0)

    def faces(rows: int) -> Columns:
        labels = (torch.rand(rows, 1, generator=random) < 0.5).float()
        colours = torch.rand(rows, 3, 4, 4, generator=random) * 0.8 - 0.4
        images = colours.repeat_interleave(8, 2).repeat_interleave(8, 3)
        images[:, :, 20:28, 8:24] = 1.6 * labels[:, :, None, None] - 0.8
        return {"image": images, "labels": labels}

    first, *_, last = (recipe.step(faces(16)) for _ in range(45))
    assert float(last["cycle"]) < 0.6 * float(first["cycle"])
    _, _, without, smiling = recipe.samples(faces(32)).unbind(1)
    change = smiling - without
    assert float(change[:, :, 20:28, 8:24].mean()) > 0.3
    assert float(change[:, :, :16].mean().abs()) < 0.1

"""Styles, translations and losses agree with the published networks; parts survive a bundle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from raypipe.backbones.stargan2 import (
    Discriminator,
    DiscriminatorConfig,
    Generator,
    GeneratorConfig,
    StyleEncoder,
    StyleEncoderConfig,
    of_domain,
)
from raypipe.backbones.stargan2.domains import Domains
from raypipe.errors import BadWeights, WrongUsage
from raypipe.methods.l2m_gan.losses import distance, orthogonality_inner, orthogonality_l1, orthogonality_single
from raypipe.methods.l2m_gan.networks import L2MConfig, StyleTransformer, l2m_part, load_l2m
from tests.l2m_models import tiny_network
from tests.shared_files import oracle

SIZES = {"size": 64, "max_width": 64}


@pytest.fixture(scope="module")
def stored() -> dict[str, Any]:
    case: dict[str, Any] = torch.load(oracle("stargan_l2m/l2m_styleenc_transformer_disc_s64.pt"), weights_only=True)
    return case


def encoder_of(stored: Mapping[str, Any]) -> StyleEncoder:
    encoder = StyleEncoder(StyleEncoderConfig(**SIZES, style_dim=16, domains=3))
    state = stored["style_encoder"]
    encoder.load_state_dict({name: x for name, x in state.items() if name.startswith(("shared", "unshared"))})
    return encoder


def transformer_of(stored: Mapping[str, Any]) -> StyleTransformer:
    transformer = StyleTransformer(16, 3)
    ours = {"transform1": "decomposer", "transform2": "transformers"}
    state = {name.replace(old, new): x for old, new in ours.items() for name, x in stored["style_encoder"].items()}
    transformer.load_state_dict({name: x for name, x in state.items() if name.startswith(tuple(ours.values()))})
    return transformer


def drawn_generator() -> Generator:
    """The one behind ``fake`` and ``rec``; its weights are not in the file but drawn from its seeds."""
    generator = Generator(GeneratorConfig(**SIZES, style_dim=16))
    shapes = {name: tuple(x.shape) for name, x in generator.state_dict().items()}
    torch.manual_seed(540)
    state = {
        name: torch.randn(shape) * math.sqrt(2 / math.prod(shape[1:])) for name, shape in shapes.items() if shape[1:]
    }
    torch.manual_seed(541)
    for name, shape in shapes.items():
        is_scale = name.endswith("weight") and len(shape) == 1
        state |= {} if name in state else {name: 0.1 * torch.randn(shape) + is_scale}
    generator.load_state_dict(state)
    return generator


def assert_agrees(made: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(made, wanted, rtol=0, atol=1e-4 * float(wanted.std()))


@torch.no_grad()
def test_styles_agree(stored: dict[str, Any]) -> None:
    encoder, transformer = encoder_of(stored), transformer_of(stored)
    source = of_domain(encoder(stored["x"]), stored["y_src"])
    unrelated, related = transformer.decompose(source)
    transformed = transformer.transform(related, stored["y_trg"])
    reference = of_domain(encoder(stored["x_ref"]), stored["y_trg"])
    for made, name in (
        (source, "s"),
        (unrelated, "s_un"),
        (related, "s_re"),
        (transformed, "s_re_trg"),
        (transformer(source, stored["y_trg"]), "s_target"),
        (unrelated + related + 1.25 * (transformed - related), "s_degree125"),
        (unrelated + transformer.decompose(reference)[1], "s_reference"),
    ):
        assert_agrees(made, stored[name])


@torch.no_grad()
def test_pictures_and_losses_agree(stored: dict[str, Any]) -> None:
    encoder, transformer, generator = encoder_of(stored), transformer_of(stored), drawn_generator()
    discriminator = Discriminator(DiscriminatorConfig(**SIZES, domains=3))
    discriminator.load_state_dict(stored["discriminator"])
    x, source, target = stored["x"], stored["y_src"], stored["y_trg"]
    fake, rec = generator(x, stored["s_target"]), generator(stored["fake"], stored["s"])
    seen = of_domain(encoder(fake), target)
    for made, name in (
        (fake, "fake"),
        (generator(x, stored["s_degree125"]), "fake_degree125"),
        (generator(x, stored["s_reference"]), "fake_reference"),
        (rec, "rec"),
        (seen, "s_pred"),
    ):
        assert_agrees(made, stored[name])
    wanted = stored["paper_losses_not_official"]
    transformed = transformer.transform(stored["s_re"], target)
    logits = of_domain(discriminator(x), source), of_domain(discriminator(fake), target)
    losses = {
        "ort_mean": orthogonality_l1(stored["s_un"], stored["s_re"], transformed),
        "sty_mean": distance(seen, stored["s_target"]),
        "cyc_mean": distance(rec, x),
        "adv_d_real_bce": F.softplus(-logits[0]).mean(),
        "adv_d_fake_bce": F.softplus(logits[1]).mean(),
        "adv_g_bce": F.softplus(-logits[1]).mean(),
    }
    for name, loss in losses.items():
        assert float(loss) == pytest.approx(float(wanted[name]), rel=1e-4), name


def test_variants_of_orthogonality_ask_for_less_and_less() -> None:
    un, re, moved = torch.tensor([[1.0, 1.0]]), torch.tensor([[2.0, -2.0]]), torch.tensor([[1.0, 3.0]])
    assert float(orthogonality_l1(un, re, moved)) == 2 + 2
    assert float(orthogonality_inner(un, re, moved)) == 0 + 2
    assert float(orthogonality_single(un, re, moved)) == 0
    some = [torch.randn(5, 7) for _ in range(3)]
    assert orthogonality_l1(*some) >= orthogonality_inner(*some) >= orthogonality_single(*some) > 0


def test_what_is_orthogonal_by_elements_costs_nothing() -> None:
    un, re, moved = torch.tensor([[5.0, 0.0]]), torch.tensor([[0.0, 3.0]]), torch.tensor([[0.0, -2.0]])
    assert float(orthogonality_l1(un, re, moved)) == 0


def test_domains_are_all_combinations() -> None:
    domains = Domains(("Smiling", "Male"))
    assert domains.names == ("not Smiling, not Male", "not Smiling, Male", "Smiling, not Male", "Smiling, Male")
    assert domains.number("Male, not Smiling") == 1
    for number in range(4):
        assert int(domains.of_values(torch.tensor([domains.values(number)]))) == number
    with pytest.raises(WrongUsage, match="'Smiling' is not a domain of this model; domains: not Smiling, not Male;"):
        domains.number("Smiling")
    assert Domains(("Smiling",)).names == ("not Smiling", "Smiling")


@pytest.mark.parametrize("names", [(), ("a", "a"), ("a, b",), ("not a",), tuple("abcdef")])
def test_attributes_that_make_no_domains_are_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(WrongUsage):
        L2MConfig(attributes=names)


@torch.no_grad()
def test_a_style_transformed_is_what_is_unrelated_and_what_is_transformed() -> None:
    transformer = tiny_network().transformer
    style, targets = torch.randn(3, 8), torch.tensor([0, 3, 2])
    unrelated, related = transformer.decompose(style)
    torch.testing.assert_close(unrelated + related, style)
    torch.testing.assert_close(transformer(style, targets), transformer.transform(related, targets) + unrelated)


@torch.no_grad()
def test_a_part_is_the_network() -> None:
    network = tiny_network()
    again = load_l2m(l2m_part(network), "cpu")
    x, s = torch.randn(2, 3, 32, 32), torch.randn(2, 8)
    assert torch.equal(again.generator(x, s), network.generator(x, s))
    assert torch.equal(again.style_encoder(x), network.style_encoder(x))
    part = l2m_part(network)
    incomplete = {name: tensor for name, tensor in part.tensors.items() if "decomposer" not in name}
    with pytest.raises(BadWeights, match=r"missing: transformer\.decomposer"):
        load_l2m(replace(part, tensors=incomplete), "cpu")

"""Gradients, and gradients of gradients, are right: one can train with them, with R1 and with path length penalties."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from raypipe.backbones.stylegan2 import Discriminator, DiscriminatorConfig, Generator, GeneratorConfig
from tests.backbones.stylegan2_oracle import (
    DISCRIMINATOR_FILE,
    case,
    rosinality_discriminator,
    rosinality_generator,
)

TINY_G = GeneratorConfig(size=8, style_dim=3, z_dim=3, mapping_layers=1, channels=(3, 2))
TINY_D = DiscriminatorConfig(size=8, channels=(2, 3))


@pytest.mark.parametrize("changes", [{}, {"residual": True}, {"clamp": 3.0}])
def test_gradients_of_the_generator(changes: dict[str, object]) -> None:
    torch.manual_seed(0)
    synthesis = Generator(dataclasses.replace(TINY_G, **changes)).double().synthesis
    for block in synthesis.blocks:
        torch.nn.init.constant_(block.conv.noise_strength, 0.3)
    w_plus = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    name = "blocks.1.up.conv.weight"

    def of_weight(weight: Tensor, w_plus: Tensor) -> Tensor:
        images: Tensor = torch.func.functional_call(synthesis, {name: weight}, (w_plus,))
        return images[:, :, ::3, ::3]

    inputs = (synthesis.get_parameter(name), w_plus)
    assert gradcheck(of_weight, inputs, fast_mode=True)
    assert gradgradcheck(of_weight, inputs, fast_mode=True)


@pytest.mark.parametrize("changes", [{}, {"clamp": 1.0}])
def test_gradients_of_the_discriminator(changes: dict[str, object]) -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(dataclasses.replace(TINY_D, **changes)).double()
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    assert gradcheck(discriminator, (images,), fast_mode=True)
    assert gradgradcheck(discriminator, (images,), fast_mode=True)


def test_r1_penalty() -> None:
    stored, discriminator = case(DISCRIMINATOR_FILE), rosinality_discriminator().requires_grad_(True)
    losses = stored["losses"]
    images = stored["x"][: losses["r1_input_slice"]].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(discriminator(images).sum(), images, create_graph=True)
    penalty = gradient.square().sum((1, 2, 3)).mean()
    torch.testing.assert_close(penalty, losses["r1"], rtol=1e-4, atol=0)
    penalty.backward()
    expected = losses["r1_param_grads"]
    assert_gradient(discriminator.from_rgb.weight, expected["convs.0.0.weight"])
    assert_gradient(discriminator.blocks[0].down.weight, expected["convs.1.conv2.1.weight"])
    assert_gradient(discriminator.out.weight, expected["final_linear.1.weight"])


def test_path_length_penalty() -> None:
    stored, generator = case("rosinality/losses_pathlen_g64_narrow8.pt"), rosinality_generator().requires_grad_(True)
    w_plus = generator.broadcast(generator.mapping(stored["z"]))
    images = generator.synthesis(w_plus)
    noise = stored["pl_noise_unscaled"] / math.sqrt(images.shape[2] * images.shape[3])
    (gradient,) = torch.autograd.grad((images * noise).sum(), w_plus, create_graph=True)
    lengths = gradient.square().sum(2).mean(1).sqrt()
    torch.testing.assert_close(lengths, stored["path_lengths"], rtol=1e-4, atol=0)
    mean = torch.lerp(stored["mean_path_length_in"], lengths.mean(), stored["decay"])
    penalty = (lengths - mean).square().mean()
    torch.testing.assert_close(penalty, stored["path_penalty"], rtol=1e-4, atol=0)
    penalty.backward()
    expected = stored["param_grads_of_penalty"]
    first, second, *_, last = generator.synthesis.blocks
    assert_gradient(generator.mapping.layers[0].weight, expected["style.1.weight"])
    assert_gradient(first.conv.conv.weight, expected["conv1.conv.weight"][0])
    assert_gradient(second.conv.style.weight, expected["convs.1.conv.modulation.weight"])
    assert_gradient(last.to_rgb.weight, expected["to_rgbs.3.conv.weight"].flatten(2)[0])


def assert_gradient(parameter: Tensor, expected: Tensor) -> None:
    assert parameter.grad is not None
    torch.testing.assert_close(parameter.grad, expected, rtol=0, atol=1e-3 * float(expected.std()))

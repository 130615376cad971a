"""Losses and regularisers are those of the public implementations, and of the papers."""

from __future__ import annotations

import math

import pytest
import torch

from raypipe.backbones.stylegan2 import load_discriminator
from raypipe.backbones.stylegan2.foreign_nvlabs import discriminator_part_of
from raypipe.backbones.stylegan2.losses import (
    discriminator_loss,
    generator_loss,
    lazy_r1_weight,
    path_length_penalty,
    path_lengths,
    r1_penalties,
)
from tests.backbones.stylegan2_oracle import (
    DISCRIMINATOR_FILE,
    case,
    rosinality_discriminator,
    rosinality_generator,
)


def test_losses_are_cross_entropies() -> None:
    real, fake = torch.tensor([[2.0], [-1.0]]), torch.tensor([[0.5], [3.0]])
    of_real, of_fake = real.sigmoid().log().mean(), (1 - fake.sigmoid()).log().mean()
    torch.testing.assert_close(discriminator_loss(real, fake), -of_real - of_fake)
    torch.testing.assert_close(generator_loss(fake), -fake.sigmoid().log().mean())


def test_losses_of_the_public_implementation() -> None:
    stored = case("nvlabs/d32_cond.pt")
    logits = stored["logits"]
    torch.testing.assert_close(generator_loss(logits), stored["softplus_neg"].mean())
    torch.testing.assert_close(
        discriminator_loss(logits, logits), stored["softplus_neg"].mean() + stored["softplus_pos"].mean()
    )


def test_logistic_losses_of_the_other_public_implementation() -> None:
    stored = case(DISCRIMINATOR_FILE)
    first, second = stored["out"].split(4)
    torch.testing.assert_close(discriminator_loss(first, second), stored["losses"]["d_logistic"])
    torch.testing.assert_close(generator_loss(first), stored["losses"]["g_nonsat"])


def test_r1() -> None:
    stored, discriminator = case(DISCRIMINATOR_FILE)["losses"], rosinality_discriminator().requires_grad_(True)
    images = case(DISCRIMINATOR_FILE)["x"][: stored["r1_input_slice"]].clone().requires_grad_()
    penalty = r1_penalties(discriminator(images), images).mean()
    torch.testing.assert_close(penalty, stored["r1"], rtol=1e-4, atol=0)
    penalty.backward()
    expected = stored["r1_param_grads"]["convs.0.0.weight"]
    assert discriminator.from_rgb.weight.grad is not None
    torch.testing.assert_close(discriminator.from_rgb.weight.grad, expected, rtol=0, atol=1e-3 * float(expected.std()))


def test_r1_of_a_conditional_discriminator() -> None:
    stored = case("nvlabs/d32_cond.pt")
    part = discriminator_part_of(stored["state_dict"], mapping_lr_multiplier=0.01, clamp=None, stddev_group=4)
    images = stored["x"].clone().requires_grad_()
    penalties = r1_penalties(load_discriminator(part, "cpu")(images, stored["c"]), images)
    torch.testing.assert_close(penalties, stored["r1_penalty_per_sample"], rtol=1e-3, atol=0)


def test_path_lengths() -> None:
    stored, generator = case("rosinality/losses_pathlen_g64_narrow8.pt"), rosinality_generator().requires_grad_(True)
    w_plus = generator.broadcast(generator.mapping(stored["z"]))
    lengths = path_lengths(generator.synthesis(w_plus), w_plus, stored["pl_noise_unscaled"])
    torch.testing.assert_close(lengths, stored["path_lengths"], rtol=1e-4, atol=0)
    mean = torch.lerp(stored["mean_path_length_in"], lengths.mean(), stored["decay"])
    torch.testing.assert_close(mean, stored["mean_path_length_out"], rtol=1e-4, atol=0)
    penalty = path_length_penalty(lengths, mean)
    torch.testing.assert_close(penalty, stored["path_penalty"], rtol=1e-4, atol=0)
    penalty.backward()
    expected = stored["param_grads_of_penalty"]["style.1.weight"]
    gradient = generator.mapping.layers[0].weight.grad
    assert gradient is not None
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-3 * float(expected.std()))


def test_path_length_of_a_linear_generator() -> None:
    """Images A w with all layers' w alike in the picture: the length is |A^T y| / (s sqrt(L) ) by hand."""
    torch.manual_seed(0)
    matrix, w_plus = torch.randn(12, 5), torch.randn(2, 4, 5, requires_grad=True)
    images = (w_plus.sum(1) @ matrix.T).reshape(2, 3, 2, 2)
    directions = torch.randn(2, 3, 2, 2)
    expected = (directions.flatten(1) @ matrix).norm(dim=1) / math.sqrt(4)
    assert path_lengths(images, w_plus, directions).tolist() == pytest.approx(expected.tolist(), rel=1e-5)


def test_lazy_r1_weighs_half_of_gamma_times_its_interval_and_gamma_grows_with_the_pictures() -> None:
    assert lazy_r1_weight(10.0, size=256, batch=64, interval=16) == pytest.approx(80.0)
    assert lazy_r1_weight(None, size=256, batch=64, interval=16) == pytest.approx(8 * 0.2048)
    assert lazy_r1_weight(0.0, size=256, batch=64, interval=16) == 0.0

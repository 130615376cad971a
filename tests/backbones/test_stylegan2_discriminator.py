"""The discriminator computes what the public implementations compute."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from raypipe.backbones.stylegan2 import Discriminator, DiscriminatorConfig, discriminator_part, load_discriminator
from raypipe.backbones.stylegan2.discriminator import minibatch_stddev
from raypipe.backbones.stylegan2.foreign_nvlabs import discriminator_part_of
from raypipe.errors import WrongUsage
from tests.backbones.stylegan2_oracle import DISCRIMINATOR_FILE, case, rosinality_discriminator


@pytest.mark.parametrize(("batch", "expected"), [(8, "out"), (3, "out_batch3"), (1, "out_batch1")])
def test_logits(batch: int, expected: str) -> None:
    stored, discriminator = case(DISCRIMINATOR_FILE), rosinality_discriminator()
    with torch.no_grad():
        logits = discriminator(stored["x"][:batch])
    torch.testing.assert_close(logits, stored[expected], rtol=0, atol=1e-5)


def test_conditional_logits_and_r1() -> None:
    stored = case("nvlabs/d32_cond.pt")
    part = discriminator_part_of(stored["state_dict"], mapping_lr_multiplier=0.01, clamp=None, stddev_group=4)
    discriminator = load_discriminator(part, "cpu")
    images = stored["x"].clone().requires_grad_()
    logits = discriminator(images, stored["c"])
    torch.testing.assert_close(logits, stored["logits"], rtol=0, atol=1e-5)
    torch.testing.assert_close(F.softplus(-logits), stored["softplus_neg"], rtol=0, atol=1e-5)
    (gradient,) = torch.autograd.grad(logits.sum(), images)
    penalty = gradient.square().sum((1, 2, 3))
    torch.testing.assert_close(penalty, stored["r1_penalty_per_sample"], rtol=1e-3, atol=0)


def test_minibatch_stddev_by_definition() -> None:
    """Groups of 2 of 4 images are {0, 2} and {1, 3}; features 2 split the channels in halves."""
    x = torch.randn(4, 6, 3, 3, generator=torch.Generator().manual_seed(0))
    result = minibatch_stddev(x, 2, 2)
    assert result.shape == (4, 8, 3, 3)
    assert torch.equal(result[:, :6], x)
    for image, group in enumerate([(0, 2), (1, 3), (0, 2), (1, 3)]):
        for feature, channels in enumerate([slice(0, 3), slice(3, 6)]):
            expected = x[list(group), channels].std(0, correction=0).mean()
            torch.testing.assert_close(result[image, 6 + feature], expected.expand(3, 3))


def test_minibatch_stddev_of_equal_images_is_zero() -> None:
    result = minibatch_stddev(torch.ones(4, 2, 2, 2), 0, 1)
    torch.testing.assert_close(result[:, 2], torch.full((4, 2, 2), 1e-4))


def test_a_batch_that_is_no_multiple_of_the_group_is_refused() -> None:
    with pytest.raises(WrongUsage, match="6 cannot be divided into groups of 4"):
        minibatch_stddev(torch.zeros(6, 2, 2, 2), 4, 1)


def test_labels_are_needed_exactly_where_the_discriminator_is_conditional() -> None:
    images, labels = torch.zeros(1, 3, 8, 8), torch.zeros(1, 3)
    plain = DiscriminatorConfig(size=8, channels=(4, 4))
    with pytest.raises(WrongUsage, match="no labels"):
        Discriminator(plain)(images, labels)
    with pytest.raises(WrongUsage, match="takes labels"):
        Discriminator(DiscriminatorConfig(size=8, channels=(4, 4), label_dim=3))(images)


def test_a_part_gives_the_same_discriminator() -> None:
    torch.manual_seed(0)
    config = DiscriminatorConfig(size=16, channels=(4, 6, 8), label_dim=3, stddev_group=2, clamp=2.0)
    discriminator = Discriminator(config)
    again = load_discriminator(discriminator_part(discriminator), "cpu")
    images = torch.randn(4, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(again(images, torch.eye(4, 3)), discriminator(images, torch.eye(4, 3)))
    assert again.config == config

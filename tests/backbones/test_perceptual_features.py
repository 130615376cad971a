"""What a perceptual loss sees of a face's attributes."""

from __future__ import annotations

import pytest
import torch

from raypipe.backbones.attributes import AttributeNet, AttributeNetConfig
from raypipe.backbones.perceptual.features import features_beside

NAMES = ("Hat", "Male", "Smiling")


@pytest.fixture
def network() -> AttributeNet:
    torch.manual_seed(0)
    config = AttributeNetConfig(names=NAMES, size=32, widths=(8,), feature_dim=16)
    return AttributeNet(config).eval().requires_grad_(False)


def test_features_do_not_tell_what_is_to_change_and_tell_the_rest(network: AttributeNet) -> None:
    seen = features_beside(network, ("Smiling", "Hat", "Beard"))(torch.rand(5, 3, 32, 32) * 2 - 1)
    logits = seen @ network.head.weight.T
    torch.testing.assert_close(logits[:, [0, 2]], torch.zeros(5, 2), atol=1e-5, rtol=0)
    assert logits[:, 1].std() > 0.01


def test_features_are_of_one_size_whatever_the_networks(network: AttributeNet) -> None:
    images = torch.rand(5, 3, 32, 32) * 2 - 1
    for changing in ((), ("Male",)):
        seen = features_beside(network, changing)(images)
        torch.testing.assert_close(seen.square().mean(1), torch.ones(5))


def test_with_nothing_to_change_all_directions_are_seen(network: AttributeNet) -> None:
    images = torch.rand(5, 3, 32, 32) * 2 - 1
    whole = network.features(images)
    cosines = torch.cosine_similarity(features_beside(network, ())(images), whole)
    torch.testing.assert_close(cosines, torch.ones(5))

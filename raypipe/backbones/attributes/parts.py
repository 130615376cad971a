"""The attribute network as a part of a model bundle."""

from __future__ import annotations

import torch

from raypipe.backbones.attributes.network import AttributeNet, AttributeNetConfig
from raypipe.blocks.loading import load_network
from raypipe.config import as_dict
from raypipe.weights import Part

KIND = "attribute_net"


def load_attributes(part: Part, device: str | torch.device) -> AttributeNet:
    """The network of a bundle's part, ready for inference.

    Raises:
        BadWeights: the part is not an attribute network, or its tensors do not fit its config.
    """
    return load_network(part, KIND, AttributeNetConfig, AttributeNet, device)


def attribute_part(network: AttributeNet) -> Part:
    """What ``load_attributes`` reads."""
    return Part(KIND, as_dict(network.config), network.state_dict())

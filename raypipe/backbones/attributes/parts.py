"""The attribute network as a part of a model bundle."""

from __future__ import annotations

import torch

from raypipe.backbones.attributes.network import AttributeNet, AttributeNetConfig
from raypipe.blocks.loading import load_exactly
from raypipe.config import as_dict, read_config
from raypipe.errors import BadWeights, WrongUsage
from raypipe.weights import Part

KIND = "attribute_net"


def load_attributes(part: Part, device: str | torch.device) -> AttributeNet:
    """The network of a bundle's part, ready for inference.

    Raises:
        BadWeights: the part is not an attribute network, or its tensors do not fit its config.
    """
    if part.kind != KIND:
        raise BadWeights(f"{part.kind!r} is not an {KIND!r}")
    try:
        config = read_config(AttributeNetConfig, part.config)
    except WrongUsage as error:
        raise BadWeights(f"attribute network's config: {error}") from error
    with torch.device("meta"):
        network = AttributeNet(config)
    load_exactly(network, part.tensors, f"attribute network of kind {KIND!r}")
    return network.to(device).eval().requires_grad_(False)


def attribute_part(network: AttributeNet) -> Part:
    """What ``load_attributes`` reads."""
    return Part(KIND, as_dict(network.config), network.state_dict())

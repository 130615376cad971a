"""Tiny networks of face landmarks with random weights, in our names and in those of public checkpoints; and those."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from raypipe.backbones import stargan2
from raypipe.backbones.stargan2 import Landmarks, LandmarksConfig

PUBLIC_NAMES = {
    "stem": "conv1",
    "stem_norm": "bn1",
    "widen": "conv2",
    "deepen.0": "conv3",
    "deepen.1": "conv4",
    "place": "m0.coordconv",
    "hourglass.beside": "m0.b1_2",
    "hourglass.before": "m0.b2_2",
    "hourglass.inside.beside": "m0.b1_1",
    "hourglass.inside.before": "m0.b2_1",
    "hourglass.inside.inside": "m0.b2_plus_1",
    "hourglass.inside.after": "m0.b3_1",
    "hourglass.after": "m0.b3_2",
    "head.0": "top_m_0",
    "head.1": "conv_last0",
    "head.2": "bn_end0",
    "head.4": "l0",
}
"""Of the layers of an hourglass of two halvings."""


def tiny_landmarks(*, seed: int = 0) -> Landmarks:
    """Untrained, with statistics that change numbers; other pictures have other masks, neither empty nor full. The same
    seed, the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Landmarks(LandmarksConfig(width=16, depth=2))
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean = torch.randn(module.num_features) * 0.1
                module.running_var = torch.rand(module.num_features) + 0.5
        network.stem.conv.weight.data *= 20
        network.head[4].weight.data *= 4
        network.head[4].bias.data -= 3
    return network.eval().requires_grad_(False)


def public_state(network: Landmarks) -> dict[str, Tensor]:
    """Its tensors under the names of public checkpoints."""
    state = {}
    for name, tensor in network.state_dict().items():
        ours = next(layer for layer in PUBLIC_NAMES if name.startswith(layer + "."))
        state[PUBLIC_NAMES[ours] + name.removeprefix(ours)] = tensor
    return state


def public_checkpoint(*, high_pass: float = 1.0) -> dict[str, dict[str, Tensor]]:
    """A tiny StarGAN v2's of 32 px and two domains, untrained, without landmarks."""
    sizes = {"size": 32, "style_dim": 4, "first_width": 4, "max_width": 8}
    return {
        "generator": stargan2.Generator(stargan2.GeneratorConfig(**sizes, high_pass=high_pass)).state_dict(),
        "mapping_network": stargan2.MappingNetwork(stargan2.MappingConfig(style_dim=4, hidden=8)).state_dict(),
        "style_encoder": stargan2.StyleEncoder(stargan2.StyleEncoderConfig(**sizes)).state_dict(),
    }

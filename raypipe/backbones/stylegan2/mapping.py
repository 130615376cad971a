"""z (and a condition) -> w. Source: Karras et al. 2019 (StyleGAN); conditions as in Karras et al. 2020 (ADA)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from raypipe.blocks.equalised import EqualisedLinear, scaled_leaky_relu
from raypipe.errors import WrongUsage


class Mapping(nn.Module):
    """``inputs`` or ``label_dim`` may be 0: a discriminator maps the condition alone."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        layers: int,
        width: int,
        lr_multiplier: float,
        label_dim: int,
        label_embed_dim: int,
    ) -> None:
        super().__init__()
        self._inputs, self._label_dim = inputs, label_dim
        self.embed = EqualisedLinear(label_dim, label_embed_dim) if label_dim else None
        widths = [inputs + (label_embed_dim if label_dim else 0), *[width] * (layers - 1), outputs]
        self.layers = nn.ModuleList(
            EqualisedLinear(widths[i], widths[i + 1], lr_multiplier=lr_multiplier) for i in range(layers)
        )
        self.register_buffer("w_avg", torch.zeros(outputs))

    w_avg: Tensor
    """The mean of w over all z, [outputs]: where truncation pulls to."""

    def forward(self, z: Tensor | None, labels: Tensor | None = None) -> Tensor:
        """[n, inputs], [n, label_dim] -> [n, outputs] float32.

        Raises:
            WrongUsage: labels are missing where the network is conditional, or given where it is not.
        """
        if (labels is None) != (self.embed is None):
            wanted = f"labels [n, {self._label_dim}]" if self.embed is not None else "no labels"
            raise WrongUsage(f"this network takes {wanted}")
        parts = [] if z is None else [_normalise(z.float())]
        if self.embed is not None and labels is not None:
            parts.append(_normalise(self.embed(labels.float())))
        x = torch.cat(parts, dim=1)
        for layer in self.layers:
            x = scaled_leaky_relu(layer(x))
        return x


def _normalise(x: Tensor) -> Tensor:
    """Every row of [n, d] to a mean square of one."""
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)

"""z (and a condition) -> w. Source: Karras et al. 2019 (StyleGAN), section 2; conditions: Karras et al. 2020 (ADA)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from raypipe.blocks.equalised import GAIN, EqualisedLinear, leaky_relu_
from raypipe.errors import WrongUsage


class Mapping(nn.Module):
    """A perceptron over the normalised z and the normalised embedding of the condition.

    ``inputs`` may be 0 (a discriminator maps the condition alone), and so may ``label_dim``.
    """

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
        self._label_dim = label_dim
        self.embed = EqualisedLinear(label_dim, label_embed_dim) if label_dim else None
        widths = [inputs + (label_embed_dim if label_dim else 0), *[width] * (layers - 1), outputs]
        self.layers = nn.ModuleList(
            EqualisedLinear(widths[i], widths[i + 1], lr_multiplier=lr_multiplier) for i in range(layers)
        )

    def forward(self, z: Tensor | None, labels: Tensor | None = None) -> Tensor:
        """[n, inputs] or None, [n, label_dim] or None -> [n, outputs], in float32 also under autocast.

        Raises:
            WrongUsage: labels are missing where the network is conditional, or given where it is not.
        """
        if (labels is None) != (self.embed is None):
            wanted = f"labels [n, {self._label_dim}]" if self.embed is not None else "no labels"
            raise WrongUsage(f"this network takes {wanted}")
        some = labels if z is None else z
        assert some is not None
        with torch.autocast(some.device.type, enabled=False):
            parts = [] if z is None else [_normalise(z)]
            if self.embed is not None:
                parts.append(_normalise(self.embed(labels)))
            x = torch.cat(parts, dim=1)
            for layer in self.layers:
                x = leaky_relu_(layer(x, GAIN))
            return x


def _normalise(x: Tensor) -> Tensor:
    """Every row of [n, d] to a mean square of one."""
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)

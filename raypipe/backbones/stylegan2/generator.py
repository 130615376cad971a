"""The whole generator: z -> w -> w+ -> images."""

from __future__ import annotations

from torch import Tensor, nn

from raypipe.backbones.stylegan2.config import GeneratorConfig
from raypipe.backbones.stylegan2.mapping import Mapping
from raypipe.backbones.stylegan2.synthesis import Noise, Synthesis


class Generator(nn.Module):
    """``mapping``: z [n, z_dim] -> w [n, D]. ``synthesis``: w+ [n, L, D] -> images [n, 3, size, size]."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.config = config
        self.mapping = Mapping(
            config.z_dim,
            config.style_dim,
            layers=config.mapping_layers,
            width=config.mapping_width or config.style_dim,
            lr_multiplier=config.mapping_lr_multiplier,
            label_dim=config.label_dim,
            label_embed_dim=config.label_embed_dim or config.style_dim,
        )
        self.synthesis = Synthesis(config)

    @property
    def num_layers(self) -> int:
        """L: rows of a w+ code."""
        return self.config.num_layers

    @property
    def w_avg(self) -> Tensor:
        """The mean of w, [D]."""
        return self.mapping.w_avg

    def forward(self, z: Tensor, labels: Tensor | None = None, *, noise: Noise = "const") -> Tensor:
        """[n, z_dim] -> [n, 3, size, size]."""
        return self.synthesis(self.broadcast(self.mapping(z, labels)), noise)

    def broadcast(self, w_ND: Tensor) -> Tensor:
        """The same w for every layer: [n, D] -> [n, L, D]."""
        return w_ND[:, None].expand(-1, self.num_layers, -1)

    def truncate(self, w_plus_NLD: Tensor, psi: float, *, cutoff: int | None = None) -> Tensor:
        """Pull the first ``cutoff`` layers (None: all) towards ``w_avg``; psi 1 changes nothing, 0 gives ``w_avg``."""
        w_plus = w_plus_NLD.clone()
        w_plus[:, :cutoff] = self.w_avg.lerp(w_plus_NLD[:, :cutoff], psi)
        return w_plus

"""The whole generator: z -> w -> w+ -> images. N images, L rows of w+, D their width."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from raypipe.backbones.stylegan2.config import GeneratorConfig
from raypipe.backbones.stylegan2.mapping import Mapping
from raypipe.backbones.stylegan2.synthesis import Noise, Synthesis
from raypipe.errors import WrongUsage


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
        self.register_buffer("w_avg", torch.zeros(config.style_dim))

    w_avg: Tensor
    """The mean of w over all z, [D]: where truncation pulls to. Whoever trains the network keeps it up to date."""

    @property
    def num_layers(self) -> int:
        """L."""
        return self.config.num_layers

    def forward(
        self,
        z: Tensor,
        labels: Tensor | None = None,
        *,
        psi: float = 1.0,
        cutoff: int | None = None,
        noise: Noise = "const",
    ) -> Tensor:
        """[n, z_dim] (and [n, label_dim]) -> [n, 3, size, size]; ``psi`` and ``cutoff`` as in ``truncate``."""
        w_plus = self.broadcast(self.mapping(z, labels))
        images: Tensor = self.synthesis(self.truncate(w_plus, psi, cutoff=cutoff), noise)
        return images

    def broadcast(self, w_ND: Tensor) -> Tensor:
        """The same w for every layer: [n, D] -> [n, L, D]."""
        return w_ND[:, None].expand(-1, self.num_layers, -1)

    def mix(self, coarse_ND: Tensor, fine_ND: Tensor, index: int) -> Tensor:
        """Style mixing: rows below ``index`` from one w, the others from another -> [n, L, D].

        Raises:
            WrongUsage: ``index`` is not in [0, L].
        """
        if not 0 <= index <= self.num_layers:
            raise WrongUsage(f"cannot mix at layer {index}: the layers are 0 to {self.num_layers - 1}")
        return torch.cat([self.broadcast(coarse_ND)[:, :index], self.broadcast(fine_ND)[:, index:]], dim=1)

    def truncate(self, w_plus_NLD: Tensor, psi: float, *, cutoff: int | None = None) -> Tensor:
        """Pull the first ``cutoff`` rows (None: all) towards ``w_avg``: psi 1 changes nothing, 0 gives ``w_avg``."""
        if psi == 1.0:
            return w_plus_NLD
        pulled = self.w_avg.lerp(w_plus_NLD[:, :cutoff], psi)
        return pulled if cutoff is None else torch.cat([pulled, w_plus_NLD[:, cutoff:]], dim=1)

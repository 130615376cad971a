"""L2M-GAN: StarGAN v2's generator and style encoder, and the style transformer between them.

Source: Yang et al., L2M-GAN: Learning to Manipulate Latent Space Semantics for Facial Attribute Editing (CVPR 2021).
N faces, A attributes, K domains, D the width of styles.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from raypipe.backbones.stargan2 import (
    Generator,
    GeneratorConfig,
    StyleEncoder,
    StyleEncoderConfig,
    of_domain,
)
from raypipe.backbones.stargan2.domains import Domains
from raypipe.blocks.loading import load_network
from raypipe.config import as_dict
from raypipe.weights import Part

KIND = "l2m_gan"


@dataclass(frozen=True, kw_only=True)
class L2MConfig:
    """``size`` to ``high_pass`` are the networks', see ``stargan2.GeneratorConfig``.

    Attributes:
        attributes: whose values are the domains.
        own_branch: a source's style for a reference is that of its own domain's branch, as in the authors' code,
            instead of that of the target's, equation 10.
    """

    attributes: tuple[str, ...]
    size: int = 256
    style_dim: int = 64
    first_width: int = 0
    max_width: int = 512
    high_pass: float = 0.0
    own_branch: bool = False

    def __post_init__(self) -> None:
        self.generator()
        Domains(self.attributes)

    def generator(self) -> GeneratorConfig:
        """Of the generator."""
        return GeneratorConfig(
            size=self.size,
            style_dim=self.style_dim,
            first_width=self.first_width,
            max_width=self.max_width,
            high_pass=self.high_pass,
        )

    def style_encoder(self) -> StyleEncoderConfig:
        """Of the style encoder."""
        return StyleEncoderConfig(
            size=self.size,
            style_dim=self.style_dim,
            domains=len(Domains(self.attributes)),
            first_width=self.first_width,
            max_width=self.max_width,
        )


class StyleTransformer(nn.Module):
    """The decomposer P, and the domain transformer DT with a branch for each target domain."""

    def __init__(self, style_dim: int, domains: int) -> None:
        super().__init__()
        self.decomposer = _perceptron(style_dim)
        self.transformers = nn.ModuleList(_perceptron(style_dim) for _ in range(domains))

    def decompose(self, style_ND: Tensor) -> tuple[Tensor, Tensor]:
        """s -> s_un = P(s), what has nothing to do with the domain, and s_re = s - s_un; [n, D] each."""
        unrelated: Tensor = self.decomposer(style_ND)
        return unrelated, style_ND - unrelated

    def transform(self, related_ND: Tensor, domains_N: Tensor) -> Tensor:
        """DT: s_re [n, D], target domains int64 [n] -> s~_re [n, D]."""
        return of_domain(torch.stack([branch(related_ND) for branch in self.transformers], dim=1), domains_N)

    def forward(self, style_ND: Tensor, domains_N: Tensor) -> Tensor:
        """Equation 1: DT(s - P(s), y~) + P(s)."""
        unrelated, related = self.decompose(style_ND)
        return self.transform(related, domains_N) + unrelated


class L2MGAN(nn.Module):
    """What inference needs."""

    def __init__(self, config: L2MConfig) -> None:
        super().__init__()
        self.config = config
        self.domains = Domains(config.attributes)
        self.generator = Generator(config.generator())
        self.style_encoder = StyleEncoder(config.style_encoder())
        self.transformer = StyleTransformer(config.style_dim, len(self.domains))


def l2m_part(network: L2MGAN) -> Part:
    """What a bundle stores."""
    return Part(KIND, as_dict(network.config), network.state_dict())


def load_l2m(part: Part, device: str | torch.device) -> L2MGAN:
    """Ready for inference.

    Raises:
        BadWeights: a part of another kind, or tensors that do not fit its config.
    """
    return load_network(part, KIND, L2MConfig, L2MGAN, device)


def _perceptron(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Linear(width, width),
        nn.ReLU(),
        nn.Linear(width, width),
    )

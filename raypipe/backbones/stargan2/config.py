"""What the networks of StarGAN v2 are made of. Plain values, so that a model file can carry them.

The widths at a resolution are the same in all networks: ``first_width`` at full size, doubled at every halving, up to
``max_width``. Source: Choi et al., StarGAN v2 (CVPR 2020), appendix: tables of architectures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from raypipe.backbones.stargan2.domains import Domains
from raypipe.config import Range, check_ranges
from raypipe.errors import WrongUsage

SIZES = (32, 64, 128, 256, 512)

DEEPEST = 16
"""Width and height of the map between the generator's encoder and decoder."""


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """``size`` and the widths fix all shapes.

    Attributes:
        size: width and height of the pictures.
        style_dim: width of a style code.
        first_width: channels at full size; 0 = 16384 / size.
        max_width: channels that no map has more of, but at full size.
        high_pass: what the high-pass filter's response is divided by; 0 = blocks with shortcuts, and no filter.
    """

    size: int = 256
    style_dim: int = 64
    first_width: int = 0
    max_width: int = 512
    high_pass: float = 0.0

    def __post_init__(self) -> None:
        _check(self, "style_dim", "max_width")
        check_ranges(self, {"high_pass": Range(least=0)})

    @property
    def widths(self) -> tuple[int, ...]:
        """At full size and after each halving. With a high-pass filter there is one halving more."""
        halvings = int(math.log2(self.size // DEEPEST)) + (self.high_pass > 0)
        return widths(self.size, self.first_width, self.max_width, halvings)


@dataclass(frozen=True, kw_only=True)
class MappingConfig:
    """From noise to style codes: ``shared_layers`` for all domains, then ``own_layers`` for each."""

    latent_dim: int = 16
    style_dim: int = 64
    domains: int = 2
    hidden: int = 512
    shared_layers: int = 4
    own_layers: int = 4

    def __post_init__(self) -> None:
        check_ranges(self, dict.fromkeys(vars(self), Range(least=1)))


@dataclass(frozen=True, kw_only=True)
class StyleEncoderConfig:
    """As ``GeneratorConfig``; ``domains``: branches; ``attributes``: whose values the domains are, if that is known."""

    size: int = 256
    style_dim: int = 64
    domains: int = 2
    first_width: int = 0
    max_width: int = 512
    attributes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check(self, "style_dim", "domains", "max_width")
        if self.attributes and len(Domains(self.attributes)) != self.domains:
            raise WrongUsage(f"{', '.join(self.attributes)} have not {self.domains} combinations of values")


@dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig:
    """As ``StyleEncoderConfig``, without styles."""

    size: int = 256
    domains: int = 2
    first_width: int = 0
    max_width: int = 512

    def __post_init__(self) -> None:
        _check(self, "domains", "max_width")


def widths(size: int, first_width: int, max_width: int, halvings: int) -> tuple[int, ...]:
    """Channels at full size and after each of ``halvings``."""
    found = [first_width or 2**14 // size]
    for _ in range(halvings):
        found.append(min(2 * found[-1], max_width))
    return tuple(found)


def _check(config: GeneratorConfig | StyleEncoderConfig | DiscriminatorConfig, *counts: str) -> None:
    if config.size not in SIZES:
        raise WrongUsage(f"size {config.size} is not one of {', '.join(map(str, SIZES))}")
    check_ranges(config, dict.fromkeys(counts, Range(least=1)) | {"first_width": Range(least=0)})

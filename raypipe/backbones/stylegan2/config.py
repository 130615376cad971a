"""What a StyleGAN2 generator and discriminator are made of. Plain values, so that a model file can carry them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from raypipe.errors import WrongUsage

SMALLEST = 4


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """``channel_multiplier`` 2 is the papers' config-f, 1 is config-e. ``size`` and the channels fix all shapes.

    Attributes:
        size: width and height of the images, a power of two from 8 to 1024.
        style_dim: width of w.
        z_dim: width of z.
        label_dim: width of a condition vector; 0 = unconditional.
        label_embed_dim: width of its embedding; 0 = ``style_dim``.
        mapping_layers: depth of the mapping network.
        mapping_width: width of its inner layers; 0 = ``style_dim``.
        mapping_lr_multiplier: its learning rate, relative to the rest.
        channel_multiplier: channels at resolution r are ``min(16384 * channel_multiplier / r, channel_max)`` ...
        channel_max: ... with this limit ...
        channels: ... or these, one for each resolution 4, 8, ..., size.
        residual: residual blocks and one toRGB at the end, instead of one toRGB per block that are summed up.
        clamp: limit of the absolute value of every layer's output (for half precision); None = no limit.
    """

    size: int = 1024
    style_dim: int = 512
    z_dim: int = 512
    label_dim: int = 0
    label_embed_dim: int = 0
    mapping_layers: int = 8
    mapping_width: int = 0
    mapping_lr_multiplier: float = 0.01
    channel_multiplier: float = 2.0
    channel_max: int = 512
    channels: tuple[int, ...] = ()
    residual: bool = False
    clamp: float | None = None

    def __post_init__(self) -> None:
        _check_size(self.size, self.channels)

    @property
    def resolutions(self) -> tuple[int, ...]:
        """4, 8, ..., size."""
        return _resolutions(self.size)

    @property
    def channel_table(self) -> dict[int, int]:
        """Resolution -> channels."""
        return _channel_table(self.size, self.channel_multiplier, self.channel_max, self.channels)

    @property
    def num_layers(self) -> int:
        """How many rows of w+ the synthesis network reads."""
        return 2 * int(math.log2(self.size)) - 2


@dataclass(frozen=True, kw_only=True)
class DiscriminatorConfig:
    """The papers' residual discriminator; channels as in ``GeneratorConfig``.

    Attributes:
        label_map_dim: width of the mapped condition; 0 = channels at resolution 4.
        label_embed_dim: width of its embedding; 0 = ``label_map_dim``.
        mapping_layers, mapping_width, mapping_lr_multiplier: of the network that maps conditions.
        stddev_group: images that minibatch standard deviation compares; 0 = the whole batch.
        stddev_features: channels that it adds; 0 = none.
    """

    size: int = 1024
    label_dim: int = 0
    label_map_dim: int = 0
    label_embed_dim: int = 0
    mapping_layers: int = 8
    mapping_width: int = 0
    mapping_lr_multiplier: float = 0.01
    channel_multiplier: float = 2.0
    channel_max: int = 512
    channels: tuple[int, ...] = ()
    stddev_group: int = 4
    stddev_features: int = 1
    clamp: float | None = None

    def __post_init__(self) -> None:
        _check_size(self.size, self.channels)

    @property
    def resolutions(self) -> tuple[int, ...]:
        """4, 8, ..., size."""
        return _resolutions(self.size)

    @property
    def channel_table(self) -> dict[int, int]:
        """Resolution -> channels."""
        return _channel_table(self.size, self.channel_multiplier, self.channel_max, self.channels)


def _check_size(size: int, channels: tuple[int, ...]) -> None:
    if size not in (8, 16, 32, 64, 128, 256, 512, 1024):
        raise WrongUsage(f"size {size} is not a power of two from 8 to 1024")
    if channels and len(channels) != len(_resolutions(size)):
        raise WrongUsage(f"channels {channels} must have one entry for each of the resolutions {_resolutions(size)}")


def _resolutions(size: int) -> tuple[int, ...]:
    return tuple(2**power for power in range(2, int(math.log2(size)) + 1))


def _channel_table(size: int, multiplier: float, limit: int, channels: tuple[int, ...]) -> dict[int, int]:
    resolutions = _resolutions(size)
    if channels:
        return dict(zip(resolutions, channels, strict=True))
    return {resolution: min(int(16384 * multiplier) // resolution, limit) for resolution in resolutions}

"""Sizes of an inversion encoder."""

from __future__ import annotations

from dataclasses import dataclass

from raypipe.errors import WrongUsage

COARSE_ROWS = 3
MIDDLE_ROWS = 4


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """Sizes of the residual backbone, of the pyramid on it and of the code. The defaults are pSp's for 1024 px.

    Attributes:
        input_size: side of the input in pixels, a power of two.
        num_layers: rows of the code, one for each w that the generator's layers take.
        style_dim: width of a row.
        widths: channels of the four stages; the last is also the width of the feature pyramid.
        depths: bottlenecks in each stage.
        squeeze_excite: IR-SE-50 bottlenecks instead of IR-50.
        shared_heads: one head for all rows read from a pyramid level instead of one for each row: the fast kind
            for small pictures. Public checkpoints never have it.
    """

    input_size: int = 256
    num_layers: int = 18
    style_dim: int = 512
    widths: tuple[int, ...] = (64, 128, 256, 512)
    depths: tuple[int, ...] = (3, 4, 14, 3)
    squeeze_excite: bool = True
    shared_heads: bool = False

    def __post_init__(self) -> None:
        if self.input_size < 32 or self.input_size & (self.input_size - 1):
            raise WrongUsage(f"input_size must be a power of two >= 32, got {self.input_size}")
        if self.num_layers <= COARSE_ROWS + MIDDLE_ROWS:
            raise WrongUsage(f"num_layers must be > {COARSE_ROWS + MIDDLE_ROWS}, got {self.num_layers}")
        if len(self.widths) != 4 or len(self.depths) != 4 or min(self.widths + self.depths) < 1:
            raise WrongUsage(f"widths and depths need four positive numbers, got {self.widths} and {self.depths}")

    @property
    def rows(self) -> tuple[int, int, int]:
        """How many rows are read from the coarse, the middle and the fine pyramid level."""
        return COARSE_ROWS, MIDDLE_ROWS, self.num_layers - COARSE_ROWS - MIDDLE_ROWS

    @property
    def level_sizes(self) -> tuple[int, int, int]:
        """Side of the coarse, the middle and the fine pyramid level in pixels."""
        return self.input_size // 16, self.input_size // 8, self.input_size // 4

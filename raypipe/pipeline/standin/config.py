"""Sizes, schedule and weights of the losses of the stand-in model's training."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from raypipe.pipeline.standin.pictures import training_pictures


@dataclass(frozen=True, kw_only=True)
class StandinConfig:
    """Sizes, schedule and weights of the losses.

    Attributes:
        steps: where the learning rate reaches zero; it falls linearly over the last ``cooldown_steps``.
        growth_steps: when the picture grows to twice its size, the last time to ``size``; layouts are learned at small
            sizes, where a step is cheap (Karras et al. 2018).
        base_only_share: part of each batch that is rendered from the first row alone, so that one w makes a face.
        code_noise: deviation of the noise on the codes, so that neighbouring codes make similar pictures.
        base_weight, offset_weight: of the mean squares of the first row and of the other rows' offsets from it.
        mapping_codes, mapping_steps: how many codes the mapping network is fitted to, and how long.
        held_out_faces: how many faces not trained with are measured at the end.
    """

    seed: int = 1
    size: int = 64
    style_dim: int = 128
    channels: tuple[int, ...] = (256, 128, 96, 64, 32)
    encoder_widths: tuple[int, ...] = (16, 32, 64, 64)
    encoder_depths: tuple[int, ...] = (1, 1, 2, 1)
    batch: int = 16
    steps: int = 16_000
    growth_steps: tuple[int, ...] = (4_000, 7_500)
    warmup_steps: int = 200
    cooldown_steps: int = 4_000
    learning_rate: float = 3e-3
    average_decay: float = 0.998
    base_only_share: float = 0.25
    code_noise: float = 0.1
    base_weight: float = 1e-3
    offset_weight: float = 3e-3
    mapping_codes: int = 20_000
    mapping_steps: int = 1_500
    held_out_faces: int = 1_024

    def learning_rate_at(self, step: int) -> float:
        """Linear up over ``warmup_steps``, flat, linear down to zero over the last ``cooldown_steps``."""
        rise = min(1.0, (step + 1) / self.warmup_steps)
        fall = min(1.0, max(0.0, (self.steps - step) / self.cooldown_steps))
        return self.learning_rate * rise * fall

    def pictures(self, step: int) -> Tensor:
        """The batch that ``step`` is trained with, [batch,3,size,size] in [-1,1]."""
        return training_pictures(self.batch, self.size, seed=self.seed, step=step)

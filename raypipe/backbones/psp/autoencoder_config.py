"""How a generator and an encoder are trained together."""

from __future__ import annotations

from dataclasses import dataclass

from raypipe.backbones.stylegan2 import DiscriminatorConfig, GeneratorConfig
from raypipe.backbones.stylegan2.losses import lazy_r1_weight
from raypipe.blocks.optimising import late_cosine
from raypipe.config import Range, check_ranges
from raypipe.contract import Share
from raypipe.errors import WrongUsage


@dataclass(frozen=True, kw_only=True)
class Config:
    """The defaults are those that the small model was trained with.

    Attributes:
        batch: pictures of a step. The discriminator sees all of them; the first half is reconstructed, and as many
            pictures are made of random w.
        steps: how many there are.
        generator_from_step: the steps before this one are the discriminator's alone: a new one knows nothing, and at
            once destroys what the generator can do.
        learning_rate: of generator and encoder, constant ...
        discriminator_learning_rate: ... and the discriminator's, before its correction for lazy regularisation ...
        decay_share: ... but over this share of all steps, the last ones, both fall to zero along a cosine.
        pixel_weight: of the mean squared difference of pictures and reconstructions, which is small beside the
            logarithms of the adversarial loss.
        r1_gamma: weight of R1; None = what fits size and batch, see ``lazy_r1_weight``.
        d_reg_interval: steps from one R1 step to the next.
        stddev_group: images that the minibatch standard deviation of a new discriminator compares.
        w_avg_beta: how much of the mean w each step keeps.
        ema_half_life_images: of the averaged generator and encoder, which are what is kept.
        fid_images: pictures made for an evaluation, and real ones used at most; 2 or more.
        bf16: compute in bfloat16 where that is safe; a CPU needs AVX512-BF16 or AMX to gain by it.
    """

    batch: int = 16
    steps: int = 20_000
    generator_from_step: int = 0
    learning_rate: float = 1e-3
    discriminator_learning_rate: float = 2e-3
    decay_share: float = 0.25
    pixel_weight: float = 100.0
    r1_gamma: float | None = None
    d_reg_interval: int = 16
    stddev_group: int = 4
    w_avg_beta: float = 0.995
    ema_half_life_images: float = 10_000.0
    fid_images: int = 2_000
    bf16: bool = False

    def __post_init__(self) -> None:
        check_ranges(self, _RANGES)

    def pace(self, step: int) -> float:
        """Share of the learning rates at the step, counted from 0."""
        return late_cosine(step, steps=self.steps, share=self.decay_share)

    def r1_weight(self, size: int) -> float:
        """Of R1 in its own steps, for pictures of this size."""
        return lazy_r1_weight(self.r1_gamma, size=size, batch=self.batch, interval=self.d_reg_interval)

    def check_shares(self, share: Share) -> None:
        """Every worker needs halves, and whole groups for minibatch standard deviation.

        Raises:
            WrongUsage: they do not come out even.
        """
        rows, odd = divmod(self.batch, share.count)
        if odd or rows % 2 or rows % self.stddev_group:
            raise WrongUsage(
                f"a batch of {self.batch} cannot be shared by {share.count} workers: each one's rows must be a "
                f"multiple of 2 and of stddev_group {self.stddev_group}"
            )

    def discriminator(self, generator: GeneratorConfig) -> DiscriminatorConfig:
        """A new one, as wide as the generator."""
        return DiscriminatorConfig(
            size=generator.size,
            channel_multiplier=generator.channel_multiplier,
            channel_max=generator.channel_max,
            channels=generator.channels,
            stddev_group=self.stddev_group,
        )


_RANGES = (
    dict.fromkeys(("batch", "steps", "d_reg_interval", "stddev_group"), Range(least=1))
    | dict.fromkeys(("generator_from_step", "pixel_weight", "r1_gamma"), Range(least=0))
    | dict.fromkeys(("decay_share", "w_avg_beta"), Range(least=0, most=1))
    | dict.fromkeys(("learning_rate", "discriminator_learning_rate", "ema_half_life_images"), Range(above=0))
    | {"fid_images": Range(least=2)}
)

"""How a StyleGAN2 is trained, and what networks that gives."""

from __future__ import annotations

from dataclasses import dataclass

from raypipe.backbones.stylegan2.config import DiscriminatorConfig, GeneratorConfig
from raypipe.backbones.stylegan2.losses import lazy_r1_weight
from raypipe.blocks.optimising import late_cosine
from raypipe.config import Range, check_ranges
from raypipe.contract import DataFacts
from raypipe.errors import WrongUsage


@dataclass(frozen=True, kw_only=True)
class Config:
    """The defaults fit 64 pixels and one GPU; the papers' values for more are in their table of configurations.

    ``style_dim`` (of z too), ``mapping_layers``, ``channel_multiplier``, ``channel_max``, ``channels`` and
    ``stddev_group`` are the networks', see ``GeneratorConfig`` and ``DiscriminatorConfig``.

    Attributes:
        batch: pictures of the global batch.
        accumulate: passes whose gradients make one step, to save memory.
        conditional: whether the networks are told the labels.
        warm_start: begin with the networks of the given models (transfer learning, section 4.3 of the ADA paper): their
            sizes then count, not those here.
        generator_from_step: the steps before this one are the discriminator's alone. A new discriminator knows nothing,
            and at once destroys what a generator that comes by ``warm_start`` can do.
        mirror: whether half of the real pictures are mirrored.
        learning_rate: of Adam, before the correction for lazy regularisation; constant ...
        decay_share: ... but over this share of all steps, the last ones, it falls to zero along a cosine.
        r1_gamma: weight of R1; None = what fits size and batch, see ``lazy_r1_weight``.
        d_reg_interval: steps from one R1 step to the next.
        path_length_weight: of the path length penalty; 0 = none.
        path_length_decay: how much of the mean path length each penalty step replaces.
        path_batch_shrink: the penalty is computed on one in so many pictures.
        g_reg_interval: steps from one path length step to the next.
        mixing: share of pictures with two styles.
        w_avg_beta: how much of the mean w each step keeps.
        ema_half_life_images: of the averaged generator ...
        ema_ramp: ... and at most this share of the pictures seen; 0 = no such limit.
        augment: whether the discriminator's pictures are augmented.
        augment_target: mean sign of the logits of real pictures that the probability is steered to.
        augment_length_images: in which the probability can go from 0 to 1.
        augment_interval: steps from one change of the probability to the next.
        fid_images: pictures made for an evaluation, and real ones used at most; 2 or more.
        bf16: compute in bfloat16 where that is safe; a CPU needs AVX512-BF16 or AMX to gain by it.
        compile: torch.compile what is not differentiated twice.
    """

    batch: int = 32
    steps: int = 200_000
    accumulate: int = 1
    conditional: bool = False
    warm_start: bool = False
    generator_from_step: int = 0
    mirror: bool = True
    style_dim: int = 512
    mapping_layers: int = 8
    channel_multiplier: float = 1.0
    channel_max: int = 512
    channels: tuple[int, ...] = ()
    stddev_group: int = 4
    learning_rate: float = 0.0025
    decay_share: float = 0.0
    r1_gamma: float | None = None
    d_reg_interval: int = 16
    path_length_weight: float = 2.0
    path_length_decay: float = 0.01
    path_batch_shrink: int = 2
    g_reg_interval: int = 4
    mixing: float = 0.9
    w_avg_beta: float = 0.995
    ema_half_life_images: float = 10_000.0
    ema_ramp: float = 0.05
    augment: bool = True
    augment_target: float = 0.6
    augment_length_images: float = 500_000.0
    augment_interval: int = 4
    fid_images: int = 10_000
    bf16: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        check_ranges(self, _RANGES)

    def learning_rate_at(self, step: int) -> float:
        """Of the step, counted from 0."""
        return self.learning_rate * late_cosine(step, steps=self.steps, share=self.decay_share)

    def r1_weight(self, size: int) -> float:
        """Of R1 in its own steps, for pictures of this size."""
        return lazy_r1_weight(self.r1_gamma, size=size, batch=self.batch, interval=self.d_reg_interval)

    def check_shares(self, workers: int) -> None:
        """Every pass of every worker needs whole groups for minibatch standard deviation, or results would depend on
        how the batch is divided.

        Raises:
            WrongUsage: they do not come out even.
        """
        parts = workers * self.accumulate
        unit = self.stddev_group * parts
        if self.batch % unit or (self.batch // parts) % self.path_batch_shrink:
            raise WrongUsage(
                f"a batch of {self.batch} gives {workers} workers x {self.accumulate} passes no whole groups: it must "
                f"be a multiple of {unit} (stddev_group {self.stddev_group}), and the part of each pass of "
                f"path_batch_shrink {self.path_batch_shrink}"
            )

    def generator(self, data: DataFacts) -> GeneratorConfig:
        """The generator for this data.

        Raises:
            WrongUsage: its size cannot be, or there are no labels where the networks are to be told.
        """
        return GeneratorConfig(
            size=data.size,
            style_dim=self.style_dim,
            z_dim=self.style_dim,
            label_dim=self._label_dim(data),
            mapping_layers=self.mapping_layers,
            channel_multiplier=self.channel_multiplier,
            channel_max=self.channel_max,
            channels=self.channels,
        )

    def discriminator(self, data: DataFacts) -> DiscriminatorConfig:
        """As ``generator``."""
        return DiscriminatorConfig(
            size=data.size,
            label_dim=self._label_dim(data),
            mapping_layers=self.mapping_layers,
            channel_multiplier=self.channel_multiplier,
            channel_max=self.channel_max,
            channels=self.channels,
            stddev_group=self.stddev_group,
        )

    def _label_dim(self, data: DataFacts) -> int:
        if self.conditional and not data.attributes:
            raise WrongUsage("conditional networks are told the labels, and the data has none")
        return len(data.attributes) if self.conditional else 0


_RANGES = (
    dict.fromkeys(("batch", "steps", "accumulate", "style_dim", "mapping_layers", "stddev_group"), Range(least=1))
    | dict.fromkeys(("d_reg_interval", "g_reg_interval", "path_batch_shrink", "augment_interval"), Range(least=1))
    | dict.fromkeys(("path_length_weight", "ema_ramp", "generator_from_step", "r1_gamma"), Range(least=0))
    | dict.fromkeys(("learning_rate", "ema_half_life_images", "augment_length_images"), Range(above=0))
    | dict.fromkeys(("decay_share", "mixing", "w_avg_beta", "path_length_decay"), Range(least=0, most=1))
    | {"fid_images": Range(least=2)}
)

"""Settings that the trainings of pSp and e4e share."""

from __future__ import annotations

from dataclasses import dataclass, field

from raypipe.backbones.psp.config import EncoderConfig
from raypipe.blocks.optimising import check_passes, late_cosine
from raypipe.config import Range, check_ranges
from raypipe.contract import Site


@dataclass(frozen=True, kw_only=True)
class EncoderShape:
    """The sizes of an encoder that neither the pictures nor the generator fix, see ``EncoderConfig``."""

    widths: tuple[int, ...] = (64, 128, 256, 512)
    depths: tuple[int, ...] = (3, 4, 14, 3)
    squeeze_excite: bool = True
    shared_heads: bool = False

    def config(self, *, input_size: int, num_layers: int, style_dim: int) -> EncoderConfig:
        """All sizes of the encoder.

        Raises:
            WrongUsage: sizes that no encoder can have.
        """
        return EncoderConfig(
            input_size=input_size,
            num_layers=num_layers,
            style_dim=style_dim,
            widths=self.widths,
            depths=self.depths,
            squeeze_excite=self.squeeze_excite,
            shared_heads=self.shared_heads,
        )


@dataclass(frozen=True, kw_only=True)
class InversionConfig:
    """How an encoder is trained. The defaults are those of pSp's published commands.

    Attributes:
        batch: pictures of a step, over all workers and passes.
        steps: how many there are.
        encoder: sizes of the network.
        learning_rate: Ranger's, constant ...
        decay_share: ... but over this share of all steps, the last ones, it falls to zero along a cosine.
        pixel_weight: of the mean squared difference of the pixels.
        perceptual_weight: of LPIPS, or of the discriminator's features where there is no LPIPS.
        identity_weight: of 1 - cosine of the identity vectors of the picture and its reconstruction.
        average_weight: of the codes' distance to the average code; 0.005 in pSp's other tasks.
        generated_share: of each batch, how much is not taken from the data but made by the generator, whose w is then
            known. A small generator makes pictures faster than a disk, and a known w teaches more than a picture: good
            for small models, which see only such pictures at first; photographs then close the gap to what the
            generator cannot make.
        generated_mixing: how many of those have two w, a coarse and a fine one (style mixing).
        latent_weight: of the mean squared difference to the known w, for generated pictures.
        mirror: whether half of the pictures are mirrored.
        random_noise: reconstruct with fresh noise maps, as the public code does, instead of the generator's own.
        freeze_statistics: normalise with the statistics that the encoder came with. For batches too small to have
            statistics, and for results that do not depend on how many workers share the batch.
        start_from_identity: begin with the backbone of the part ``identity``, as the public code does.
        start_from_encoder: begin with the part ``encoder``, made for a generator like this one: its sizes then count,
            not those here. With e4e's ``progressive_start`` of 0 all its rows are in use from the first step.
        ema_half_life_images: average the weights, see ``update_average``; 0 = use the last ones, as the public code.
        accumulate: passes that a worker's share of the batch is worked through in.
        bf16: autocast to bfloat16; a CPU needs AVX512-BF16 or AMX to gain by it.
    """

    batch: int = 8
    steps: int = 500_000
    encoder: EncoderShape = field(default_factory=EncoderShape)
    learning_rate: float = 1e-4
    decay_share: float = 0.0
    pixel_weight: float = 1.0
    perceptual_weight: float = 0.8
    identity_weight: float = 0.1
    average_weight: float = 0.0
    generated_share: float = 0.0
    generated_mixing: float = 0.0
    latent_weight: float = 1.0
    mirror: bool = True
    random_noise: bool = True
    freeze_statistics: bool = False
    start_from_identity: bool = False
    start_from_encoder: bool = False
    ema_half_life_images: float = 0.0
    accumulate: int = 1
    bf16: bool = False

    def __post_init__(self) -> None:
        others = []
        if self.start_from_identity and self.start_from_encoder:
            others.append("start_from_identity and start_from_encoder exclude each other")
        check_ranges(self, _RANGES, others)

    @property
    def generated(self) -> int:
        """Pictures of each batch that the generator makes."""
        return round(self.generated_share * self.batch)

    def learning_rate_at(self, step: int) -> float:
        """Of the step, counted from 0."""
        return self.learning_rate * late_cosine(step, steps=self.steps, share=self.decay_share)

    def check_batch(self, site: Site) -> None:
        """Raises:
        WrongUsage: the batch cannot be divided equally among workers and passes.
        """
        check_passes(self.batch, site.share.count, self.accumulate)


_RANGES = (
    dict.fromkeys(("batch", "steps", "accumulate"), Range(least=1))
    | dict.fromkeys(("learning_rate", "pixel_weight", "perceptual_weight", "identity_weight"), Range(least=0))
    | dict.fromkeys(("average_weight", "latent_weight", "ema_half_life_images"), Range(least=0))
    | dict.fromkeys(("decay_share", "generated_share", "generated_mixing"), Range(least=0, most=1))
)

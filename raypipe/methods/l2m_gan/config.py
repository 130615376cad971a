"""How an L2M-GAN is trained."""

from __future__ import annotations

from dataclasses import dataclass

from raypipe.blocks.optimising import check_passes
from raypipe.config import Range, check_ranges
from raypipe.methods.l2m_gan.losses import ORTHOGONALITY


@dataclass(frozen=True, kw_only=True)
class L2MGANConfig:
    """Defaults are the paper's, section 4.1, for 256 px; where it is silent, StarGAN v2's. The authors' code, which
    has no training loop, has as defaults ``style_weight`` and ``perceptual_weight`` 1 and ``weight_decay`` 1e-4.

    ``style_dim`` to ``high_pass`` are the networks', see ``stargan2.GeneratorConfig``; the paper mentions no high-pass
    filter, which needs a model with a network of face landmarks.

    Attributes:
        batch: pictures of the global batch.
        accumulate: passes whose gradients make one step, to save memory.
        attributes: of the data's, all of them if empty; the domains are all combinations of their values.
        warm_start: begin with the model's networks, of their sizes; for their attributes, or for ``attributes`` with
            all of them that does not depend on domains.
        balanced: real faces weigh in the discriminator's loss as if all domains were equally frequent, as targets are.
            StarGAN v2 draws them so.
        mirror: whether half of the pictures are mirrored.
        crop: with which probability a picture is cut at random, see ``blocks.jitter.crop``.
        shift: by how much of their side pictures are moved at most.
        learning_rate: of Adam, with betas 0 and 0.99; constant.
        weight_decay: times the weights is added to gradients. The paper does not mention it.
        cycle_weight, style_weight, perceptual_weight, orthogonality_weight: lambda of equation 7. 0 leaves a loss out.
        orthogonality: equation 6 (``l1``), or by inner products (``inner``), or only the first of them (``single``).
        reconstruction_weight: of the mean absolute difference of a face and the same face drawn in its own style. The
            paper has no such loss; short trainings learn to draw faces much earlier with it.
        mismatch_weight: of real faces that the branches of other domains are to call fake. The paper has no such loss;
            with it the discriminator learns early what tells domains apart.
        discriminator_steps: steps at the beginning in which the discriminator alone learns, from real faces: to tell
            domains apart, as by ``mismatch_weight``. The paper has none.
        r1_weight: of half the squared gradient of the discriminator at real pictures. The paper does not mention it,
            StarGAN v2 does.
        ema_half_life_images: of the averaged networks; the default is a decay of 0.999 a step of 8.
        evaluated_faces: held-out faces that are translated for an evaluation, at most.
        bf16: compute in bfloat16 where that is safe.
        compile: torch.compile what is not differentiated twice.
    """

    batch: int = 8
    steps: int = 100_000
    accumulate: int = 1
    attributes: tuple[str, ...] = ()
    warm_start: bool = False
    balanced: bool = True
    mirror: bool = True
    crop: float = 0.5
    shift: float = 0.0
    style_dim: int = 64
    first_width: int = 0
    max_width: int = 512
    high_pass: float = 0.0
    learning_rate: float = 1e-4
    weight_decay: float = 0.0
    cycle_weight: float = 1.0
    style_weight: float = 2.0
    perceptual_weight: float = 2.0
    orthogonality_weight: float = 1.0
    orthogonality: str = "l1"
    reconstruction_weight: float = 0.0
    mismatch_weight: float = 0.0
    discriminator_steps: int = 0
    r1_weight: float = 1.0
    ema_half_life_images: float = 5_542.0
    evaluated_faces: int = 2_000
    bf16: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        others = []
        if self.orthogonality not in ORTHOGONALITY:
            others.append(f"orthogonality {self.orthogonality!r} is not one of {', '.join(ORTHOGONALITY)}")
        check_ranges(self, _RANGES, others)

    def check_shares(self, workers: int) -> None:
        """Raises:
        WrongUsage: workers and passes would get unequal shares of a batch.
        """
        check_passes(self.batch, workers, self.accumulate)


_RANGES = (
    dict.fromkeys(("batch", "accumulate", "style_dim", "max_width"), Range(least=1))
    | dict.fromkeys(("steps", "first_width", "weight_decay", "r1_weight", "discriminator_steps"), Range(least=0))
    | dict.fromkeys(("cycle_weight", "style_weight", "perceptual_weight", "high_pass"), Range(least=0))
    | dict.fromkeys(("orthogonality_weight", "reconstruction_weight", "mismatch_weight"), Range(least=0))
    | dict.fromkeys(("learning_rate", "ema_half_life_images"), Range(above=0))
    | {"crop": Range(least=0, most=1), "shift": Range(least=0, below=1), "evaluated_faces": Range(least=2)}
)

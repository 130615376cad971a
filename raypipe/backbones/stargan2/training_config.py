"""How a StarGAN v2 is trained."""

from __future__ import annotations

from dataclasses import dataclass

from raypipe.config import Range, check_ranges
from raypipe.errors import WrongUsage

ROLES = 3
"""Of a batch's faces: those that are changed, the references that say how, and others to differ from."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Defaults are the public code's; for CelebA-HQ it has ``high_pass`` 1 as well.

    ``style_dim`` to ``hidden`` are the networks', see ``GeneratorConfig`` and ``MappingConfig``; ``high_pass`` needs a
    model with a network of face landmarks.

    Attributes:
        batch: faces of the global batch; a third of them are changed, after the second and the last third.
        attributes: of the data's, all of them if empty; the domains are all combinations of their values.
        mirror: whether half of the pictures are mirrored.
        crop: with which probability a picture is cut at random, see ``blocks.jitter.crop``.
        shift: by how much of their side pictures are moved at most.
        learning_rate: of Adam, with betas 0 and 0.99; constant.
        mapping_learning_rate: of the mapping network's.
        weight_decay: times the weights is added to gradients.
        style_weight, cycle_weight: of these losses.
        diversity_weight: falls linearly to 0 ...
        diversity_steps: ... in so many steps.
        warm_start: begin with the model's networks, of these sizes; where its domains are of other attributes, with all
            that does not depend on them.
        perceptual_weight: of the distance of perceptual features of a face and of the same face changed; StarGAN v2 has
            no such loss, the ablation of L2M-GAN has.
        reconstruction_weight, mismatch_weight, discriminator_steps: for short trainings, see ``L2MGANConfig``; not in
            StarGAN v2.
        r1_weight: of half the squared gradient of the discriminator at real pictures.
        ema_half_life_images: of the averaged networks; the default is a decay of 0.999 a step of 8 faces.
        evaluated_faces: held-out faces that are changed for an evaluation, at most.
        bf16: compute in bfloat16 where that is safe.
    """

    batch: int = 24
    steps: int = 100_000
    attributes: tuple[str, ...] = ()
    warm_start: bool = False
    mirror: bool = True
    crop: float = 0.5
    shift: float = 0.0
    style_dim: int = 64
    first_width: int = 0
    max_width: int = 512
    high_pass: float = 0.0
    latent_dim: int = 16
    hidden: int = 512
    learning_rate: float = 1e-4
    mapping_learning_rate: float = 1e-6
    weight_decay: float = 1e-4
    style_weight: float = 1.0
    cycle_weight: float = 1.0
    diversity_weight: float = 1.0
    diversity_steps: int = 100_000
    perceptual_weight: float = 0.0
    reconstruction_weight: float = 0.0
    mismatch_weight: float = 0.0
    discriminator_steps: int = 0
    r1_weight: float = 1.0
    ema_half_life_images: float = 5_542.0
    evaluated_faces: int = 2_000
    bf16: bool = False

    def __post_init__(self) -> None:
        check_ranges(self, _RANGES)

    def check_shares(self, workers: int) -> None:
        """Raises:
        WrongUsage: a worker's share of a batch has no thirds.
        """
        if self.batch % (workers * ROLES):
            raise WrongUsage(
                f"a batch of {self.batch} gives {workers} workers no faces to change, references and others alike: "
                f"give a multiple of {workers * ROLES}"
            )

    def diversity_weight_at(self, step: int) -> float:
        """Of the step, counted from 0."""
        return self.diversity_weight * max(0.0, 1 - step / self.diversity_steps)


_RANGES = (
    dict.fromkeys(("batch", "style_dim", "max_width", "latent_dim", "hidden", "diversity_steps"), Range(least=1))
    | dict.fromkeys(("steps", "first_width", "weight_decay", "style_weight", "cycle_weight"), Range(least=0))
    | dict.fromkeys(("diversity_weight", "perceptual_weight", "r1_weight", "discriminator_steps"), Range(least=0))
    | dict.fromkeys(("reconstruction_weight", "mismatch_weight", "high_pass"), Range(least=0))
    | dict.fromkeys(("learning_rate", "mapping_learning_rate", "ema_half_life_images"), Range(above=0))
    | {"crop": Range(least=0, most=1), "shift": Range(least=0, below=1), "evaluated_faces": Range(least=2)}
)

"""Made-up faces with exact ground truth: factors, CelebA-style attributes, part maps and landmarks."""

from raypipe.synthfaces.attributes import attributes
from raypipe.synthfaces.drawing import PARTS
from raypipe.synthfaces.factors import FACTOR_NAMES, FACTORS, IDENTITY_FACTORS, LOOK_FACTORS, Factor, Factors
from raypipe.synthfaces.render import LARGEST, SMALLEST, Rendered, render
from raypipe.synthfaces.sampling import sample_factors

__all__ = [
    "FACTORS",
    "FACTOR_NAMES",
    "IDENTITY_FACTORS",
    "LARGEST",
    "LOOK_FACTORS",
    "PARTS",
    "SMALLEST",
    "Factor",
    "Factors",
    "Rendered",
    "attributes",
    "render",
    "sample_factors",
]

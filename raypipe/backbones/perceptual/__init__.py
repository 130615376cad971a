"""How alike two pictures look: distances between the features of networks that were trained for something else."""

from raypipe.backbones.perceptual.discriminator_features import DiscriminatorFeatures
from raypipe.backbones.perceptual.lpips import Lpips, LpipsConfig, load_lpips, lpips_part
from raypipe.backbones.perceptual.parts import load_perceptual

__all__ = ["DiscriminatorFeatures", "Lpips", "LpipsConfig", "load_lpips", "load_perceptual", "lpips_part"]

"""Facial attributes changed by label, after another face, or in styles drawn by a seed: L2M-GAN's baseline."""

from raypipe.methods.stargan_v2.method import PARTS, PICTURE_SIZE, load
from raypipe.methods.stargan_v2.networks import OPTIONAL_PARTS

__all__ = ["OPTIONAL_PARTS", "PARTS", "PICTURE_SIZE", "load"]

"""Facial attributes changed by label, with a strength, or after another face; search by what else a face is."""

from raypipe.methods.l2m_gan.config import L2MGANConfig as Config
from raypipe.methods.l2m_gan.foreign import imported
from raypipe.methods.l2m_gan.method import OPTIONAL_PARTS, PARTS, load
from raypipe.methods.l2m_gan.recipe import build_recipe, columns

__all__ = ["OPTIONAL_PARTS", "PARTS", "Config", "build_recipe", "columns", "imported", "load"]

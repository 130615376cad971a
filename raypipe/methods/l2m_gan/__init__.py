"""Facial attributes changed by label, with a strength, or after another face; search by what else a face is."""

from raypipe.methods.l2m_gan.config import L2MGANConfig as Config
from raypipe.methods.l2m_gan.evaluation import EVALUATION_NEEDS, EvaluationConfig, evaluate_beside
from raypipe.methods.l2m_gan.foreign import imported
from raypipe.methods.l2m_gan.method import OPTIONAL_PARTS, PARTS, PICTURE_SIZE, load
from raypipe.methods.l2m_gan.recipe import build_recipe, columns

__all__ = [
    "EVALUATION_NEEDS",
    "OPTIONAL_PARTS",
    "PARTS",
    "PICTURE_SIZE",
    "Config",
    "EvaluationConfig",
    "build_recipe",
    "columns",
    "evaluate_beside",
    "imported",
    "load",
]

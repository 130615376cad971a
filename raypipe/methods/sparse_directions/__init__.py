"""One orthogonal, sparse direction in W+ for each attribute: search with adjustments and preferences, and edits."""

from raypipe.methods.sparse_directions.config import SparseDirectionsConfig as Config
from raypipe.methods.sparse_directions.method import PARTS, load
from raypipe.methods.sparse_directions.recipe import build_recipe, columns

__all__ = ["PARTS", "Config", "build_recipe", "columns", "load"]

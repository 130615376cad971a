"""One orthogonal, sparse direction in W+ for each attribute: search with adjustments and preferences, and edits."""

from raypipe.methods.sparse_directions.config import SparseDirectionsConfig as Config
from raypipe.methods.sparse_directions.evaluation import EVALUATION_NEEDS, EvaluationConfig, evaluate
from raypipe.methods.sparse_directions.foreign import exported_files, imported_part
from raypipe.methods.sparse_directions.method import PARTS, load
from raypipe.methods.sparse_directions.recipe import build_recipe, columns

__all__ = [
    "EVALUATION_NEEDS",
    "PARTS",
    "Config",
    "EvaluationConfig",
    "build_recipe",
    "columns",
    "evaluate",
    "exported_files",
    "imported_part",
    "load",
]

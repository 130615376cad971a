"""Search by one facial feature (eyes, nose, mouth, hair, pose) and transfer of it from one face to another."""

from raypipe.methods.retrieve_in_style.config import RetrieveInStyleConfig as Config
from raypipe.methods.retrieve_in_style.evaluation import EVALUATION_NEEDS, EvaluationConfig, evaluate
from raypipe.methods.retrieve_in_style.known_clusters import centres_part
from raypipe.methods.retrieve_in_style.method import PARTS, load
from raypipe.methods.retrieve_in_style.recipe import build_recipe, columns

__all__ = [
    "EVALUATION_NEEDS",
    "PARTS",
    "Config",
    "EvaluationConfig",
    "build_recipe",
    "centres_part",
    "columns",
    "evaluate",
    "load",
]

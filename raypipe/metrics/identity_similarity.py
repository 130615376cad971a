"""How much the people found look like the one asked for. Paper 1, section 4: mean cosine of face embeddings."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from raypipe.errors import WrongUsage


def identity_similarity(queries: Tensor, results: Tensor) -> Tensor:
    """The mean cosine of each query with its results.

    Args:
        queries: embeddings of the query faces before any adjustment, [q,d], of any length but 0.
        results: embeddings of what was found, [q,k,d].

    Returns:
        [q] float32 in [-1,1].

    Raises:
        WrongUsage: shapes that do not belong together.
    """
    if results.ndim != 3 or queries.shape != (results.shape[0], results.shape[2]):
        raise WrongUsage(f"queries [q,d] and results [q,k,d], got {list(queries.shape)} and {list(results.shape)}")
    return F.cosine_similarity(queries.float()[:, None], results.float(), dim=2).mean(1)

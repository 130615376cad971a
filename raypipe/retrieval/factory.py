"""A Faiss index of one's own choice over the scan rows, by the string that ``faiss.index_factory`` reads.

It holds what ``scan_rows`` describes and is asked for the highest inner products, so that every preference still works.
It finds candidates, which are compared in full; nothing proves that they are all. Kinds that cannot leave out rows
during a search (PQ alone, NSG, ...) could not answer filters and deletes, and are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np

from raypipe.errors import RaypipeError, WrongUsage
from raypipe.retrieval.space import Array

LIST_SHARES = ((0.9, 0.2), (0.99, 0.5))
"""Asked recall -> the share of a shard's rows looked at. Measured, see ``benchmarks/search.py``."""

_TRIED_ROWS = 256


@dataclass(frozen=True)
class Factory:
    """``text``: what was asked. ``trained``: the trained index without rows, as Faiss writes it."""

    text: str
    trained: bytes


def share_of_lists(recall: float) -> float:
    """How much of a shard is looked at where so much recall is asked."""
    return next((share for limit, share in LIST_SHARES if recall <= limit), 1.0)


def train(text: str, rows_SC: Array) -> Factory:
    """An index of that kind, trained on scan rows, float32.

    Raises:
        WrongUsage: Faiss cannot make or train it, it cannot leave out rows during a search, or it changes products.
    """
    make: Any = faiss.index_factory
    try:
        index = make(rows_SC.shape[1], text, faiss.METRIC_INNER_PRODUCT)
        index.train(rows_SC)
        _refuse_moved_origin(index)
        trained = faiss.serialize_index(index).tobytes()
        _try(index, rows_SC[:_TRIED_ROWS])
    except RuntimeError as error:
        raise WrongUsage(f"factory {text!r} cannot be used over {rows_SC.shape[1]} numbers a row: {error}") from error
    return Factory(text, trained)


def without_rows(factory: Factory) -> Any:
    """The trained index, for rows to be added."""
    return opened(np.frombuffer(factory.trained, np.uint8))


def opened(content: Array) -> Any:
    """An index from what Faiss wrote.

    Raises:
        RaypipeError: Faiss cannot read it.
    """
    try:
        return faiss.deserialize_index(content)
    except RuntimeError as error:
        raise RaypipeError(f"an index of Faiss cannot be opened: {error}") from error


def add_rows(index: Any, rows_NC: Array) -> None:
    """The next scan rows, float32.

    A graph links rows that are near each other. Their product says how near a row is to a query's, not to another row,
    so links are made by the distance between rows; searches follow them by the product.
    """
    kinds: Any = faiss
    if not isinstance(index, kinds.IndexHNSW):
        index.add(rows_NC)
        return
    _compare_by(index, faiss.METRIC_L2)
    index.add(rows_NC)
    _compare_by(index, faiss.METRIC_INNER_PRODUCT)


def candidates(index: Any, probe_C: Array, count: int, recall: float, allowed: Array | None) -> tuple[Array, Array]:
    """Rows and scores of about the ``count`` highest scores, highest first; fewer where fewer are found."""
    selector: Any = faiss.IDSelectorBitmap
    chosen = None if allowed is None else selector(np.packbits(allowed, bitorder="little"))
    scores, rows = index.search(probe_C[None], count, params=_parameters(index, chosen, count, recall))
    found = rows[0] >= 0
    return rows[0][found], scores[0][found]


def _compare_by(graph: Any, metric: int) -> None:
    storage: Any = faiss.downcast_index(graph.storage)
    graph.metric_type = storage.metric_type = metric
    graph.hnsw.is_similarity = metric == faiss.METRIC_INNER_PRODUCT


def _parameters(index: Any, chosen: Any, count: int, recall: float) -> Any:
    """Of this search alone."""
    kinds: Any = faiss
    index = faiss.downcast_index(index)
    if isinstance(index, kinds.IndexPreTransform):
        inner = _parameters(index.index, chosen, count, recall)
        return kinds.SearchParametersPreTransform(index_params=inner)
    if isinstance(index, kinds.IndexIVF):
        probed = max(1, int(np.ceil(share_of_lists(recall) * index.nlist)))
        return kinds.SearchParametersIVF(sel=chosen, nprobe=probed)
    if isinstance(index, kinds.IndexHNSW):
        return kinds.SearchParametersHNSW(sel=chosen, efSearch=2 * count)
    return kinds.SearchParameters(sel=chosen)


def _refuse_moved_origin(index: Any) -> None:
    """A PCA subtracts a mean from rows and queries alike: then the product does not rank rows as it did."""
    kinds: Any = faiss
    if isinstance(index, kinds.IndexPreTransform):
        steps = [kinds.downcast_VectorTransform(index.chain.at(i)) for i in range(index.chain.size())]
        if any(getattr(step, "have_bias", False) for step in steps):
            raise RuntimeError("it moves the origin, which changes products; OPQ and RR do not")


def _try(index: Any, rows_SC: Array) -> None:
    """Search a few rows of which every other one must not be found."""
    if not len(rows_SC):
        return
    add_rows(index, rows_SC)
    allowed = np.arange(len(rows_SC)) % 2 == 0
    rows, _ = candidates(index, rows_SC[0], len(rows_SC), 1.0, allowed)
    if not allowed[rows].all():
        raise RuntimeError("it finds rows that a filter has left out")

"""Faiss's lists of float16 scan rows: an index that is asked for the highest products with a query's row.

Their centroids are all 0, and none is nearer than another: who searches says which lists, or looks at all.
N rows, C columns, Q queries, K rows found of each.
"""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np

from raypipe.retrieval.space import Array


def empty_lists(count: int, columns: int) -> Any:
    """So many lists without rows."""
    nobody = faiss.IndexFlatL2(columns)
    nobody.add(np.zeros((count, columns), np.float32))
    kind = faiss.ScalarQuantizer.QT_fp16
    lists = faiss.IndexIVFScalarQuantizer(nobody, columns, count, kind, faiss.METRIC_INNER_PRODUCT, False)
    lists.train(np.zeros((1, columns), np.float32))
    return lists


def add_to_lists(lists: Any, rows_NC: Array, numbers_N: Array, list_N: Array) -> None:
    """Add rows, float32 though each number is one of float16, to the lists given; what they are is int64."""
    pointer: Any = faiss.swig_ptr
    lists.add_core(len(rows_NC), pointer(rows_NC), pointer(numbers_N), pointer(list_N))


def search_all(lists: Any, probes_QC: Array, count: int) -> tuple[Array, Array]:
    """Rows and scores [Q,K] of the ``count`` highest scores in all lists, highest first; -1 where Faiss finds no more.

    Args:
        lists: any index that can ``search`` and has ``nlist``, such as a copy on a GPU.
    """
    parameters: Any = faiss.SearchParametersIVF
    scores_QK, rows_QK = lists.search(probes_QC, count, params=parameters(nprobe=lists.nlist))
    return rows_QK, scores_QK

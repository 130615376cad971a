"""Training data of algorithm 2, checked before anything is computed from it.

N rows of this worker's share, L layers, D width of a code, P = L x D, A attributes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from raypipe.contract import Columns, DataFacts
from raypipe.errors import UnknownAttribute, WrongUsage


@dataclass(frozen=True, eq=False)
class Examples:
    """``codes`` [N,P] float32; ``labels`` [N,A] float32, 0 or 1."""

    codes: Tensor
    labels: Tensor


def chosen_attributes(wanted: Sequence[str], data: DataFacts) -> tuple[str, ...]:
    """The attributes to learn: those wanted, or all of the data's.

    Raises:
        UnknownAttribute: a wanted one is not in the data.
        WrongUsage: no labels, no codes, a name twice, or too few rows or numbers for so many directions.
    """
    if not data.attributes:
        raise WrongUsage("sparse directions are learned from labels, and this data has none")
    layers, width = data.code_shape
    if layers * width == 0:
        raise WrongUsage("sparse directions are learned from codes (w_plus), and this data has none")
    unknown = [name for name in wanted if name not in data.attributes]
    if unknown:
        raise UnknownAttribute(f"{', '.join(unknown)}: not in the labels; there are: {', '.join(data.attributes)}")
    chosen = tuple(wanted) or data.attributes
    if len(set(chosen)) != len(chosen):
        raise WrongUsage(f"an attribute is named twice: {', '.join(chosen)}")
    if len(chosen) > layers * width:
        raise WrongUsage(f"{len(chosen)} attributes cannot have orthogonal directions among {layers * width} numbers")
    if 0 < data.rows < len(chosen):
        raise WrongUsage(f"{len(chosen)} directions need at least as many faces, got {data.rows}")
    return chosen


def read_examples(batch: Columns, label_columns: Sequence[int], code_shape: tuple[int, int]) -> Examples:
    """A batch's codes, flattened, and the labels of the attributes that are learned.

    Raises:
        WrongUsage: a column is missing, of another shape or not finite, or a label is not 0 or 1.
    """
    missing = [name for name in ("w_plus", "labels") if name not in batch]
    if missing:
        raise WrongUsage(f"the batch has no {' and no '.join(missing)}; it has: {', '.join(batch) or 'nothing'}")
    codes, labels = batch["w_plus"], batch["labels"]
    if codes.shape[1:] != code_shape:
        raise WrongUsage(f"w_plus must be [n, {code_shape[0]}, {code_shape[1]}], got {list(codes.shape)}")
    if labels.ndim != 2 or len(labels) != len(codes) or labels.shape[1] <= max(label_columns):
        raise WrongUsage(f"labels must be [{len(codes)}, more than {max(label_columns)}], got {list(labels.shape)}")
    codes_NP, labels_NA = codes.flatten(1), labels[:, list(label_columns)]
    # Where a sum is finite all its terms are: no second tensor of the codes' size for each batch.
    if not torch.isfinite(codes_NP.sum()) and not torch.isfinite(codes_NP).all():
        bad = (~torch.isfinite(codes_NP)).any(1).nonzero().flatten()
        raise WrongUsage(f"w_plus is not finite in {len(bad)} row(s) of the batch, first in row {int(bad[0])}")
    if not ((labels_NA == 0) | (labels_NA == 1)).all():
        raise WrongUsage(f"labels must be 0 or 1, got {sorted(set(labels_NA.flatten().tolist()))[:5]}")
    return Examples(codes_NP.float(), labels_NA.float())

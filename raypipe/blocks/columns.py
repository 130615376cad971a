"""Columns that a caller gives, checked."""

from __future__ import annotations

import torch
from torch import Tensor

from raypipe.contract import Columns
from raypipe.errors import WrongUsage


def column(columns: Columns, name: str, shape: tuple[int, ...]) -> Tensor:
    """Raises:
    WrongUsage: it is missing, or not [n, *shape].
    """
    if name not in columns:
        raise WrongUsage(f"there is no column {name!r}; there are: {', '.join(columns) or 'none'}")
    if columns[name].shape[1:] != shape:
        raise WrongUsage(f"{name} must be [n, {', '.join(map(str, shape))}], got {list(columns[name].shape)}")
    return columns[name]


def finite_column(columns: Columns, name: str, shape: tuple[int, ...]) -> Tensor:
    """Raises:
    WrongUsage: as ``column``, or a number that is not finite.
    """
    values = column(columns, name, shape)
    if not torch.isfinite(values).all():
        row = int((~torch.isfinite(values)).flatten(1).any(1).nonzero()[0])
        raise WrongUsage(f"{name} is not finite in row {row}")
    return values


def pictures(columns: Columns, name: str, size: int) -> Tensor:
    """Raises:
    WrongUsage: there are none, or of another size than the model's.
    """
    if name in columns and columns[name].shape[1:] != (3, size, size):
        told = list(columns[name].shape)
        raise WrongUsage(f"{name} must be [n, 3, {size}, {size}], the model's size; got {told}")
    return column(columns, name, (3, size, size))

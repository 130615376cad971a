"""Columns that a caller gives, checked."""

from __future__ import annotations

import torch
from torch import Tensor

from raypipe.blocks.sizes import of_size
from raypipe.contract import Columns
from raypipe.errors import WrongUsage


def column(columns: Columns, name: str, shape: tuple[int, ...]) -> Tensor:
    """Raises:
    WrongUsage: it is missing, or not [n, *shape].
    """
    values = _there(columns, name)
    if values.shape[1:] != shape:
        raise WrongUsage(f"{name} must be [n, {', '.join(map(str, shape))}], got {list(values.shape)}")
    return values


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
    """[n,3,size,size]; larger ones are made smaller.

    Raises:
        WrongUsage: there are none, or they are smaller than that, or not square.
    """
    images = _there(columns, name)
    if images.ndim != 4 or images.shape[1] != 3 or not images.shape[2] == images.shape[3] >= size:
        raise WrongUsage(f"{name} must be [n, 3, {size}, {size}], or larger squares, got {list(images.shape)}")
    return of_size(images, size)


def _there(columns: Columns, name: str) -> Tensor:
    if name not in columns:
        raise WrongUsage(f"there is no column {name!r}; there are: {', '.join(columns) or 'none'}")
    return columns[name]

"""Columns and numbers that a caller gives, checked."""

from __future__ import annotations

import math

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


def finite_strength(feature: str, strength: float) -> float:
    """Raises:
    WrongUsage: it is not finite.
    """
    if not math.isfinite(strength):
        raise WrongUsage(f"strength {strength!r} of {feature!r} must be a finite number")
    return strength

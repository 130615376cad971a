"""Tensors of real-size networks rebuilt from a few numbers: a splitmix64 stream for each key.

``value[i] = float32(offset) + float32(scale) * u(key, i)`` with u in [-1, 1), row-major, all in float32. The reference
outputs of the large networks were computed with weights filled this way, so that no weights need to be stored.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor


def uniform(key: str, count: int) -> np.ndarray:
    """The first ``count`` numbers of the key's stream, float32 in [-1, 1)."""
    seed = np.frombuffer(hashlib.sha256(key.encode()).digest()[:8], "<u8")[0]
    with np.errstate(over="ignore"):
        z = seed + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return ((z >> np.uint64(40)).astype(np.float64) / 2**23 - 1).astype(np.float32)


def fill_tensor(key: str, shape: Sequence[int], scale: float, offset: float) -> Tensor:
    """One filled tensor, float32."""
    values = np.float32(offset) + np.float32(scale) * uniform(key, math.prod(shape))
    return torch.from_numpy(values.reshape(tuple(shape)))


def fill_manifest(manifest: Mapping[str, Mapping[str, Any]], prefix: str = "") -> dict[str, Tensor]:
    """All tensors of a manifest; the stream of a tensor is keyed by ``prefix`` and its name."""
    return {name: _entry(prefix + name, told) for name, told in manifest.items()}


def _entry(key: str, told: Mapping[str, Any]) -> Tensor:
    if "keep" in told:
        return torch.tensor(told["keep"], dtype=torch.float32).reshape(told["shape"])
    if told.get("dtype") == "int64":
        return torch.zeros(told["shape"], dtype=torch.int64)
    return fill_tensor(key, told["shape"], told["scale"], told["offset"])

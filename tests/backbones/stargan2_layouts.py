"""Published checkpoints of StarGAN v2 and of what is built on it: their names and shapes, with zeros."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from tests.shared_files import oracle


def zeros(layout: Mapping[str, Any]) -> dict[str, Tensor]:
    """Tensors of a layout that take no memory."""
    return {name: torch.zeros((), dtype=getattr(torch, told[1])).expand(told[0]) for name, told in layout.items()}


def published(name: str) -> dict[str, dict[str, Tensor]]:
    """A published checkpoint's names and shapes, with zeros."""
    layout = json.loads(oracle(f"stargan_l2m/{name}_layout.json").read_text())
    return {key: zeros(told) for key, told in layout.items() if isinstance(told, dict)}

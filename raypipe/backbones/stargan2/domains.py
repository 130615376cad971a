"""What a network says for each domain, and of which one it is asked."""

from __future__ import annotations

import torch
from torch import Tensor


def of_domain(told_NK: Tensor, domains_N: Tensor) -> Tensor:
    """[n, K, ...] and int64 [n] in [0, K) -> [n, ...]: of each row what it has for its domain."""
    return told_NK[torch.arange(len(told_NK), device=told_NK.device), domains_N]

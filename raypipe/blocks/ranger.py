"""Ranger, which pSp and e4e are trained with: three published ideas on top of each other.

RAdam (Liu et al., On the Variance of the Adaptive Learning Rate, 2020) with centralised gradients (Yong et al.,
Gradient Centralization, 2020), and every few steps Lookahead (Zhang et al. 2019).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from raypipe.blocks.optimising import set_learning_rate


class Ranger:
    """Called as torch's optimisers are. A parameter without a gradient is left alone, and so are its moments.

    Every ``lookahead_steps`` steps the slow weights move by ``lookahead_share`` of the way towards the parameters, and
    the parameters go back to the slow weights.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        lr: float,
        betas: tuple[float, float] = (0.95, 0.999),
        eps: float = 1e-5,
        lookahead_steps: int = 6,
        lookahead_share: float = 0.5,
    ) -> None:
        self._parameters = list(parameters)
        self._radam = torch.optim.RAdam(self._parameters, lr=lr, betas=betas, eps=eps)
        self._slow = [parameter.detach().clone() for parameter in self._parameters]
        self._lookahead_steps, self._lookahead_share = lookahead_steps, lookahead_share
        self._done = 0

    def set_learning_rate(self, rate: float) -> None:
        """Of the next steps."""
        set_learning_rate(self._radam, rate)

    def zero_grad(self) -> None:
        """Forget all gradients."""
        self._radam.zero_grad(set_to_none=True)

    @torch.no_grad()
    def step(self) -> None:
        """Move the parameters. Their gradients are centralised in place."""
        for parameter in self._parameters:
            if parameter.grad is not None:
                centralise_(parameter.grad)
        self._radam.step()
        self._done += 1
        if self._done % self._lookahead_steps == 0:
            for slow, parameter in zip(self._slow, self._parameters, strict=True):
                slow.lerp_(parameter, self._lookahead_share)
                parameter.copy_(slow)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on, besides the parameters."""
        return {"radam": self._radam.state_dict(), "slow": list(self._slow), "done": self._done}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there; the parameters must have been restored as well."""
        self._radam.load_state_dict(copy.deepcopy(state["radam"]))  # torch would share the moments with the state
        for slow, stored in zip(self._slow, state["slow"], strict=True):
            slow.copy_(stored)
        self._done = state["done"]


def centralise_(gradient: Tensor) -> Tensor:
    """Take each output's mean off its gradient, in place; vectors and numbers stay as they are."""
    if gradient.ndim > 1:
        gradient.sub_(gradient.mean(dim=tuple(range(1, gradient.ndim)), keepdim=True))
    return gradient

"""A network and its optimiser, as one of two that play against each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from raypipe.blocks.optimising import average_gradients, set_learning_rate
from raypipe.contract import Share

Network = TypeVar("Network", bound=nn.Module)

SECOND_BETA = 0.99


class Player(Generic[Network]):
    """Its weights take gradients only between ``begin`` and ``end``: the other one's steps pass through it.

    Adam (Kingma and Ba 2015) without momentum. A regulariser with steps of its own at every ``interval``-th step makes
    k + 1 steps of k; learning rate and memory are corrected for it (Karras et al. 2020, StyleGAN2, appendix B).
    ``weight_decay`` times the weights is added to the gradients.
    """

    def __init__(self, network: Network, *, interval: int | None, share: Share, weight_decay: float = 0.0) -> None:
        self._correction = 1.0 if interval is None else interval / (interval + 1)
        self.network = network.requires_grad_(False)
        self.optimiser = torch.optim.Adam(
            network.parameters(),
            betas=(0.0, SECOND_BETA**self._correction),
            weight_decay=weight_decay,
            fused=True,
        )
        self._share = share

    def set_learning_rate(self, rate: float) -> None:
        """Of the steps from now on, before the correction."""
        set_learning_rate(self.optimiser, rate * self._correction)

    def begin(self) -> None:
        """From here on gradients are accumulated."""
        self.optimiser.zero_grad(set_to_none=True)
        self.network.requires_grad_(True)

    def learn(self, loss: Tensor) -> None:
        """Add a pass's gradients."""
        loss.backward()  # type: ignore[no-untyped-call]

    def end(self) -> None:
        """A step along the workers' mean gradient."""
        average_gradients(self._share, self.network.parameters())
        self.optimiser.step()
        self.network.requires_grad_(False)

    def state_dict(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])

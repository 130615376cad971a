"""The critic of codes that keeps e4e's rows where the generator's own w are.

Tov et al., Designing an Encoder for StyleGAN Image Manipulation (2021), section 4.2, equations 6 and 7. N codes, D
their width.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from raypipe.backbones.stylegan2.losses import discriminator_loss, generator_loss
from raypipe.blocks.optimising import average_gradients
from raypipe.blocks.randomness import Draws
from raypipe.config import Range, check_ranges
from raypipe.contract import Share, Site

HIDDEN_LAYERS = 3
SWAP_SHARE = 0.5


class LatentDiscriminator(nn.Module):
    """Whether a w is one of the mapping network's. The names of the tensors are those of the public code."""

    def __init__(self, style_dim: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(HIDDEN_LAYERS):
            layers += [nn.Linear(style_dim, style_dim), nn.LeakyReLU(0.2)]
        self.mlp = nn.Sequential(*layers, nn.Linear(style_dim, 1))

    def forward(self, w_ND: Tensor) -> Tensor:
        """[N,D] -> logits [N,1]."""
        logits: Tensor = self.mlp(w_ND)
        return logits


class CodePool:
    """Some of the rows that the encoder gave earlier, so that the critic does not forget them.

    Shrivastava et al. (CVPR 2017), section 2.3. The same on every worker: it sees the rows of the whole batch, and
    draws from random numbers of the whole batch.
    """

    def __init__(self, size: int, style_dim: int, device: torch.device) -> None:
        self._size = size
        self._rows = torch.empty(0, style_dim, device=device)

    def exchange(self, rows_ND: Tensor, draws: Draws) -> Tensor:
        """One row for each: itself while the pool fills up, and later an older one, whose place it takes, half the
        time. [N,D] -> [N,D]; ``draws`` must be on the CPU."""
        kept = list(range(len(self._rows)))
        given = []
        picks = draws.uniform(len(rows_ND), 2).tolist()
        for new, (chance, place) in enumerate(picks, start=len(self._rows)):
            if len(kept) < self._size:
                kept.append(new)
                given.append(new)
            elif chance < SWAP_SHARE:
                slot = int(place * self._size)
                given.append(kept[slot])
                kept[slot] = new
            else:
                given.append(new)
        rows = torch.cat([self._rows, rows_ND])
        self._rows = rows[kept]
        return rows[given]

    def state_dict(self) -> dict[str, Tensor]:
        return {"rows": self._rows}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self._rows = state["rows"].clone()


@dataclass(frozen=True, kw_only=True)
class CriticConfig:
    """The defaults are the public code's.

    Attributes:
        learning_rate: Adam's.
        r1_weight: of the squared gradient at real w, half of it, as in ``r1_weight / 2 * |gradient|^2`` ...
        r1_every: ... which has a step of its own after every so many, that many times as strong.
        pool_size: rows that are remembered.
    """

    learning_rate: float = 2e-5
    r1_weight: float = 10.0
    r1_every: int = 16
    pool_size: int = 50

    def __post_init__(self) -> None:
        ranges = dict.fromkeys(("learning_rate", "r1_weight"), Range(least=0))
        check_ranges(self, ranges | dict.fromkeys(("r1_every", "pool_size"), Range(least=1)))


class LatentCritic:
    """The discriminator with its optimiser, its pool and an R1 penalty (Mescheder et al. 2018, equation 9)."""

    def __init__(self, style_dim: int, config: CriticConfig, site: Site) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(site.seed)
            network = LatentDiscriminator(style_dim)
        self._network = network.to(site.device).requires_grad_(False)
        self._optimiser = torch.optim.Adam(self._network.parameters(), lr=config.learning_rate)
        self._pool = CodePool(config.pool_size, style_dim, site.device)
        self._config, self._site = config, site
        self._done = 0

    def loss(self, rows_ND: Tensor) -> Tensor:
        """How clearly rows of the encoder's codes are not the generator's own w: what the encoder minimises."""
        return generator_loss(self._network(rows_ND))

    def step(self, made_ND: Tensor, real_ND: Tensor) -> dict[str, Tensor]:
        """Learn to tell rows of the encoder's codes from w of the mapping network; both are this worker's share.

        A pool of real w, which the public code has as well, would change nothing: they are drawn independently.
        """
        config, numbers = self._config, {}
        # Of the whole batch on every worker: each makes the same choice for every row.
        draws = Draws(self._site.seed + 1, self._done, Share(), torch.device("cpu"))
        made_ND = self._site.share.of(self._pool.exchange(gather(self._site.share, made_ND), draws))
        self._network.requires_grad_(True)
        loss = discriminator_loss(self._network(real_ND), self._network(made_ND))
        self._descend(loss)
        numbers["discriminator"] = loss.detach()
        if self._done % config.r1_every == 0 and config.r1_weight:
            penalty = r1_penalty(self._network, real_ND)
            self._descend(penalty * (config.r1_weight / 2 * config.r1_every))
            numbers["r1"] = penalty.detach()
        self._network.requires_grad_(False)
        self._done += 1
        return numbers

    def state_dict(self) -> dict[str, Any]:
        return {
            "network": self._network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "pool": self._pool.state_dict(),
            "done": self._done,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._network.load_state_dict(state["network"])
        self._optimiser.load_state_dict(copy.deepcopy(state["optimiser"]))  # torch would share the moments
        self._pool.load_state_dict(state["pool"])
        self._done = state["done"]

    def _descend(self, loss: Tensor) -> None:
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        average_gradients(self._site.share, self._network.parameters())
        self._optimiser.step()


def r1_penalty(network: LatentDiscriminator, real_ND: Tensor) -> Tensor:
    """Mean squared length of the logits' gradients at real w; differentiable once more."""
    real_ND = real_ND.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(network(real_ND).sum(), real_ND, create_graph=True)
    penalty: Tensor = gradient.square().sum(1).mean()
    return penalty


def gather(share: Share, rows_ND: Tensor) -> Tensor:
    """The rows of the whole batch, on every worker: each brings zeros for the others' rows, and the mean is taken."""
    whole = rows_ND.new_zeros(len(rows_ND) * share.count, *rows_ND.shape[1:])
    whole[share.rank :: share.count] = rows_ND * share.count
    share.average([whole])
    return whole

"""Training the small identity network on faces whose persons are known, also where most persons have few pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raypipe.backbones.identity.embedding import EmbeddingConfig, EmbeddingNet, embedding_part
from raypipe.blocks.accuracy import area_under_roc, share_found
from raypipe.blocks.jitter import jitter
from raypipe.blocks.supervised import SupervisedConfig, SupervisedTraining, applied
from raypipe.config import Range, check_ranges
from raypipe.contract import Columns, Site
from raypipe.errors import WrongUsage
from raypipe.weights import Part

MOST_COMPARED = 4_096
"""Of more held-out pictures only the first so many are compared, all with all."""


@dataclass(frozen=True, kw_only=True)
class Config(SupervisedConfig):
    """``size`` to ``embedding_dim`` are the network's, see ``EmbeddingConfig``.

    Attributes:
        margin: how much nearer than to all others, in cosine, a face must be to its own person.
        scale: how sharp the softmax over persons is.
        margin_warmup: steps over which the margin grows from 0: the full one stops a fresh network from learning.
        mirror: whether half of the pictures are mirrored.
        shift: by how much of their side pictures are moved at most.
    """

    size: int = 64
    widths: tuple[int, ...] = (24, 48, 72, 96)
    depth: int = 1
    grid: int = 4
    embedding_dim: int = 128
    margin: float = 0.2
    scale: float = 24.0
    margin_warmup: int = 1_000
    mirror: bool = True
    shift: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        part = Range(least=0, below=1)
        check_ranges(self, {"margin": part, "scale": Range(above=0), "shift": part})
        self.network()

    def network(self) -> EmbeddingConfig:
        """The network's sizes."""
        return EmbeddingConfig(
            size=self.size,
            widths=self.widths,
            depth=self.depth,
            grid=self.grid,
            embedding_dim=self.embedding_dim,
        )


def columns(config: Config) -> tuple[str, ...]:
    """What each batch must hold."""
    return ("image", "identity")


def build_recipe(config: Config, site: Site) -> IdentityRecipe:
    """Ready for the first step.

    Raises:
        WrongUsage: the data knows fewer than two persons, or the batch cannot be shared equally.
    """
    if site.data.identities < 2:
        raise WrongUsage(f"the identity network takes faces of at least 2 persons, got {site.data.identities}")
    return IdentityRecipe(config, site)


class IdentityRecipe:
    """CosFace's softmax over the persons; only the embedding is kept."""

    def __init__(self, config: Config, site: Site) -> None:
        self._config = config
        self._training = SupervisedTraining(lambda: PersonClassifier(config, site.data.identities), config, site)

    def step(self, batch: Columns) -> dict[str, Tensor]:
        config, training = self._config, self._training
        images = jitter(batch["image"], training.draws(), mirror=config.mirror, shift=config.shift)
        loss = training.step(self._loss, {"image": images, "identity": batch["identity"]})
        return {"loss": loss}

    def finish(self, batches: Iterable[Columns]) -> None:
        """Nothing is measured after the last step."""

    def evaluate(self, batches: Iterable[Columns]) -> dict[str, float]:
        """Over all pairs of held-out pictures.

        ``error``: how often two pictures of one person are less alike than two of two persons (1 - AUC).
        ``found_at_1_percent``: the share of same pairs above the similarity that 1 % of the different pairs exceed.
        ``same`` and ``different``: mean cosines.

        Raises:
            WrongUsage: no two held-out pictures show the same person, or all do.
        """
        vectors, identities = [], []
        for batch in batches:
            vectors.append(applied(self._training.average.embedding.embed, batch["image"]))
            identities.append(batch["identity"].cpu())
        cosines, is_same = all_pairs(torch.cat(vectors)[:MOST_COMPARED], torch.cat(identities)[:MOST_COMPARED])
        return {
            "error": 1 - area_under_roc(cosines, is_same),
            "found_at_1_percent": share_found(cosines, is_same, false_share=0.01),
            "same": float(cosines[is_same].mean()),
            "different": float(cosines[~is_same].mean()),
        }

    def samples(self, batch: Columns) -> Tensor:
        """Nothing to see."""
        return torch.empty(0, 1, *batch["image"].shape[1:])

    def state_dict(self) -> dict[str, Any]:
        return self._training.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._training.load_state_dict(state)

    def export(self) -> dict[str, Part]:
        return {"identity": embedding_part(self._training.average.embedding)}

    def _loss(self, batch: Columns) -> Tensor:
        config = self._config
        margin = config.margin * min(1.0, self._training.done / max(1, config.margin_warmup))
        cosines = self._training.network(batch["image"])
        return margin_softmax(cosines, batch["identity"], margin=margin, scale=config.scale)


class PersonClassifier(nn.Module):
    """The embedding and one vector for each person of the training data."""

    def __init__(self, config: Config, persons: int) -> None:
        super().__init__()
        self.embedding = EmbeddingNet(config.network())
        self.persons = nn.Parameter(torch.randn(persons, config.embedding_dim) * config.embedding_dim**-0.5)

    def forward(self, images: Tensor) -> Tensor:
        """[n,3,h,w] in [-1,1] -> cosines with every person [n,persons], float32."""
        return F.linear(self.embedding(images).float(), F.normalize(self.persons))


def margin_softmax(cosines: Tensor, identity: Tensor, *, margin: float, scale: float) -> Tensor:
    """The mean over rows of CosFace's loss: Wang et al., CosFace (CVPR 2018), equation 4.

    Args:
        cosines: [n,persons] float32.
        identity: [n] int64, the row's person.
        margin: m of the paper, taken from the cosine with the row's own person.
        scale: s of the paper.
    """
    own = F.one_hot(identity, cosines.shape[1]).to(cosines.dtype)
    return F.cross_entropy(scale * (cosines - margin * own), identity)


def all_pairs(vectors: Tensor, identity: Tensor) -> tuple[Tensor, Tensor]:
    """Unit vectors [n,d] and their persons [n] -> cosines of all n(n-1)/2 pairs, and whether both are one person."""
    first, second = torch.triu_indices(len(vectors), len(vectors), offset=1)
    return (vectors @ vectors.T)[first, second], identity[first] == identity[second]

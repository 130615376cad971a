"""Training the attribute network on labelled faces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from raypipe.backbones.attributes.network import AttributeNet, AttributeNetConfig
from raypipe.backbones.attributes.parts import attribute_part
from raypipe.blocks.accuracy import balanced_accuracy
from raypipe.blocks.jitter import jitter
from raypipe.blocks.supervised import SupervisedConfig, SupervisedTraining, applied
from raypipe.config import Range, check_ranges
from raypipe.contract import Columns, Site
from raypipe.errors import WrongUsage
from raypipe.weights import Part

RAREST_SHARE = 0.02
"""A class rarer than this weighs as much as one of this share, or single faces would shake the weights."""

SHARE_MEMORY = 0.01
"""How much of the attributes' shares each batch replaces, once there were many."""


@dataclass(frozen=True, kw_only=True)
class Config(SupervisedConfig):
    """``size`` to ``feature_dim`` are the network's, see ``AttributeNetConfig``.

    Attributes:
        balance: 1 gives the faces with and without an attribute the same weight in all, so that a logit of 0 is where
            balanced accuracy is best; 0 leaves the shares as they are, and logits are log odds.
        mirror: whether half of the pictures are mirrored.
        shift: by how much of their side pictures are moved at most.
    """

    size: int = 64
    widths: tuple[int, ...] = (24, 48, 72, 96)
    depth: int = 1
    grid: int = 4
    feature_dim: int = 128
    balance: float = 1.0
    mirror: bool = True
    shift: float = 0.03

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, {"balance": Range(least=0, most=1), "shift": Range(least=0, below=1)})
        self.network(("any",))

    def network(self, names: tuple[str, ...]) -> AttributeNetConfig:
        """The network for these attributes."""
        return AttributeNetConfig(
            names=names,
            size=self.size,
            widths=self.widths,
            depth=self.depth,
            grid=self.grid,
            feature_dim=self.feature_dim,
        )


def columns(config: Config) -> tuple[str, ...]:
    """What each batch must hold."""
    return ("image", "labels")


def build_recipe(config: Config, site: Site) -> AttributeRecipe:
    """Ready for the first step.

    Raises:
        WrongUsage: the data has no attributes, or the batch cannot be shared equally.
    """
    if not site.data.attributes:
        raise WrongUsage("the attribute network learns labelled attributes, and the data has none")
    return AttributeRecipe(config, site)


class AttributeRecipe:
    """Binary cross-entropy of every attribute, classes balanced as ``Config.balance`` says."""

    def __init__(self, config: Config, site: Site) -> None:
        network = config.network(site.data.attributes)
        self._config, self._site = config, site
        self._training = SupervisedTraining(lambda: AttributeNet(network), config, site)
        self._shares = torch.zeros(len(network.names), device=site.device)

    def step(self, batch: Columns) -> dict[str, Tensor]:
        config, training = self._config, self._training
        images = jitter(batch["image"], training.draws(), mirror=config.mirror, shift=config.shift)
        self._count(batch["labels"])
        loss = training.step(self._loss, {"image": images, "labels": batch["labels"]})
        return {"loss": loss}

    def finish(self, batches: Iterable[Columns]) -> None:
        """Nothing is measured after the last step."""

    def evaluate(self, batches: Iterable[Columns]) -> dict[str, float]:
        """``error``: the mean over attributes of 1 - balanced accuracy; then each attribute's balanced accuracy.

        An attribute that all or none of the held-out faces have is left out.

        Raises:
            WrongUsage: that is so of every attribute.
        """
        logits, labels = [], []
        for batch in batches:
            logits.append(applied(self._training.average, batch["image"]))
            labels.append(batch["labels"].cpu())
        names = self._training.network.names
        accuracies = dict(zip(names, balanced_accuracy(torch.cat(logits), torch.cat(labels)).tolist(), strict=True))
        known = {name: accuracy for name, accuracy in accuracies.items() if accuracy == accuracy}
        if not known:
            raise WrongUsage(f"no attribute has faces with and without it among the held-out: {', '.join(names)}")
        error = 1 - sum(known.values()) / len(known)
        return {"error": error, **{f"accuracy_{name}": accuracy for name, accuracy in known.items()}}

    def samples(self, batch: Columns) -> Tensor:
        """Nothing to see."""
        return torch.empty(0, 1, *batch["image"].shape[1:])

    def state_dict(self) -> dict[str, Any]:
        return {"training": self._training.state_dict(), "shares": self._shares.clone()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._training.load_state_dict(state["training"])
        self._shares.copy_(state["shares"])

    def export(self) -> dict[str, Part]:
        return {"attributes": attribute_part(self._training.average)}

    def _count(self, labels: Tensor) -> None:
        """Follow the share of faces with each attribute: the mean so far, then one with a short memory."""
        shares = labels.mean(0)
        self._site.share.average([shares])
        self._shares.lerp_(shares, max(1 / (self._training.done + 1), SHARE_MEMORY))

    def _loss(self, batch: Columns) -> Tensor:
        logits, labels = self._training.network(batch["image"]).float(), batch["labels"]
        of_class = torch.where(labels > 0.5, self._shares, 1 - self._shares).clamp_min(RAREST_SHARE)
        weights = (0.5 / of_class) ** self._config.balance
        return F.binary_cross_entropy_with_logits(logits, labels, weights)

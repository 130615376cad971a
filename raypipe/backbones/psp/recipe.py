"""Training pSp: an encoder whose codes let a frozen generator draw the picture again.

Richardson et al., Encoding in Style (CVPR 2021), sections 3.2 and 4; settings of the public code where it differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from raypipe.backbones.psp.codes import mean_distance
from raypipe.backbones.psp.training import InversionTraining
from raypipe.backbones.psp.training_config import InversionConfig
from raypipe.contract import Columns, Site
from raypipe.weights import Part


@dataclass(frozen=True, kw_only=True)
class Config(InversionConfig):
    """Nothing beyond what pSp and e4e share."""


def columns(config: Config) -> tuple[str, ...]:
    """What each batch must hold."""
    return ("image",)


def build_recipe(config: Config, site: Site) -> PspRecipe:
    """Ready for the first step.

    Raises:
        WrongUsage: the model lacks a part that the config needs, sizes do not fit, or the batch cannot be divided.
        BadWeights: a part is not what its name says.
    """
    return PspRecipe(config, site)


class PspRecipe:
    """Pixels, perceptual distance and identity of the reconstruction, and the codes' distance to the average.

    Batch normalisation as ``InversionTraining`` says: only with ``freeze_statistics`` does the result not depend on
    how many workers share the batch.
    """

    def __init__(self, config: Config, site: Site) -> None:
        self._has_average_loss = config.average_weight > 0
        self._training = InversionTraining("psp", config, {"average": config.average_weight}, site)

    def step(self, batch: Columns) -> dict[str, Tensor]:
        training = self._training
        numbers, _ = training.step(batch["image"], training.draws(), training.encoder, self._code_losses)
        return numbers

    def finish(self, batches: Iterable[Columns]) -> None:
        """Nothing is measured over all rows."""

    def evaluate(self, batches: Iterable[Columns]) -> dict[str, float]:
        return self._training.evaluate(batches)

    def samples(self, batch: Columns) -> Tensor:
        return self._training.samples(batch)

    def state_dict(self) -> dict[str, Any]:
        return self._training.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._training.load_state_dict(state)

    def export(self) -> dict[str, Part]:
        return self._training.export()

    def _code_losses(self, codes_NLD: Tensor) -> dict[str, Tensor]:
        if not self._has_average_loss:
            return {}
        return {"average": mean_distance(codes_NLD, self._training.encoder.latent_avg)}

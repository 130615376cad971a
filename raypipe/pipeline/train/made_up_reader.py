"""Made-up faces as training data, drawn when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from raypipe.contract import DataFacts
from raypipe.errors import WrongUsage
from raypipe.pipeline.train.config import DataConfig
from raypipe.pipeline.train.labels import chosen_attributes
from raypipe.pipeline.train.order import Rows
from raypipe.synthfaces import attributes, render, sample_factors

MADE_UP = "synthfaces"
COLUMNS = ("image", "labels", "identity")
ROWS = 200_000
IMAGES_PER_IDENTITY = 25
SEED = 20_000


class MadeUpReader:
    """200,000 faces of 8,000 persons; a row is drawn from its number."""

    def __init__(self, config: DataConfig, columns: Sequence[str]) -> None:
        if missing := sorted(set(columns) - set(COLUMNS)):
            raise WrongUsage(f"{MADE_UP} has no {', '.join(missing)}; it has: {', '.join(COLUMNS)}")
        self._columns = tuple(columns)
        self._correlated = config.correlated
        self.rejected: dict[int, str] = {}
        self.encoder_sha256 = None
        known = tuple(attributes(self._factors(0, 1)))
        self.facts = DataFacts(
            rows=ROWS,
            size=config.size,
            attributes=chosen_attributes(config.attributes, {}, known, MADE_UP),
            identities=ROWS // IMAGES_PER_IDENTITY,
        )

    @property
    def groups(self) -> tuple[int, ...]:
        return (ROWS,)

    @property
    def identities(self) -> npt.NDArray[np.int64] | None:
        return np.arange(ROWS) // IMAGES_PER_IDENTITY if "identity" in self._columns else None

    @property
    def labels(self) -> npt.NDArray[np.uint8] | None:
        return self._labels_of(self._factors(0, ROWS)) if "labels" in self._columns else None

    def read(self, rows: Rows, among: Rows) -> Mapping[str, npt.NDArray[Any]]:
        several = [self._factors(int(row), 1) for row in rows]
        factors = type(several[0])(
            *(np.concatenate([getattr(one, name) for one in several]) for name in ("values", "identity", "index"))
        )
        arrays: dict[str, npt.NDArray[Any]] = {}
        if "image" in self._columns:
            arrays["image"] = render(factors, self.facts.size).images
        if "labels" in self._columns:
            arrays["labels"] = self._labels_of(factors)
        if "identity" in self._columns:
            arrays["identity"] = factors.identity.astype(np.int64)
        return arrays

    def made_from(self) -> Mapping[str, Any]:
        return {"uri": MADE_UP, "seed": SEED, "rows": ROWS, "correlated": self._correlated}

    def close(self) -> None:
        pass

    def _labels_of(self, factors: Any) -> npt.NDArray[np.uint8]:
        labels = attributes(factors)
        return np.stack([labels[name] for name in self.facts.attributes], 1).astype(np.uint8)

    def _factors(self, start: int, count: int) -> Any:
        return sample_factors(
            count, SEED, start=start, images_per_identity=IMAGES_PER_IDENTITY, correlated=self._correlated
        )

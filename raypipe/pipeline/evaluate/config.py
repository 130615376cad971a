"""What an evaluation does around its method."""

from __future__ import annotations

from dataclasses import dataclass, field

from raypipe.errors import WrongUsage
from raypipe.pipeline.train.config import DataConfig
from raypipe.pipeline.train.made_up_reader import MADE_UP


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """One evaluation. What the method decides is in its own config.

    ``train``, ``validation`` and ``test`` are numbers of faces; where the data have fewer in all, each set gets its
    share of what there is.

    Attributes:
        data: images and labels; made-up faces if none are given. Pictures are read in the models' size, or in
            ``data.size`` where that is larger: an identity network then sees more. ``data.held_out`` has no meaning.
        models: of parts of one name the last model's counts: an encoder, an identity network, ...
        rivals: other methods and models that edit, for methods that compare theirs with such: ``NAME=MODEL:METHOD``, or
            ``NAME=MODEL:METHOD@STRENGTH`` where the whole edit is not of strength 1.
        limit: at most so many faces in all; 0 = no limit.
        seed: which faces go where.
    """

    method: str
    data: DataConfig = field(default_factory=lambda: DataConfig(uri=MADE_UP, correlated=True))
    models: tuple[str, ...] = ("small",)
    rivals: tuple[str, ...] = ()
    out: str = ""
    limit: int = 0
    train: int = 6_000
    validation: int = 1_000
    test: int = 4_000
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.sets) < 1:
            raise WrongUsage(f"train, validation and test must be at least 1 face each, got {self.sets}")
        if self.limit < 0:
            raise WrongUsage(f"limit must be at least 0 faces, got {self.limit}")
        if not self.models:
            raise WrongUsage("models must name at least one model")

    @property
    def sets(self) -> tuple[int, int, int]:
        """The wanted sizes of the three sets."""
        return self.train, self.validation, self.test

"""What a training run does: the settings around its recipe, and the recipe's own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from raypipe import catalog, storage
from raypipe.errors import WrongUsage
from raypipe.pipeline.encode.config import FetchConfig, SourceConfig
from raypipe.pipeline.encode.face_decoder import FaceConfig


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What is trained on.

    Attributes:
        uri: any source of ``raypipe encode``, the output of one (for recipes that train on codes), or ``synthfaces``:
            200,000 made-up faces of 8,000 persons, drawn as they are needed.
        size: width and height of the images; not used for codes.
        attributes: label columns to use; empty = all columns of 0 and 1 that have both.
        labels: a file with the attributes by ``image_id``, in place of all that the data have: CSV, Parquet, or in the
            layout of CelebA's ``list_attr_celeba.txt``. Every row must be in it, and nothing else. Persons stay the
            data's own.
        held_out: rows that are only evaluated on, at most a fifth of all.
        correlated: ``synthfaces`` with attributes that go together as in photographs of celebrities.
    """

    uri: str
    size: int = 64
    attributes: tuple[str, ...] = ()
    labels: str = ""
    held_out: int = 1_000
    correlated: bool = False
    face: FaceConfig = field(default_factory=FaceConfig)
    fetch: FetchConfig = field(default_factory=FetchConfig)
    columns: SourceConfig = field(default_factory=SourceConfig)

    def __post_init__(self) -> None:
        if not self.uri:
            raise WrongUsage("the data's URI must not be empty")
        if not 8 <= self.size <= 1024:
            raise WrongUsage(f"size must be from 8 to 1024 pixels, got {self.size}")
        if self.held_out < 1:
            raise WrongUsage(f"held_out must be at least 1 row, got {self.held_out}")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One training run. What the recipe decides is in the recipe's own config.

    Attributes:
        models: bundles whose parts the recipe may build on; of parts of one name the last counts.
        log_every, checkpoint_every, snapshot_every, evaluate_every: steps; 0 = only at the end.
        keep: checkpoints that are kept beside the best one.
        loss_limit: a number of the recipe beyond this stops the run as diverged.
    """

    recipe: str
    out: str
    data: DataConfig
    models: tuple[str, ...] = ()
    seed: int = 0
    log_every: int = 50
    checkpoint_every: int = 1_000
    snapshot_every: int = 1_000
    evaluate_every: int = 2_000
    keep: int = 2
    loss_limit: float = 1e6

    def __post_init__(self) -> None:
        if not self.out:
            raise WrongUsage("out must not be empty")
        if self.keep < 1 or self.log_every < 1:
            raise WrongUsage(f"keep and log_every must be at least 1, got {self.keep} and {self.log_every}")
        if min(self.checkpoint_every, self.snapshot_every, self.evaluate_every) < 0:
            raise WrongUsage("checkpoint_every, snapshot_every and evaluate_every must be at least 0")
        if self.loss_limit <= 0:
            raise WrongUsage(f"loss_limit must be over 0, got {self.loss_limit}")


@dataclass(frozen=True, kw_only=True)
class TrainJob:
    """A run's config and its recipe's, as every worker gets them."""

    config: TrainConfig
    recipe: Any

    @property
    def columns(self) -> tuple[str, ...]:
        """What a batch must hold."""
        return tuple(catalog.recipe_module(self.config.recipe).columns(self.recipe))

    @property
    def state_uri(self) -> str:
        """Where the run keeps what only its own later runs read."""
        return storage.join(self.config.out, "_raypipe")

    @property
    def lease_uri(self) -> str:
        return storage.join(self.state_uri, "lease.json")

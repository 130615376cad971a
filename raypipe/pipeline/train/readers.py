"""Rows of training data by their numbers. The same rows give the same batch, wherever and whenever they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from raypipe import storage
from raypipe.contract import DataFacts
from raypipe.errors import WrongUsage
from raypipe.faces import to_signed
from raypipe.pipeline.encode.dataset import MANIFEST
from raypipe.pipeline.train.code_reader import CodeReader
from raypipe.pipeline.train.config import DataConfig
from raypipe.pipeline.train.image_reader import ImageReader, list_images
from raypipe.pipeline.train.made_up_reader import MADE_UP, MadeUpReader
from raypipe.pipeline.train.order import Order, Rows

Arrays = Mapping[str, npt.NDArray[Any]]
"""``image`` uint8 [n,s,s,3], ``labels`` uint8 [n,A], ``identity`` int64 [n], ``w_plus`` float16 [n,L,D]."""


class Reader(Protocol):
    """A data set by row number. Several threads may read at once."""

    @property
    def facts(self) -> DataFacts: ...

    @property
    def groups(self) -> tuple[int, ...]:
        """Lengths of the consecutive ranges of rows that lie together in storage."""

    @property
    def identities(self) -> npt.NDArray[np.int64] | None:
        """The person of every row, where that is known and asked for."""

    @property
    def labels(self) -> npt.NDArray[np.uint8] | None:
        """Those of every row [rows, A], where they are asked for."""

    @property
    def rejected(self) -> Mapping[int, str]:
        """Rows whose images could not be read so far, and why."""

    @property
    def encoder_sha256(self) -> str | None:
        """Of the weights that codes were made with; None for images."""

    def read(self, rows: Rows, among: Rows) -> Arrays:
        """``among``: ascending, the rows of which one may take the place of another that cannot be read."""

    def made_from(self) -> Mapping[str, Any]:
        """What identifies the data: a run that goes on must find the same."""

    def close(self) -> None: ...


def list_data(config: DataConfig, state_uri: str) -> None:
    """Write down once what the data consists of, so that every worker and every later run sees the same rows.

    Raises:
        WrongUsage: there is no data, or not of a known layout.
    """
    if config.uri != MADE_UP and not _is_encoded(config.uri):
        list_images(config, state_uri)


def open_reader(config: DataConfig, columns: Sequence[str], state_uri: str) -> Reader:
    """A reader of what ``list_data`` listed.

    Raises:
        WrongUsage: the data lack one of ``columns``, or labels that were asked for; a file of labels that does not fit
            the data, or that nobody looks at.
    """
    if config.labels and (config.uri == MADE_UP or "labels" not in columns):
        why = f"{MADE_UP} knows its own" if config.uri == MADE_UP else "nothing is trained on labels here"
        raise WrongUsage(f"labels of {config.labels!r} are not used: {why}")
    if config.uri == MADE_UP:
        return MadeUpReader(config, columns)
    if _is_encoded(config.uri):
        return CodeReader(config, columns)
    return ImageReader(config, columns, state_uri)


def _is_encoded(uri: str) -> bool:
    return storage.exists(storage.join(uri, MANIFEST))


@dataclass(frozen=True)
class Split:
    """Rows to train on and rows to evaluate on, in ascending order; persons are not split where they are known."""

    training: Rows
    held_out: Rows

    def order(self, groups: tuple[int, ...], *, batch: int, seed: int) -> Order:
        """The order of the training rows; its indices are into ``training``."""
        ends = np.cumsum(groups)
        counts = np.diff(np.searchsorted(self.training, ends), prepend=0)
        return Order(groups=tuple(int(count) for count in counts if count), batch=batch, seed=seed)


def split_rows(reader: Reader, *, held_out: int) -> Split:
    """The same split for the same data.

    Raises:
        WrongUsage: too few rows to hold any out.
    """
    rows = sum(reader.groups)
    wanted = min(held_out, rows // 5)
    if wanted < 1:
        raise WrongUsage(f"{rows} rows are too few to train on: at least 5 are needed")
    random = np.random.default_rng(rows)
    if reader.identities is None:
        is_held_out = np.zeros(rows, bool)
        is_held_out[random.permutation(rows)[:wanted]] = True
    else:
        people, counts = np.unique(reader.identities, return_counts=True)
        order = random.permutation(len(people))
        chosen = people[order[: int(np.searchsorted(np.cumsum(counts[order]), wanted)) + 1]]
        is_held_out = np.isin(reader.identities, chosen)
    if is_held_out.all():
        raise WrongUsage(f"{rows} rows of {len(people)} persons cannot be divided: persons held out are not trained on")
    return Split(np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out))


def as_columns(arrays: Arrays, device: torch.device) -> dict[str, Tensor]:
    """What a recipe takes: see ``contract.Recipe``."""
    moved = {name: torch.from_numpy(np.ascontiguousarray(array)).to(device) for name, array in arrays.items()}
    return {name: _CONVERT[name](tensor) for name, tensor in moved.items()}


_CONVERT = {"image": to_signed, "labels": Tensor.float, "identity": Tensor.long, "w_plus": Tensor.float}

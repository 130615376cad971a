"""The encoded datasets that an index was made of: codes and pictures of its rows.

A query by id reads the row's columns here, not the vector in the index: what a method asks with may be another thing
than what it stores, adjustments need the codes, and so does every other space. One way serves all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from raypipe import faces, storage
from raypipe.config import read_config
from raypipe.errors import ModelMismatch, RaypipeError, WrongUsage
from raypipe.pipeline.encode.dataset import MANIFEST, PLAN, Dataset, part_name
from raypipe.pipeline.encode.face_decoder import FaceConfig
from raypipe.pipeline.reconstruct import Pixels, original
from raypipe.retrieval.manifest import Manifest

PICTURE_THREADS = 8

Columns = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, order=True)
class Place:
    """Where a face is: ``codes`` is the hash of its dataset's manifest."""

    codes: str
    part: int
    row: int
    id: str


class LostCodes(WrongUsage):
    """The codes of faces that are in the index are not where it says; the message tells where that is."""


class Collection:
    """``uris``: where each dataset is, by the hash of its manifest."""

    def __init__(self, uris: Mapping[str, str]) -> None:
        self._uris = dict(uris)
        self._plans: dict[str, dict[str, Any]] = {}

    def columns(self, places: Sequence[Place]) -> list[Columns]:
        """The codes of some faces, float32 [...] by column; each part file is read once.

        Raises:
            WrongUsage: the dataset cannot be read, or the face has no codes any more.
            ModelMismatch: it is another dataset than the index was made of.
        """
        found: dict[Place, Columns] = {}
        parts: dict[tuple[str, int], list[Place]] = {}
        for place in places:
            parts.setdefault((place.codes, place.part), []).append(place)
        for (codes, part), wanted in parts.items():
            table = self._read_part(codes, part)
            found |= {place: _codes_of(self._row(table, place), place) for place in wanted}
        return [found[place] for place in places]

    def pictures(self, places: Sequence[Place]) -> list[Pixels | str]:
        """The faces as the encoder saw them, uint8 [s,s,3]; instead of one that cannot be read, why."""
        with ThreadPoolExecutor(PICTURE_THREADS) as threads:
            return list(threads.map(self._picture, places))

    def face_config(self) -> FaceConfig:
        """How the pictures of the first dataset were cut out; the default where none can be read."""
        for uri in self._uris.values():
            if plan := self._plan(Dataset(uri)):
                return read_config(FaceConfig, {**plan["made_from"]["face"], "align": plan["align"]})
        return FaceConfig()

    def _dataset(self, codes: str) -> Dataset:
        if codes not in self._uris:
            raise LostCodes(f"the index does not say where the codes {codes[:12]} are: give them with --codes")
        return Dataset(self._uris[codes])

    def _plan(self, dataset: Dataset) -> dict[str, Any] | None:
        """What the dataset was made from; read once."""
        if dataset.uri not in self._plans and (plan := dataset.read_json(*PLAN)) is not None:
            self._plans[dataset.uri] = plan
        return self._plans.get(dataset.uri)

    def _read_part(self, codes: str, part: int) -> pa.Table:
        """Ids, statuses and codes; labels would double the time."""
        dataset = self._dataset(codes)
        unreadable: tuple[type[Exception], ...] = (pa.ArrowInvalid, *storage.errors())
        try:
            content = storage.read_bytes(storage.join(dataset.uri, part_name(part)))
            file = pq.ParquetFile(pa.BufferReader(content))
            stored = [field.name for field in file.schema_arrow if pa.types.is_fixed_size_list(field.type)]
            return file.read(columns=["image_id", "status", "error", *stored])
        except unreadable as error:
            raise LostCodes(
                f"part {part} of the codes at {dataset.uri!r} cannot be read ({error}); if they were moved, "
                f"give their place with --codes"
            ) from error

    def _row(self, table: pa.Table, place: Place) -> pa.Table:
        row = table.slice(place.row, 1)
        if row.num_rows != 1 or row.column("image_id")[0].as_py() != place.id:
            raise ModelMismatch(
                f"{self._uris[place.codes]}: row {place.row} of part {place.part} is not {place.id!r}: "
                f"these are other codes than the index was made of"
            )
        return row

    def _picture(self, place: Place) -> Pixels | str:
        unreadable: tuple[type[Exception], ...] = (RaypipeError, *storage.errors())
        try:
            dataset = self._dataset(place.codes)
            plan = self._plan(dataset)
            return "no dataset there" if plan is None else original(dataset, plan, place.part, place.row)
        except unreadable as error:
            return str(error) or type(error).__name__


def open_collection(manifest: Manifest, codes: Sequence[str] = ()) -> Collection:
    """The datasets of an index; ``codes``: where some of them are now.

    Raises:
        WrongUsage: one of ``codes`` is no finished dataset.
        ModelMismatch: it is none of which the index was made.
    """
    hashes = {*manifest.sources, *(shard.codes for shard in manifest.shards)}
    uris = dict(manifest.sources)
    for uri in codes:
        try:
            content = storage.read_bytes(storage.join(uri, MANIFEST))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise WrongUsage(f"{uri!r} is no finished output of raypipe encode") from error
        if (found := storage.sha256(content)) not in hashes:
            raise ModelMismatch(
                f"{uri!r} has codes {found[:12]}; the index was made of "
                f"{', '.join(sorted(name[:12] for name in hashes)) or 'none'}"
            )
        uris[found] = uri
    return Collection(uris)


def _codes_of(row: pa.Table, place: Place) -> Columns:
    if (status := row.column("status")[0].as_py()) != faces.OK:
        raise WrongUsage(f"{place.id!r} has no codes: {status}: {row.column('error')[0].as_py()}")
    return {
        field.name: np.array(row.column(field.name)[0].as_py(), np.float32).reshape(faces.code_shape(field))
        for field in row.schema
        if pa.types.is_fixed_size_list(field.type)
    }

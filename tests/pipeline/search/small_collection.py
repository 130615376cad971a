"""Forty pictures, encoded and indexed in two shards, and the plain computation that answers are held against."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from raypipe import storage
from raypipe.faces import code_shape
from raypipe.methods.sparse_directions.directions import Directions, directions_part
from raypipe.methods.sparse_directions.orthogonal import nearest_orthonormal
from raypipe.pipeline.binding import binding_of
from raypipe.pipeline.encode.dataset import MANIFEST, Dataset
from raypipe.pipeline.loading import load_method
from raypipe.retrieval.build import IndexSettings, fit_spaces, publish_new, stage_one_shard, stage_reductions
from raypipe.retrieval.shard_writer import Block
from raypipe.weights import open_bundle, save_bundle
from tests.models import tiny_model
from tests.pictures import picture_bytes
from tests.pipeline.encode.test_job import config_for, encode_locally

FACES = 40
PERSONS = 10
NAMES = ("Smiling", "Eyeglasses", "Black_Hair")
W_PLUS, ATTRIBUTES = "sparse_directions.w_plus", "sparse_directions.attributes"

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class SmallCollection:
    """``rows``: of the dataset in order, labels and ``vectors`` by space, float64."""

    model: Path
    codes: Path
    index: Path
    rows: list[dict[str, Any]]
    vectors: Mapping[str, Array]

    def nearest(self, distances: Array, allowed: Iterable[int] = range(FACES)) -> list[str]:
        """Ids by distance, then id."""
        return [
            self.rows[i]["image_id"] for i in sorted(allowed, key=lambda i: (distances[i], self.rows[i]["image_id"]))
        ]

    def distances(self, space: str, wanted: Array, prefer: Mapping[str, float] | None = None) -> Array:
        """Equation 3 as it is printed."""
        weights = np.ones(len(wanted))
        weights[: len(NAMES)] = [(prefer or {}).get(name, 1.0) for name in NAMES]
        return np.asarray(((self.vectors[space] - wanted) ** 2 * weights).sum(1))

    def id(self, row: int) -> str:
        return str(self.rows[row]["image_id"])


def make_collection(folder: Path) -> SmallCollection:
    model, codes, index = folder / "model", folder / "codes", folder / "index"
    _make_model(model)
    _make_pictures(folder / "faces.parquet")
    encode_locally(config_for(folder / "faces.parquet", codes, model, commit_rows=8, methods=("sparse_directions",)))
    _make_index(index, codes, model)
    blocks = list(_blocks(codes, model))
    vectors = {name: np.concatenate([block.vectors[name] for block in blocks]) for name in (W_PLUS, ATTRIBUTES)}
    rows = [row for block in blocks for row in block.labels.to_pylist()]
    return SmallCollection(model, codes, index, rows, {name: some.astype(np.float64) for name, some in vectors.items()})


def _make_model(folder: Path) -> None:
    """The tiny model with three directions, and ranges that its codes do not fill."""
    bundle = tiny_model(folder)
    directions = Directions(
        attributes=NAMES,
        code_shape=(8, 16),
        vectors=nearest_orthonormal(torch.randn(3, 128, generator=torch.Generator().manual_seed(0))),
        biases=torch.zeros(3),
        lowest=torch.tensor([-3.0, -1.0, 0.0]),
        highest=torch.tensor([5.0, 1.0, 2.0]),
        units=torch.tensor([4.0, 1.0, 1.0]),
    )
    parts = {name: bundle.read(name) for name in bundle.parts}
    save_bundle(str(folder), "searchable", {**parts, "sparse_directions": directions_part(directions)}, {})


def _make_pictures(file: Path) -> None:
    """Labels with nulls: every fifth face has no age, every tenth person no name."""
    rows = range(FACES)
    table = {
        "image_id": [f"face-{i:02d}" for i in rows],
        "image": [picture_bytes(i, "PNG") for i in rows],
        "Male": pa.array([i % 2 for i in rows], pa.int8()),
        "age": pa.array([None if i % 5 == 0 else 10 + i for i in rows], pa.int32()),
        "hair": [("black", "brown", "dark blond")[i % 3] for i in rows],
        "identity": pa.array([None if i % PERSONS == 9 else i % PERSONS for i in rows], pa.int64()),
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(table), file)


def _make_index(index: Path, codes: Path, model: Path) -> None:
    bundle = open_bundle(str(model))
    method = load_method("sparse_directions", bundle, "cpu")
    spaces = {name: method.spaces[name.split(".")[1]] for name in (W_PLUS, ATTRIBUTES)}
    bindings = {name: binding_of(bundle, *name.split(".")) for name in spaces}
    content = storage.sha256((codes / MANIFEST).read_bytes())
    blocks = list(_blocks(codes, model))
    forms = fit_spaces(IndexSettings(axes=4, lists=2), spaces, blocks)
    shards = [stage_one_shard(str(index), some, forms, content) for some in (blocks[:3], blocks[3:])]
    entries = stage_reductions(str(index), forms, bindings)
    publish_new(str(index), entries, [shard for shard in shards if shard], sources={content: str(codes)})


def _blocks(codes: Path, model: Path) -> Iterator[Block]:
    """A part file each."""
    method = load_method("sparse_directions", open_bundle(str(model)), "cpu")
    for chunk in sorted(Dataset(str(codes)).finished_chunks()):
        part = Dataset(str(codes)).read_part(chunk)
        columns = {}
        for field in part.schema:
            if pa.types.is_fixed_size_list(field.type):
                values = part.column(field.name).combine_chunks().flatten().to_numpy().astype(np.float32)
                columns[field.name] = torch.from_numpy(values.reshape(-1, *code_shape(field)))
        labels = part.select(["image_id", "uri", "Male", "age", "hair", "identity"])
        numbers = {"_part": [chunk] * part.num_rows, "_row": range(part.num_rows)}
        for name, value in numbers.items():
            labels = labels.append_column(name, pa.array(value, pa.int32()))
        yield Block(
            labels,
            {name: method.search_vectors(name.split(".")[1], columns).numpy() for name in (W_PLUS, ATTRIBUTES)},
        )

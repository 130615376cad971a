"""The three layouts that made-up faces can be written in. All are read back by ``raypipe encode``.

folder:     images/000000.jpg, masks/000000.png, faces.parquet
celeba:     img_align_celeba/000001.jpg, masks/000001.png, list_attr_celeba.txt, identity_CelebA.txt,
            list_landmarks_align_celeba.txt
webdataset: faces-000000.tar with 000000.jpg, 000000.json, 000000.mask.npy
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from raypipe import storage
from raypipe.synthfaces import FACTOR_NAMES, Factors

TABLE = "faces.parquet"
LANDMARK_NAMES = (
    "lefteye_x", "lefteye_y", "righteye_x", "righteye_y", "nose_x", "nose_y",
    "leftmouth_x", "leftmouth_y", "rightmouth_x", "rightmouth_y",
)  # fmt: skip

_ROWS_A_GROUP = 8192


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the files go. ``digits``: how many a face's name has."""

    uri: str
    count: int
    digits: int
    format: str

    def name(self, number: int) -> str:
        return f"{number:0{self.digits}d}"


@dataclass(frozen=True, kw_only=True)
class FaceFiles:
    """Some faces, ready to be written. ``landmarks`` float32 [n,5,2]; ``masks`` uint8 [n,s,s], part
    numbers, or None."""

    factors: Factors
    labels: Mapping[str, np.ndarray[Any, np.dtype[np.bool_]]]
    landmarks: np.ndarray[Any, np.dtype[np.float32]]
    pictures: Sequence[bytes]
    masks: np.ndarray[Any, np.dtype[np.uint8]] | None


class Layout(Protocol):
    def add(self, faces: FaceFiles) -> None:
        """Write some more faces."""

    def close(self) -> None:
        """Finish the tables and archives."""


class FolderLayout:
    """Pictures in a folder and one Parquet table with the ground truth."""

    def __init__(self, place: Place, shard_bytes: int) -> None:
        self._place = place
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []

    def add(self, faces: FaceFiles) -> None:
        ids = [self._place.name(index) for index in faces.factors.index]
        paths = [f"images/{name}.{self._place.format}" for name in ids]
        _write_files(self._place.uri, dict(zip(paths, faces.pictures, strict=True)))
        _write_masks(self._place.uri, ids, faces.masks)
        self._waiting.append(pa.table({"image_id": ids, "file": paths, **truth_columns(faces)}))
        if sum(map(len, self._waiting)) >= _ROWS_A_GROUP:
            self._flush()

    def close(self) -> None:
        self._flush()
        if self._writer is not None:
            self._writer.close()

    def _flush(self) -> None:
        if not self._waiting:
            return
        table = pa.concat_tables(self._waiting).combine_chunks()
        if self._writer is None:
            fs, path = storage.filesystem(storage.join(self._place.uri, TABLE))
            self._writer = pq.ParquetWriter(path, table.schema, filesystem=fs, compression="zstd")
        self._writer.write_table(table)
        self._waiting = []


class CelebALayout:
    """CelebA's folder of pictures and its text tables: numbered from 1, -1 and 1 for no and yes, whole pixels."""

    def __init__(self, place: Place, shard_bytes: int) -> None:
        self._place = place
        self._tables: dict[str, Any] = {}

    def add(self, faces: FaceFiles) -> None:
        stems = [self._place.name(index + 1) for index in faces.factors.index]
        names = [f"{stem}.{self._place.format}" for stem in stems]
        files = {f"img_align_celeba/{name}": picture for name, picture in zip(names, faces.pictures, strict=True)}
        _write_files(self._place.uri, files)
        _write_masks(self._place.uri, stems, faces.masks)
        signs = np.where(np.stack(list(faces.labels.values()), axis=1), 1, -1)
        points = np.rint(faces.landmarks.reshape(len(names), -1)).astype(int)
        people = faces.factors.identity + 1
        self._write("list_attr_celeba.txt", tuple(faces.labels), [
            f"{name} {' '.join(f'{sign:2d}' for sign in row)}" for name, row in zip(names, signs, strict=True)
        ])  # fmt: skip
        self._write("list_landmarks_align_celeba.txt", LANDMARK_NAMES, [
            f"{name} {' '.join(f'{value:3d}' for value in row)}" for name, row in zip(names, points, strict=True)
        ])  # fmt: skip
        self._write("identity_CelebA.txt", (), [
            f"{name} {person}" for name, person in zip(names, people, strict=True)
        ])  # fmt: skip

    def close(self) -> None:
        for file in self._tables.values():
            file.close()

    def _write(self, table: str, columns: tuple[str, ...], lines: list[str]) -> None:
        """Append; a table with columns begins with the count and their names."""
        if table not in self._tables:
            fs, path = storage.filesystem(storage.join(self._place.uri, table))
            self._tables[table] = fs.open(path, "wb")
            lines = [str(self._place.count), " ".join(columns), *lines] if columns else lines
        self._tables[table].write("".join(f"{line}\n" for line in lines).encode())


class WebDatasetLayout:
    """Tar shards of at most ``shard_bytes`` (and one face), each face a picture, a JSON object and perhaps a mask.

    Masks are arrays, as every image member of a shard is taken for a face.
    """

    def __init__(self, place: Place, shard_bytes: int) -> None:
        self._place = place
        self._shard_bytes = shard_bytes
        self._shards = 0
        self._archive: tarfile.TarFile | None = None
        self._file: Any = None

    def add(self, faces: FaceFiles) -> None:
        table = pa.table(truth_columns(faces)).to_pylist()
        for row, (index, truth, picture) in enumerate(zip(faces.factors.index, table, faces.pictures, strict=True)):
            name = self._place.name(index)
            members = {f"{name}.{self._place.format}": picture, f"{name}.json": json.dumps(truth).encode()}
            if faces.masks is not None:
                members[f"{name}.mask.npy"] = _npy(faces.masks[row])
            self._write(members)

    def close(self) -> None:
        if self._archive is not None:
            self._archive.close()
            self._file.close()
        self._archive = None

    def _write(self, members: Mapping[str, bytes]) -> None:
        if self._archive is not None and self._archive.offset >= self._shard_bytes:
            self.close()
        if self._archive is None:
            _make_folder(self._place.uri)
            fs, path = storage.filesystem(storage.join(self._place.uri, f"faces-{self._shards:06d}.tar"))
            self._file = fs.open(path, "wb")
            self._archive = tarfile.open(fileobj=self._file, mode="w|", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
            self._shards += 1
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            self._archive.addfile(member, io.BytesIO(content))


LAYOUTS: Mapping[str, Callable[[Place, int], Layout]] = {
    "folder": FolderLayout,
    "celeba": CelebALayout,
    "webdataset": WebDatasetLayout,
}


def truth_columns(faces: FaceFiles) -> dict[str, pa.Array]:
    """Identity, attributes (int8 0/1, CelebA's names), factors (float32, ``factor_`` before the name), landmarks [10].

    The prefix keeps ``bangs`` apart from ``Bangs`` where names are not case sensitive, in DuckDB say.
    """
    points = np.ascontiguousarray(faces.landmarks.reshape(-1))
    return {
        "identity": pa.array(faces.factors.identity),
        **{name: pa.array(values.astype(np.int8)) for name, values in faces.labels.items()},
        **{f"factor_{name}": pa.array(faces.factors[name]) for name in FACTOR_NAMES},
        "landmarks": pa.FixedSizeListArray.from_arrays(pa.array(points), len(LANDMARK_NAMES)),
    }


def _write_files(uri: str, contents: Mapping[str, bytes]) -> None:
    """Many small files at once; object stores take them side by side."""
    if not contents:
        return
    _make_folder(storage.join(uri, next(iter(contents)).partition("/")[0]))
    fs, path = storage.filesystem(uri)
    fs.pipe({f"{path}/{name}": content for name, content in contents.items()})


def _write_masks(uri: str, names: Sequence[str], masks: np.ndarray[Any, np.dtype[np.uint8]] | None) -> None:
    if masks is not None:
        _write_files(uri, {f"masks/{name}.png": _png(mask) for name, mask in zip(names, masks, strict=True)})


def _make_folder(uri: str) -> None:
    fs, path = storage.filesystem(uri)
    fs.makedirs(path, exist_ok=True)


def _png(mask: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "PNG")
    return file.getvalue()


def _npy(mask: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    file = io.BytesIO()
    np.save(file, mask)
    return file.getvalue()

"""CelebA's own layout: ``img_align_celeba/``, attributes, identities and landmarks as text tables beside it.

Inputs are the union of the pictures on disk and the names in the attribute table: a name without a picture is a row
with status ``fetch_404``, a picture without labels has nulls.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from raypipe import storage
from raypipe.errors import WrongUsage
from raypipe.pipeline.encode.listing import Entry
from raypipe.pipeline.encode.sources.folder import FoundFile, walk_files

IMAGES = "img_align_celeba"
ATTRIBUTES = "list_attr_celeba.txt"
IDENTITIES = "identity_CelebA.txt"
LANDMARKS = ("list_landmarks_align_celeba.txt", "list_landmarks_celeba.txt")


@dataclass(frozen=True, kw_only=True)
class CelebATables:
    """The text tables, by picture name. Attributes are 0/1, landmarks 10 numbers (five points, x then y)."""

    attribute_names: tuple[str, ...]
    attributes: Mapping[str, tuple[int, ...]]
    identities: Mapping[str, int] = field(default_factory=dict)
    landmarks: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def label_fields(self) -> list[pa.Field]:
        identity = [pa.field("identity", pa.int32())] if self.identities else []
        return [*identity, *(pa.field(name, pa.int8()) for name in self.attribute_names)]


def is_celeba(uri: str) -> bool:
    return not any(sign in uri for sign in "*?[") and storage.exists(storage.join(uri, ATTRIBUTES))


def read_tables(uri: str) -> CelebATables:
    """Read the text tables.

    Raises:
        WrongUsage: a table that is not CelebA's, naming file and line.
    """
    names, attributes = _read_named(storage.join(uri, ATTRIBUTES))
    for picture, values in attributes.items():
        if not set(values) <= {-1, 1}:
            raise WrongUsage(f"{ATTRIBUTES}: {picture} has values other than -1 and 1")
    identities: dict[str, int] = {}
    if storage.exists(storage.join(uri, IDENTITIES)):
        for number, line in enumerate(_lines(storage.join(uri, IDENTITIES)), start=1):
            words = line.split()
            identities[words[0]] = _whole_numbers(words[1:], 1, IDENTITIES, number)[0]
    landmarks: dict[str, tuple[int, ...]] = {}
    for name in LANDMARKS:
        if not landmarks and storage.exists(storage.join(uri, name)):
            landmarks = _read_named(storage.join(uri, name))[1]
    return CelebATables(
        attribute_names=names,
        attributes={picture: tuple(int(value > 0) for value in row) for picture, row in attributes.items()},
        identities=identities,
        landmarks=landmarks,
    )


def entries(uri: str, tables: CelebATables) -> Iterator[Entry]:
    """Pictures and named-but-missing pictures, merged in the order of their names."""
    fs, path = storage.filesystem(storage.join(uri, IMAGES))
    missing = iter(sorted(set(tables.attributes)))
    waiting = next(missing, None)
    for found in walk_files(storage.join(uri, IMAGES)) if fs.isdir(path) else ():
        while waiting is not None and waiting < found.relative:
            yield _entry(FoundFile(f"{path}/{waiting}", waiting, -1, ""), fs.unstrip_protocol(path), tables)
            waiting = next(missing, None)
        if waiting == found.relative:
            waiting = next(missing, None)
        yield _entry(found, fs.unstrip_protocol(path), tables)
    while waiting is not None:
        yield _entry(FoundFile(f"{path}/{waiting}", waiting, -1, ""), fs.unstrip_protocol(path), tables)
        waiting = next(missing, None)


def _entry(found: FoundFile, base: str, tables: CelebATables) -> Entry:
    address = f"{base.rstrip('/')}/{found.relative}"
    labels: dict[str, int | None] = dict(
        zip(tables.attribute_names, tables.attributes.get(found.relative, ()), strict=False)
    )
    if tables.identities:
        labels["identity"] = tables.identities.get(found.relative)
    points = tables.landmarks.get(found.relative)
    return Entry(
        image_id=found.relative,
        uri=address,
        file=address,
        bytes=found.bytes,
        etag=found.etag,
        landmarks=[float(value) for value in points] if points else None,
        labels=labels,
    )


def _read_named(uri: str) -> tuple[tuple[str, ...], dict[str, tuple[int, ...]]]:
    """A table with a line that counts, a line of column names, and a row a picture."""
    name = uri.rsplit("/", 1)[-1]
    lines = _lines(uri)
    if len(lines) < 2 or not lines[0].strip().isdigit():
        raise WrongUsage(f"{name}: the first line must be the number of rows, the second the column names")
    columns = tuple(lines[1].split())
    rows: dict[str, tuple[int, ...]] = {}
    for number, line in enumerate(lines[2:], start=3):
        words = line.split()
        rows[words[0]] = _whole_numbers(words[1:], len(columns), name, number)
    if len(rows) != int(lines[0]):
        raise WrongUsage(f"{name}: the first line says {lines[0].strip()} rows, there are {len(rows)}")
    return columns, rows


def _whole_numbers(words: list[str], count: int, name: str, line: int) -> tuple[int, ...]:
    try:
        values = tuple(int(word) for word in words)
    except ValueError as error:
        raise WrongUsage(f"{name}, line {line}: {error}") from error
    if len(values) != count:
        raise WrongUsage(f"{name}, line {line}: expected {count} values, got {len(values)}")
    return values


def _lines(uri: str) -> list[str]:
    return [line for line in storage.read_bytes(uri).decode().splitlines() if line.strip()]

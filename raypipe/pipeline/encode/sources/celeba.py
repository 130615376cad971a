"""CelebA's own layout: ``img_align_celeba/``, attributes, identities and landmarks as text tables beside it.

Inputs are the union of the pictures on disk and the names in the attribute table: a name without a picture is a row
with status ``fetch_404``, a picture without labels has nulls.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import pyarrow as pa

from raypipe import storage
from raypipe.errors import WrongUsage
from raypipe.pipeline.encode.align_face import celeba_box
from raypipe.pipeline.encode.decode_image import BadImage, open_image
from raypipe.pipeline.encode.listing import Entry, label_names
from raypipe.pipeline.encode.sources.folder import (
    IMAGE_EXTENSIONS,
    FoundFile,
    is_glob,
    skip,
    unlisted,
    walk_files,
    whole_file,
)

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
        identity = [pa.field("identity", pa.int64())] if self.identities else []
        names = label_names([*(field.name for field in identity), *self.attribute_names])[len(identity) :]
        return [*identity, *(pa.field(name, pa.int8()) for name in names)]


def is_celeba(uri: str) -> bool:
    return not is_glob(uri) and storage.exists(storage.join(uri, ATTRIBUTES))


def read_tables(uri: str) -> CelebATables:
    """Read the text tables.

    Raises:
        WrongUsage: a table that is not CelebA's, naming file and line.
    """
    table = storage.join(uri, ATTRIBUTES)
    names, attributes = read_attributes(table, storage.read_bytes(table))
    identities: dict[str, int] = {}
    if storage.exists(storage.join(uri, IDENTITIES)):
        content = storage.read_bytes(storage.join(uri, IDENTITIES))
        rows = _rows(_lines(content, IDENTITIES), 1, IDENTITIES)
        identities = {picture: values[0] for picture, values in rows.items()}
    landmarks: dict[str, tuple[int, ...]] = {}
    for name in LANDMARKS:
        if not landmarks and storage.exists(storage.join(uri, name)):
            columns, landmarks = _read_named(storage.read_bytes(storage.join(uri, name)), name)
            if len(columns) != 10:
                raise WrongUsage(f"{name}: expected 10 columns (five points, x and y), got {len(columns)}")
    return CelebATables(
        attribute_names=names,
        attributes=attributes,
        identities=identities,
        landmarks=landmarks,
    )


def is_table(content: bytes) -> bool:
    """Whether it begins as CelebA's tables with named columns do: with a line that counts the rows."""
    return content[:128].removeprefix(BOM_UTF8).partition(b"\n")[0].strip().isdigit()


def read_attributes(uri: str, content: bytes) -> tuple[tuple[str, ...], dict[str, tuple[int, ...]]]:
    """The names of an attribute table's columns, and picture -> 0 or 1 for each; ``uri`` is for messages.

    Raises:
        WrongUsage: not of CelebA's layout, naming the line, or values other than -1 and 1.
    """
    name = uri.rsplit("/", 1)[-1]
    names, rows = _read_named(content, name)
    for picture, values in rows.items():
        if not set(values) <= {-1, 1}:
            raise WrongUsage(f"{name}: {picture} has values other than -1 and 1")
    return names, {picture: tuple(int(value > 0) for value in values) for picture, values in rows.items()}


def usual_crop(uri: str) -> str:
    """``celeba`` where the first readable picture has the shape of the aligned ones, for which that crop was made;
    ``center`` for made-up faces and others in the same layout."""
    fs, path = storage.filesystem(storage.join(uri, IMAGES))
    for found in walk_files(storage.join(uri, IMAGES)) if fs.isdir(path) else ():
        if found.problem or found.extension not in IMAGE_EXTENSIONS or not fs.isfile(found.path):
            continue
        try:
            stored = open_image(fs.cat_file(found.path))
        except (BadImage, PermissionError):
            continue
        try:
            celeba_box(stored.width, stored.height)
        except BadImage:
            return "center"
        break
    return "celeba"


def entries(uri: str, tables: CelebATables, skipped: dict[str, int]) -> Iterator[Entry]:
    """Pictures in the order of their names, then those that are only named in the attribute table."""
    fs, path = storage.filesystem(storage.join(uri, IMAGES))
    labels = [field.name for field in tables.label_fields()][-len(tables.attribute_names) :]
    missing = dict.fromkeys(tables.attributes)
    for found in walk_files(storage.join(uri, IMAGES)) if fs.isdir(path) else ():
        is_named = found.relative in missing
        missing.pop(found.relative, None)
        if found.problem:
            yield unlisted(found, fs.unstrip_protocol(found.path))
        elif is_named or found.extension in IMAGE_EXTENSIONS:
            yield _entry(found, fs.unstrip_protocol(path), tables, labels)
        else:
            skip(found, skipped)
    for name in sorted(missing):
        yield _entry(FoundFile(f"{path}/{name}", name, -1, ""), fs.unstrip_protocol(path), tables, labels)


def _entry(found: FoundFile, base: str, tables: CelebATables, attribute_labels: list[str]) -> Entry:
    address = f"{base.rstrip('/')}/{found.relative}"
    labels: dict[str, int | None] = dict(zip(attribute_labels, tables.attributes.get(found.relative, ()), strict=False))
    if tables.identities:
        labels["identity"] = tables.identities.get(found.relative)
    points = tables.landmarks.get(found.relative)
    landmarks = [float(value) for value in points] if points else None
    return replace(whole_file(found, address), landmarks=landmarks, labels=labels)


def _read_named(content: bytes, name: str) -> tuple[tuple[str, ...], dict[str, tuple[int, ...]]]:
    """A table with a line that counts, a line of column names, and a row a picture."""
    lines = _lines(content, name)
    if len(lines) < 2 or not lines[0][1].strip().isdecimal():
        raise WrongUsage(f"{name}: the first line must be the number of rows, the second the column names")
    columns = tuple(lines[1][1].split())
    rows = _rows(lines[2:], len(columns), name)
    if len(rows) != int(lines[0][1]):
        raise WrongUsage(f"{name}: the first line says {lines[0][1].strip()} rows, there are {len(rows)}")
    return columns, rows


def _rows(lines: list[tuple[int, str]], count: int, name: str) -> dict[str, tuple[int, ...]]:
    """Picture -> ``count`` whole numbers, a line a picture."""
    rows: dict[str, tuple[int, ...]] = {}
    for number, line in lines:
        picture, *words = line.split()
        try:
            values = tuple(int(word) for word in words)
        except ValueError as error:
            raise WrongUsage(f"{name}, line {number}: {error}") from error
        if len(values) != count or any(abs(value) >= 2**63 for value in values):
            raise WrongUsage(f"{name}, line {number}: expected {count} 64-bit numbers, got {' '.join(words) or 'none'}")
        if picture in rows:
            raise WrongUsage(f"{name}, line {number}: {picture} stands in an earlier line too")
        rows[picture] = values
    return rows


def _lines(content: bytes, name: str) -> list[tuple[int, str]]:
    """The lines that are not blank, with their numbers from 1."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise WrongUsage(f"{name} is not UTF-8 text: {error}") from error
    return [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]

"""WebDataset shards: uncompressed tars, read in place by byte ranges. The id is shard name + full member name.

A shard that ends early keeps its good members; the member that is cut is a row with status ``fetch_truncated``, and so
is the place where a shard cannot be listed any further.
"""

from __future__ import annotations

import json
import math
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from raypipe import storage
from raypipe.pipeline.encode.listing import Entry, label_names
from raypipe.pipeline.encode.sources.folder import (
    IMAGE_EXTENSIONS,
    FoundFile,
    missing_rows,
    skip,
    unlisted,
    walk_files,
)

SIDE_BYTES = 1 << 20


@dataclass(frozen=True)
class Label:
    """A column: what the samples call it, what the dataset calls it, and its type."""

    source: str
    name: str
    type: pa.DataType


def entries(uri: str, labels: list[Label], skipped: dict[str, int]) -> Iterator[Entry]:
    """One entry an image member, in the order of the shards' names and of their members."""
    fs, _ = storage.filesystem(uri)
    for shard in walk_files(uri):
        address = fs.unstrip_protocol(shard.path)
        if shard.problem:
            yield unlisted(shard, address)
        elif shard.extension != ".tar":
            skip(shard, skipped)
        else:
            with fs.open(shard.path, "rb") as file:
                yield from _shard_entries(_Archive(file, shard.bytes), shard, address, labels)


def find_labels(uri: str) -> list[Label]:
    """Columns from the scalars of the first sample's ``.json``, and ``cls``/``txt`` where it has such members.

    Numbers are float64, as one integer in the first sample promises nothing for the others. A later value of another
    type is null.
    """
    fs, _ = storage.filesystem(uri)
    for shard in (found for found in walk_files(uri) if found.extension == ".tar"):
        with fs.open(shard.path, "rb") as file:
            for _, sides in _samples(_Archive(file, shard.bytes)):
                values = _labels(sides)
                names = label_names(values)
                return [
                    Label(source, name, _arrow_type(values[source])) for source, name in zip(values, names, strict=True)
                ]
    return []


class _Archive:
    """The regular members of an open tar up to the first header that cannot be read."""

    def __init__(self, file: Any, size: int) -> None:
        self._file = file
        self._size = size
        self._end = 0

    def members(self) -> Iterator[tarfile.TarInfo]:
        try:
            with tarfile.open(fileobj=self._file, mode="r:") as archive:
                while (member := archive.next()) is not None:
                    archive.members = []  # type: ignore[attr-defined]  # it would hold every header
                    self._end = member.offset_data + -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
                    if member.isfile() and not os.path.basename(member.name).startswith("."):
                        yield member
        except (tarfile.ReadError, ValueError, OverflowError):  # the last two: numbers in a header that are none
            return

    def read(self, member: tarfile.TarInfo) -> bytes:
        self._file.seek(member.offset_data)
        return bytes(self._file.read(member.size))

    def damaged_at(self) -> int | None:
        """Once all members were taken: the byte where listing had to stop, None where the archive ends as it should
        or with a member that is cut (and was listed)."""
        if self._end > self._size:
            return None
        self._file.seek(self._end)
        block = self._file.read(tarfile.BLOCKSIZE)
        return None if len(block) == tarfile.BLOCKSIZE and not block.strip(b"\0") else self._end


def _shard_entries(archive: _Archive, shard: FoundFile, address: str, wanted: list[Label]) -> Iterator[Entry]:
    seen: set[str] = set()
    for members, sides in _samples(archive):
        values = _labels(sides)
        labels = {w.name: values[w.source] for w in wanted if _arrow_type(values.get(w.source)) == w.type}
        for member in members:
            is_cut = member.offset_data + member.size > shard.bytes
            problem = "fetch_truncated" if is_cut else "duplicate_id" if member.name in seen else ""
            seen.add(member.name)
            yield Entry(
                image_id=f"{shard.relative}/{member.name}",
                uri=f"{address}!{member.name}",
                file=address,
                offset=member.offset_data,
                bytes=member.size,
                file_bytes=shard.bytes,
                etag=shard.etag,
                problem=problem,
                problem_detail=_detail(problem, member, shard),
                labels=labels,
            )
    end = archive.damaged_at()
    if end is not None:
        detail = f"the archive is damaged at byte {end} of {shard.bytes}: no member after it can be listed"
        yield missing_rows(f"{shard.relative}/#damaged-at-{end}", address, "fetch_truncated", detail)


def _samples(archive: _Archive) -> Iterator[tuple[list[tarfile.TarInfo], dict[str, bytes]]]:
    """Neighbouring members of one WebDataset key: the images, and the contents of the small others."""
    key: str | None = None
    images: list[tarfile.TarInfo] = []
    sides: dict[str, bytes] = {}
    for member in archive.members():
        folder, name = os.path.split(member.name)
        stem, _, extension = name.partition(".")
        if (member_key := f"{folder}/{stem}") != key:
            if images:
                yield images, sides
            key, images, sides = member_key, [], {}
        if os.path.splitext(name)[1].lower() in IMAGE_EXTENSIONS:
            images.append(member)
        elif extension in ("json", "cls", "txt") and member.size <= SIDE_BYTES:
            sides[extension] = archive.read(member)
    if images:
        yield images, sides


def _labels(sides: dict[str, bytes]) -> dict[str, Any]:
    labels: dict[str, Any] = {}
    if "json" in sides:
        try:
            tree = json.loads(sides["json"])
        except (ValueError, RecursionError):
            tree = None
        if isinstance(tree, dict):
            labels = {name: value for name, value in tree.items() if isinstance(value, (bool, int, float, str))}
    for name in ("cls", "txt"):
        if name in sides:
            labels[name] = sides[name].decode(errors="replace").strip()
    return {name: _float(value) if type(value) is int else value for name, value in labels.items()}


def _float(number: int) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _arrow_type(value: Any) -> pa.DataType | None:
    return {bool: pa.bool_(), float: pa.float64(), str: pa.string()}.get(type(value))


def _detail(problem: str, member: tarfile.TarInfo, shard: FoundFile) -> str:
    if problem == "fetch_truncated":
        return f"the archive ends at byte {shard.bytes}, the member at {member.offset_data + member.size}"
    return f"the archive has {member.name!r} more than once" if problem else ""

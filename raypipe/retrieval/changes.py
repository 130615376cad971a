"""Append, delete, compact, sweep: new files first, then the manifest that names them.

Killed anywhere, an operation leaves the old index or the new one, and perhaps files that no manifest names. ``sweep``
deletes those, and old versions with them. One writer at a time: of two, the slower gets ``OutputInUse``.
"""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe import storage
from raypipe.errors import WrongUsage
from raypipe.retrieval.build import STAGING, stage_shards
from raypipe.retrieval.files import local_file, publish_bytes, read_checked
from raypipe.retrieval.index import CACHE, deleted_rows, open_index
from raypipe.retrieval.manifest import Binding, Deleted, Manifest, ShardEntry, manifest_name, publish, read_manifest
from raypipe.retrieval.reduction import Reduction
from raypipe.retrieval.shard import Shard
from raypipe.retrieval.shard_writer import ID, Block, Form
from raypipe.retrieval.space import Array

_OURS = re.compile(rf"(\.?manifest-|\.?reduction-|shards/|deleted/|{re.escape(STAGING)}).*")


def append(
    uri: str,
    asked: Binding,
    blocks: Iterable[Block],
    *,
    rows_per_shard: int,
    codes: str = "",
    cache: Path = CACHE,
) -> Manifest:
    """New rows become searchable, in shards of their own under the index's axes.

    Raises:
        ModelMismatch: the rows are of another method, space, model or directions.
        WrongUsage: an id that can be found already, or as ``write_shard``.
    """
    old = read_manifest(uri)
    old.binding.require(asked)
    form = Form(old.space, Reduction.from_bytes(read_checked(uri, old.reduction)), old.precision)
    shards = stage_shards(uri, blocks, form, rows_per_shard=rows_per_shard, codes=codes)
    known = {entry.name for entry in old.shards}  # the same rows appended again are the same shard
    new = [shard for shard in shards if shard.name not in known]
    for entry in new:
        _refuse_known_ids(uri, old, _ids(uri, entry, cache), cache)
    return publish(uri, old.next((*old.shards, *new)))


def delete(uri: str, ids: Collection[str], *, cache: Path = CACHE) -> int:
    """No answer has these ids from the next version on; how many rows that were. Unknown ids are fine."""
    old = read_manifest(uri)
    wanted = pa.array(list(ids), pa.string())
    shards, count = [], 0
    for entry in old.shards:
        named = np.flatnonzero(pc.is_in(_ids(uri, entry, cache), value_set=wanted).to_numpy(zero_copy_only=False))
        before = deleted_rows(uri, entry)
        after = np.union1d(before, named).astype(np.int64)
        count += len(after) - len(before)
        shards.append(entry if len(after) == len(before) else _with_deleted(uri, entry, after))
    if count:
        publish(uri, old.next(tuple(shards)))
    return count


def compact(uri: str, *, rows_per_shard: int, cache: Path = CACHE) -> Manifest:
    """Write all rows that are left into full shards, then delete everything that only older versions need.

    Deleted rows are gone from the index's storage afterwards; copies in caches are not looked for.
    """
    index = open_index(uri, cache=cache)
    old = index.manifest
    # Vectors are stored as they are compared: a cosine's are of length 1 already, and must keep their very bits.
    space = dataclasses.replace(old.space, metric="l2") if old.space.metric == "cosine" else old.space
    form = Form(space, Reduction.from_bytes(read_checked(uri, old.reduction)), old.precision)
    shards: list[ShardEntry] = []
    for codes in dict.fromkeys(entry.codes for entry in old.shards):
        same = [s for entry, s in zip(old.shards, index.shards(), strict=True) if entry.codes == codes]
        blocks = (block for shard in same for block in _alive_blocks(shard))
        shards += stage_shards(uri, blocks, form, rows_per_shard=rows_per_shard, codes=codes)
    new = publish(uri, old.next(tuple(shards)))
    sweep(uri)
    return new


def sweep(uri: str) -> int:
    """Delete older versions and files that the newest does not name; how many files that were.

    Nobody may be writing to the index: what is staged and not yet published would go too.
    """
    newest = read_manifest(uri)
    needed = {file.name for file in newest.files()} | {manifest_name(newest.version)}
    fs, root = storage.filesystem(uri)
    fs.invalidate_cache()
    found = {str(path)[len(root) :].lstrip("/"): str(path) for path in fs.find(root)}
    # Manifests first: no version may be left that names files which are gone.
    unneeded = sorted(set(found) - needed, key=lambda name: (not name.startswith("manifest-"), name))
    unneeded = [name for name in unneeded if _OURS.fullmatch(name)]
    for name in unneeded:
        fs.rm_file(found[name])
    return len(unneeded)


def _refuse_known_ids(uri: str, old: Manifest, ids: pa.ChunkedArray, cache: Path) -> None:
    for entry in old.shards:
        there = _ids(uri, entry, cache)
        is_known = pc.is_in(there, value_set=ids.combine_chunks()).to_numpy(zero_copy_only=False)
        is_known[deleted_rows(uri, entry)] = False
        if is_known.any():
            first = there[int(np.argmax(is_known))].as_py()
            raise WrongUsage(
                f"{int(is_known.sum())} of the ids are in the index already, {first!r} is one: delete first"
            )


def _ids(uri: str, entry: ShardEntry, cache: Path) -> pa.ChunkedArray:
    file = next(file for file in entry.files if file.name.endswith("/labels.arrow"))
    path = local_file(uri, file, cache)
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all().column(ID)


def _with_deleted(uri: str, entry: ShardEntry, rows: Array) -> ShardEntry:
    content = io.BytesIO()
    np.save(content, rows)
    name = f"deleted/{entry.name}-{storage.sha256(content.getvalue())[:16]}.npy"
    return dataclasses.replace(entry, deleted=Deleted(len(rows), publish_bytes(content.getvalue(), uri, name)))


def _alive_blocks(shard: Shard) -> Iterator[Block]:
    alive = shard.allowed(None)
    rows = np.arange(shard.rows) if alive is None else np.flatnonzero(alive)
    for start in range(0, len(rows), 4096):
        some = rows[start : start + 4096]
        yield Block(shard.labels.take(pa.array(some)), shard.vectors(some))

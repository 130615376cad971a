"""Append, delete, compact, sweep: new files first, then the manifest that names them.

Killed anywhere, an operation leaves the old index or the new one, and perhaps files that no manifest names. ``sweep``
deletes those, and old versions with them. One writer at a time: of two, the slower gets ``OutputInUse``.
"""

from __future__ import annotations

import dataclasses
import io
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe import storage
from raypipe.errors import WrongUsage
from raypipe.retrieval.build import STAGING, stage_shards
from raypipe.retrieval.files import local_file, publish_bytes
from raypipe.retrieval.index import CACHE, deleted_rows, open_index, read_forms
from raypipe.retrieval.manifest import Binding, Deleted, Manifest, ShardEntry, manifest_name, publish, read_manifest
from raypipe.retrieval.shard import Shard
from raypipe.retrieval.shard_writer import ID, LABELS, Block
from raypipe.retrieval.space import Array
from raypipe.retrieval.space_writer import Form

_OURS = re.compile(rf"(\.?manifest-|\.?reduction-|shards/|deleted/|{re.escape(STAGING)}).*")


def append(
    uri: str,
    asked: Mapping[str, Binding],
    blocks: Iterable[Block],
    *,
    rows_per_shard: int,
    codes: str = "",
    cache: Path = CACHE,
) -> Manifest:
    """New rows become searchable, in shards of their own under the index's axes.

    Raises:
        ModelMismatch: the rows are of another method, space, model or directions.
        WrongUsage: as ``append_shards`` and ``write_shard``.
    """
    old = read_manifest(uri)
    _require_all(old, asked)
    shards = stage_shards(uri, blocks, read_forms(uri, old.spaces), rows_per_shard=rows_per_shard, codes=codes)
    return append_shards(uri, asked, shards, cache=cache)


def append_shards(
    uri: str,
    asked: Mapping[str, Binding],
    shards: Sequence[ShardEntry],
    *,
    sources: Mapping[str, str] | None = None,
    cache: Path = CACHE,
) -> Manifest:
    """Staged shards, written under the index's forms (``read_forms``), become searchable.

    Args:
        asked: what the rows of every space of the index are.
        sources: hash of a dataset's manifest -> its URI, of the shards' ``codes``.

    Raises:
        ModelMismatch: the rows are of another method, space, model or directions.
        WrongUsage: other spaces than the index has, or an id that can be found already.
    """
    old = read_manifest(uri)
    _require_all(old, asked)
    known = {entry.name for entry in old.shards}  # the same rows appended again are the same shard
    new = [shard for shard in shards if shard.name not in known]
    refuse_known_ids(uri, old.shards, new, cache=cache)
    return publish(uri, old.next((*old.shards, *new), sources))


def refuse_known_ids(uri: str, shards: Sequence[ShardEntry], new: Sequence[ShardEntry], *, cache: Path = CACHE) -> None:
    """Raises:
    WrongUsage: an id of a new shard can be found in one of ``shards``, or in another new one.
    """
    for number, entry in enumerate(new):
        _refuse_known_ids(uri, (*shards, *new[:number]), _ids(uri, entry, cache), cache)


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
    forms = {name: _as_stored(form) for name, form in read_forms(uri, old.spaces).items()}
    shards: list[ShardEntry] = []
    for codes in dict.fromkeys(entry.codes for entry in old.shards):
        same = [s for entry, s in zip(old.shards, index.shards(), strict=True) if entry.codes == codes]
        blocks = (block for shard in same for block in _alive_blocks(shard))
        shards += stage_shards(uri, blocks, forms, rows_per_shard=rows_per_shard, codes=codes)
    new = publish(uri, old.next(tuple(shards)))
    sweep(uri)
    return new


def rename_codes(uri: str, renamed: Mapping[str, str], sources: Mapping[str, str]) -> Manifest:
    """The datasets that rows came from have new manifests.

    Args:
        renamed: old hash -> new hash.
        sources: new hash -> URI.
    """
    old = read_manifest(uri)
    shards = (dataclasses.replace(entry, codes=renamed.get(entry.codes, entry.codes)) for entry in old.shards)
    return publish(uri, old.next(tuple(shards), sources))


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
    if storage.is_local(uri):
        _remove_empty_folders(root)
    return len(unneeded)


def _require_all(old: Manifest, asked: Mapping[str, Binding]) -> None:
    old.require(asked)
    if missing := sorted(set(old.spaces) - set(asked)):
        raise WrongUsage(f"the index has rows of {', '.join(missing)} too: new rows need them")


def _refuse_known_ids(uri: str, shards: Sequence[ShardEntry], ids: pa.ChunkedArray, cache: Path) -> None:
    for entry in shards:
        there = _ids(uri, entry, cache)
        is_known = pc.is_in(there, value_set=ids.combine_chunks()).to_numpy(zero_copy_only=False)
        is_known[deleted_rows(uri, entry)] = False
        if is_known.any():
            first = there[int(np.argmax(is_known))].as_py()
            raise WrongUsage(
                f"{int(is_known.sum())} of the ids are in the index already, {first!r} is one: delete first"
            )


def _ids(uri: str, entry: ShardEntry, cache: Path) -> pa.ChunkedArray:
    file = next(file for file in entry.files if file.name.endswith(f"/{LABELS}"))
    path = local_file(uri, file, cache)
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all().column(ID)


def _with_deleted(uri: str, entry: ShardEntry, rows: Array) -> ShardEntry:
    content = io.BytesIO()
    np.save(content, rows)
    name = f"deleted/{entry.name}-{storage.sha256(content.getvalue())[:16]}.npy"
    return dataclasses.replace(entry, deleted=Deleted(len(rows), publish_bytes(content.getvalue(), uri, name)))


def _remove_empty_folders(root: str) -> None:
    for folder, _, _ in os.walk(root, topdown=False):
        if _OURS.fullmatch(f"{os.path.relpath(folder, root)}/"):
            with suppress(OSError):  # not empty
                os.rmdir(folder)


def _as_stored(form: Form) -> Form:
    """Vectors are stored as they are compared: a cosine's are of length 1 already, and must keep their very bits."""
    if form.space.metric != "cosine":
        return form
    return dataclasses.replace(form, space=dataclasses.replace(form.space, metric="l2"))


def _alive_blocks(shard: Shard) -> Iterator[Block]:
    alive = shard.allowed(None)
    rows = np.arange(shard.rows) if alive is None else np.flatnonzero(alive)
    for start in range(0, len(rows), 4096):
        some = rows[start : start + 4096]
        vectors = {name: stored.vectors(some) for name, stored in shard.spaces.items()}
        yield Block(shard.labels.take(pa.array(some)), vectors)

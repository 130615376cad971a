"""A new index from a stream of faces: one pass for axes and lists, one that writes shards.

``build`` does all of it in one process. Its steps can be called one by one, ``stage_one_shard`` on any machine that
sees the index's storage; nothing is visible before ``publish_new``.
"""

from __future__ import annotations

import dataclasses
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from raypipe import storage
from raypipe.contract import SearchSpace
from raypipe.errors import OutputInUse, WrongUsage
from raypipe.retrieval.factory import train
from raypipe.retrieval.files import publish_bytes, publish_file
from raypipe.retrieval.manifest import Binding, Manifest, ShardEntry, SpaceEntry, publish, versions
from raypipe.retrieval.reduction import RowSample, fit_reduction
from raypipe.retrieval.scan_rows import COLUMNS_STEP, column_count, fixed_columns, stored_rows
from raypipe.retrieval.shard_writer import Block, ShardInfo, write_shard
from raypipe.retrieval.space import comparable
from raypipe.retrieval.space_writer import Form, Precision

STAGING = ".staging-"

_AXES_AT_LEAST, _AXES_AT_MOST = 16, 256
_ROW_NUMBER_BYTES = 8
_SPACE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True, kw_only=True)
class IndexSettings:
    """How an index is built.

    Attributes:
        rows_per_shard: at most.
        recall: what a query gets that asks for none; 1: exact and certified.
        memory_per_row: bytes that a row may take in memory in each space; 0: a tenth of its vector in float16.
        axes: at most; 0: as many as the memory allows, up to 256.
        lists: a shard's rows are grouped into so many lists at most.
        factory: for experts: what Faiss makes of this string, such as "HNSW32,SQfp16", takes the place of the scanned
            rows. Its answers are never certified. An HNSW's links depend on the threads that made them.
        precision: of the full vectors on disk. float32 is exact; float16 takes half the space and moves distances by
            some 1e-5 of themselves.
        sample_bytes: what the sample for the axes may take.
        seed: of the sample.

    Raises:
        WrongUsage: a recall that is not above 0 and at most 1.
    """

    rows_per_shard: int = 1_000_000
    recall: float = 1.0
    memory_per_row: int = 0
    axes: int = 0
    lists: int = 256
    factory: str = ""
    precision: Precision = "float32"
    sample_bytes: int = 1 << 27
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.0 < self.recall <= 1.0:
            raise WrongUsage(f"recall must be above 0 and at most 1, got {self.recall!r}")

    def axes_of(self, space: SearchSpace) -> int:
        """Axes at most that fit the memory.

        Raises:
            WrongUsage: not even one does.
        """
        fixed, rest = fixed_columns(len(space.coordinates)), space.width - len(space.coordinates)
        wanted = self.axes or _AXES_AT_MOST
        memory = self.memory_per_row or 2 * rest // 10
        fitting = (memory - _ROW_NUMBER_BYTES) // (2 * COLUMNS_STEP) * COLUMNS_STEP - fixed
        if not self.memory_per_row:
            fitting = max(fitting, _AXES_AT_LEAST)
        if fitting < min(1, rest):
            least = 2 * column_count(min(1, rest), len(space.coordinates)) + _ROW_NUMBER_BYTES
            raise WrongUsage(f"{self.memory_per_row} bytes a row are too few: this space needs at least {least}")
        return min(wanted, max(fitting, 0), rest)


def build(
    uri: str,
    spaces: Mapping[str, SearchSpace],
    bindings: Mapping[str, Binding],
    read: Callable[[], Iterable[Block]],
    settings: IndexSettings,
    *,
    codes: str = "",
) -> Manifest:
    """A new index from a stream that can be read twice. ``codes``: the hash of the dataset's manifest.

    Raises:
        OutputInUse: there is an index at ``uri`` already.
        WrongUsage: as ``fit_spaces`` and ``write_shard``.
    """
    refuse_old_index(uri)
    forms = fit_spaces(settings, spaces, read())
    entries = stage_reductions(uri, forms, bindings)
    shards = stage_shards(uri, read(), forms, rows_per_shard=settings.rows_per_shard, codes=codes)
    return publish_new(uri, entries, shards, recall=settings.recall)


def fit_spaces(
    settings: IndexSettings, spaces: Mapping[str, SearchSpace], blocks: Iterable[Block]
) -> Mapping[str, Form]:
    """The first pass: a sample of the stream, its axes and lists in every space. A sample of the rows is enough.

    Raises:
        WrongUsage: vectors that a space cannot compare, too little memory a row, or a name unfit for a folder.
    """
    if wrong := [name for name in spaces if not _SPACE_NAME.fullmatch(name)]:
        raise WrongUsage(f"{wrong[0]!r} cannot name a space: letters, digits, '_', '-' and '.', not first '-' or '.'")
    axes = {name: settings.axes_of(space) for name, space in spaces.items()}
    samples = {
        name: RowSample(space.width, sample_rows(settings, space), settings.seed) for name, space in spaces.items()
    }
    for block in blocks:
        for name, space in spaces.items():
            samples[name].add(comparable(space, block.vectors[name]))
    forms = {}
    for name, space in spaces.items():
        reduction = fit_reduction(
            samples[name].rows,
            attributes=len(space.coordinates),
            axes=axes[name],
            lists=settings.lists,
            seed=settings.seed,
        )
        factory = (
            train(settings.factory, stored_rows(reduction.reduce(samples[name].rows))[0]) if settings.factory else None
        )
        forms[name] = Form(space, reduction, settings.precision, factory)
    return forms


def stage_reductions(uri: str, forms: Mapping[str, Form], bindings: Mapping[str, Binding]) -> Mapping[str, SpaceEntry]:
    """Write the reductions of a new index."""
    entries = {}
    for name, form in forms.items():
        content = form.reduction.to_bytes()
        file = publish_bytes(content, uri, f"reduction-{storage.sha256(content)[:16]}.npz")
        entry = SpaceEntry(bindings[name], form.space, form.precision, file)
        if form.factory:
            content = form.factory.trained
            file = publish_bytes(content, uri, f"reduction-{storage.sha256(content)[:16]}.faiss")
            entry = dataclasses.replace(entry, factory=form.factory.text, trained=file)
        entries[name] = entry
    return entries


def stage_one_shard(uri: str, blocks: Iterable[Block], forms: Mapping[str, Form], codes: str = "") -> ShardEntry | None:
    """Write all rows of a stream as one shard; None: there are none.

    Its name is its content's: the same rows staged again, also elsewhere, are the same files.
    """
    with scratch_folder(uri) as scratch:
        info = write_shard(Path(scratch), blocks, forms)
        return _publish_shard(uri, Path(scratch), info, codes) if info.rows else None


def stage_shards(
    uri: str, blocks: Iterable[Block], forms: Mapping[str, Form], *, rows_per_shard: int, codes: str = ""
) -> tuple[ShardEntry, ...]:
    """The second pass: the stream as shards of so many rows."""
    if rows_per_shard < 1:
        raise WrongUsage(f"a shard needs at least 1 row, got {rows_per_shard}")
    entries: list[ShardEntry] = []
    stream = _Stream(blocks)
    while stream.has_more():
        entry = stage_one_shard(uri, stream.take(rows_per_shard), forms, codes)
        if entry and entry not in entries:
            entries.append(entry)
    return tuple(entries)


def publish_new(
    uri: str,
    spaces: Mapping[str, SpaceEntry],
    shards: Sequence[ShardEntry],
    *,
    recall: float = 1.0,
    sources: Mapping[str, str] | None = None,
) -> Manifest:
    """Make staged shards the first version of an index.

    Raises:
        OutputInUse: there is an index at ``uri`` already.
    """
    refuse_old_index(uri)
    return publish(uri, Manifest(1, recall, dict(spaces), tuple(shards), dict(sources or {})))


def refuse_old_index(uri: str) -> None:
    """Raises:
    OutputInUse: there is an index at ``uri`` already.
    """
    if versions(uri):
        raise OutputInUse(f"{uri!r} holds an index already; append to it, or choose another place")


def scratch_folder(uri: str) -> tempfile.TemporaryDirectory[str]:
    """Where a shard is written: beside the index if that is local, so that finished files need no copying."""
    if not storage.is_local(uri):
        return tempfile.TemporaryDirectory(prefix=STAGING)
    root = storage.filesystem(uri)[1]
    storage.make_lasting_folder(root)
    return tempfile.TemporaryDirectory(prefix=STAGING, dir=root)


def sample_rows(settings: IndexSettings, space: SearchSpace) -> int:
    """How many rows ``fit_spaces`` looks at; more are no use to it."""
    return max(1024, min(16_384, settings.sample_bytes // (4 * space.width)))


def _publish_shard(uri: str, folder: Path, info: ShardInfo, codes: str) -> ShardEntry:
    name = storage.sha256("".join(file.sha256 for file in info.files).encode())[:16]
    files = []
    for file in info.files:
        staged = f"shards/{name}/{file.name}"
        publish_file(folder / file.name, storage.join(uri, staged))
        files.append(dataclasses.replace(file, name=staged))
    return ShardEntry(name, info.rows, codes, tuple(files))


class _Stream:
    """Blocks, cut where a shard is full."""

    def __init__(self, blocks: Iterable[Block]) -> None:
        self._blocks = iter(blocks)
        self._left: Block | None = None

    def has_more(self) -> bool:
        """Whether any row is left; reads one block ahead."""
        while self._left is None or not self._left.rows:
            self._left = next(self._blocks, None)
            if self._left is None:
                return False
        return True

    def take(self, rows: int) -> Iterator[Block]:
        """Blocks of ``rows`` rows together; fewer at the end."""
        while rows and self.has_more() and self._left is not None:
            block, count = self._left, min(rows, self._left.rows)
            self._left = block.cut(count, block.rows)
            rows -= count
            yield block.cut(0, count)

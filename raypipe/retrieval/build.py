"""A new index from a stream of faces: one pass for axes and lists, one that writes shards."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from raypipe import storage
from raypipe.contract import SearchSpace
from raypipe.errors import OutputInUse, WrongUsage
from raypipe.retrieval.files import FileInfo, publish_bytes, publish_file
from raypipe.retrieval.manifest import Binding, Manifest, ShardEntry, publish, versions
from raypipe.retrieval.reduction import Reduction, RowSample, fit_reduction
from raypipe.retrieval.scan_rows import COLUMNS_STEP, column_count, fixed_columns
from raypipe.retrieval.shard_writer import Block, Form, Precision, ShardInfo, write_shard
from raypipe.retrieval.space import comparable

STAGING = ".staging-"

_AXES_AT_LEAST, _AXES_AT_MOST = 16, 256
_ROW_NUMBER_BYTES = 8


@dataclass(frozen=True, kw_only=True)
class IndexSettings:
    """How an index is built.

    Attributes:
        rows_per_shard: at most.
        memory_per_row: bytes that a row may take in memory; 0: a tenth of its vector in float16.
        axes: at most; 0: as many as the memory allows, up to 256.
        lists: a shard's rows are grouped into so many lists at most.
        precision: of the full vectors on disk. float32 is exact; float16 takes half the space and moves distances by
            some 1e-5 of themselves.
        sample_bytes: what the sample for the axes may take.
        seed: of the sample.
    """

    rows_per_shard: int = 1_000_000
    memory_per_row: int = 0
    axes: int = 0
    lists: int = 256
    precision: Precision = "float32"
    sample_bytes: int = 1 << 27
    seed: int = 0

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
    space: SearchSpace,
    binding: Binding,
    read: Callable[[], Iterable[Block]],
    settings: IndexSettings,
    *,
    codes: str = "",
) -> Manifest:
    """A new index from a stream that can be read twice. ``codes``: the hash of the dataset's manifest.

    Raises:
        OutputInUse: there is an index at ``uri`` already.
        WrongUsage: as ``fit`` and ``write_shard``.
    """
    if versions(uri):
        raise OutputInUse(f"{uri!r} holds an index already; append to it, or choose another place")
    form = Form(space, fit(space, settings, read()), settings.precision)
    file = stage_reduction(uri, form.reduction)
    shards = stage_shards(uri, read(), form, rows_per_shard=settings.rows_per_shard, codes=codes)
    return publish(uri, Manifest(1, binding, space, settings.precision, file, shards))


def fit(space: SearchSpace, settings: IndexSettings, blocks: Iterable[Block]) -> Reduction:
    """The first pass: a sample of the stream, its axes and lists.

    Raises:
        WrongUsage: vectors that ``space`` cannot compare, or too little memory a row.
    """
    limit = max(1024, min(16_384, settings.sample_bytes // (4 * space.width)))
    sample = RowSample(space.width, limit, settings.seed)
    for block in blocks:
        sample.add(comparable(space, block.vectors))
    return fit_reduction(
        sample.rows,
        attributes=len(space.coordinates),
        axes=settings.axes_of(space),
        lists=settings.lists,
        seed=settings.seed,
    )


def stage_reduction(uri: str, reduction: Reduction) -> FileInfo:
    """Write the reduction of a new index."""
    content = reduction.to_bytes()
    return publish_bytes(content, uri, f"reduction-{storage.sha256(content)[:16]}.npz")


def stage_shard(uri: str, folder: Path, info: ShardInfo, codes: str) -> ShardEntry:
    """Move a written shard's files under the index. Its name is its content's: staging it again changes nothing."""
    name = storage.sha256("".join(file.sha256 for file in info.files).encode())[:16]
    files = []
    for file in info.files:
        staged = f"shards/{name}/{file.name}"
        publish_file(folder / file.name, storage.join(uri, staged))
        files.append(dataclasses.replace(file, name=staged))
    return ShardEntry(name, info.rows, codes, tuple(files))


def stage_shards(
    uri: str,
    blocks: Iterable[Block],
    form: Form,
    *,
    rows_per_shard: int,
    codes: str,
) -> tuple[ShardEntry, ...]:
    """The second pass: the stream as shards of so many rows. Nothing is visible before a manifest names them."""
    if rows_per_shard < 1:
        raise WrongUsage(f"a shard needs at least 1 row, got {rows_per_shard}")
    entries: list[ShardEntry] = []
    stream = _Stream(blocks)
    while stream.has_more():
        with scratch_folder(uri) as scratch:
            info = write_shard(Path(scratch), stream.take(rows_per_shard), form)
            if info.rows and (entry := stage_shard(uri, Path(scratch), info, codes)) not in entries:
                entries.append(entry)
    return tuple(entries)


def scratch_folder(uri: str) -> tempfile.TemporaryDirectory[str]:
    """Where a shard is written: beside the index if that is local, so that finished files need no copying."""
    if not storage.is_local(uri):
        return tempfile.TemporaryDirectory(prefix=STAGING)
    root = Path(storage.filesystem(uri)[1])
    root.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(prefix=STAGING, dir=root)


class _Stream:
    """Blocks, cut where a shard is full."""

    def __init__(self, blocks: Iterable[Block]) -> None:
        self._blocks = iter(blocks)
        self._left: Block | None = None

    def has_more(self) -> bool:
        """Whether any row is left; reads one block ahead."""
        while self._left is None or not len(self._left.vectors):
            self._left = next(self._blocks, None)
            if self._left is None:
                return False
        return True

    def take(self, rows: int) -> Iterator[Block]:
        """Blocks of ``rows`` rows together; fewer at the end."""
        while rows and self.has_more() and self._left is not None:
            block, count = self._left, min(rows, len(self._left.vectors))
            self._left = Block(block.labels.slice(count), block.vectors[count:])
            rows -= count
            yield Block(block.labels.slice(0, count), block.vectors[:count])

"""One shard, from codes to files under the index: the unit of work, of restart and of what one Ray task does.

A shard's record is written when its files are; who does the same work again, after a crash, finds the record.

::

    INDEX/.staging-plan-<hash>/spaces.json           axes and lists, fitted once for all shards
    INDEX/.staging-plan-<hash>/shard-000003.json     a finished shard, not yet part of the index
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from raypipe import storage
from raypipe.errors import ModelMismatch, RaypipeError
from raypipe.pipeline.index.codes import Codes, Faces
from raypipe.pipeline.index.sampling import Pick
from raypipe.pipeline.index.spaces import Spaces, open_spaces
from raypipe.retrieval.build import STAGING, stage_one_shard
from raypipe.retrieval.manifest import ShardEntry, read_shard
from raypipe.retrieval.shard_writer import Block
from raypipe.retrieval.space import Array
from raypipe.retrieval.space_writer import Form
from raypipe.weights import open_bundle

STAGES = ("read", "vectors", "write")
EXAMPLES = 3

NOT_FINITE, NOT_COMPARABLE = "code not finite", "vector that cannot be compared"


@dataclass(frozen=True)
class Cut:
    """A shard's rows: of a dataset, those that are ok from number ``first`` to before ``last``."""

    dataset: int
    first: int
    last: int


@dataclass(frozen=True, kw_only=True)
class Work:
    """What every shard's work must know; plain values, so that it travels to any process.

    ``plan``: a hash of everything that decides what is in the shards. ``model_fingerprint`` of all its parts.
    """

    out: str
    plan: str
    model: str
    model_fingerprint: str
    spaces: tuple[str, ...]
    datasets: tuple[Codes, ...]
    cuts: tuple[Cut, ...]

    @property
    def rows(self) -> int:
        return sum(cut.last - cut.first for cut in self.cuts)

    @property
    def staging(self) -> str:
        """Where records are; the engine's sweep deletes it together with the shards that nobody names."""
        return storage.join(self.out, f"{STAGING}plan-{self.plan[:16]}")


@dataclass(frozen=True, kw_only=True)
class ShardReport:
    """A finished shard; ``entry`` None: not one row could be used. ``skipped``: reason -> how many and some ids."""

    number: int
    entry: ShardEntry | None
    rows: int
    skipped: Mapping[str, tuple[int, list[str]]]
    seconds: Mapping[str, float]

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.entry.files) if self.entry else 0


@dataclass
class Blocks:
    """Faces on their way into a shard: what could not be used, and where the time went."""

    spaces: Spaces
    moved: Callable[[int], None]
    rows: int = 0
    skipped: dict[str, tuple[int, list[str]]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))

    def of(self, faces: Iterator[Faces]) -> Iterator[Block]:
        """Blocks with a vector of each space; rows without are counted and left out."""
        while (some := self._timed("read", partial(next, faces, None))) is not None:
            block = self._timed("vectors", partial(self._block, some))
            self.rows += block.rows
            self.moved(some.labels.num_rows)
            if block.rows:
                yield block

    def _block(self, faces: Faces) -> Block:
        finite = [np.isfinite(values.reshape(len(values), -1)).all(1) for values in faces.codes.values()]
        faces = self._kept(faces, np.all(finite, axis=0), NOT_FINITE)
        if not faces.labels.num_rows:
            return Block(faces.labels, {})
        vectors = self.spaces.vectors(faces.codes)
        good = self.spaces.comparable_rows(vectors)
        return Block(
            self._kept(faces, good, NOT_COMPARABLE).labels, {name: some[good] for name, some in vectors.items()}
        )

    def _kept(self, faces: Faces, good: Array, reason: str) -> Faces:
        if good.all():
            return faces
        ids = faces.labels.filter(pa.array(~good)).column("image_id").to_pylist()
        count, examples = self.skipped.get(reason, (0, []))
        self.skipped[reason] = (count + len(ids), [*examples, *ids][:EXAMPLES])
        codes = {name: values[good] for name, values in faces.codes.items()}
        return Faces(faces.labels.filter(pa.array(good)), codes)

    def _timed(self, stage: str, act: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        result = act()
        self.seconds[stage] += time.perf_counter() - started
        return result


class ShardWorker:
    """Does any of a job's shards."""

    def __init__(self, work: Work, spaces: Spaces) -> None:
        self._work, self.spaces = work, spaces

    def stage(self, number: int, forms: Mapping[str, Form], moved: Callable[[int], None]) -> ShardReport:
        """Write a shard and its record. Done again, it is the same."""
        started = time.perf_counter()
        cut = self._work.cuts[number]
        codes = self._work.datasets[cut.dataset]
        blocks = Blocks(self.spaces, moved)
        faces = codes.read(cut.first, cut.last, self.spaces.columns(list(codes.shapes)))
        entry = stage_one_shard(self._work.out, blocks.of(faces), forms, codes.hash)
        blocks.seconds["write"] = time.perf_counter() - started - sum(blocks.seconds.values())
        report = ShardReport(
            number=number, entry=entry, rows=blocks.rows, skipped=blocks.skipped, seconds=blocks.seconds
        )
        storage.write_bytes(_record_uri(self._work, number), json.dumps(dataclasses.asdict(report)).encode())
        return report

    def sample(self, pick: Pick) -> Block:
        """Vectors of some rows of a part, to fit axes and lists to; those that cannot be used are left out."""
        codes = self._work.datasets[pick.dataset]
        rows = np.array(pick.places, np.int64)
        faces = codes.read_some(pick.part, rows, self.spaces.columns(list(codes.shapes)))
        return next(Blocks(self.spaces, lambda _: None).of(iter([faces])), Block(faces.labels.slice(0, 0), {}))


def open_worker(work: Work) -> ShardWorker:
    """With the model opened.

    Raises:
        ModelMismatch: it is not the one that the job began with.
    """
    bundle = open_bundle(work.model)
    if bundle.fingerprint != work.model_fingerprint:
        raise ModelMismatch(f"the model at {work.model!r} is another one here than where the job began")
    return ShardWorker(work, open_spaces(bundle, work.spaces))


def finished_shards(work: Work) -> dict[int, ShardReport]:
    """What an earlier run of the same plan left: by number, the shards whose record and files are there."""
    found = {}
    for number in range(len(work.cuts)):
        try:
            tree = json.loads(storage.read_bytes(_record_uri(work, number)))
        except FileNotFoundError:
            continue
        except ValueError as error:
            raise RaypipeError(f"{_record_uri(work, number)} is damaged ({error}): delete it") from error
        report = _report(tree)
        if report.entry is None or all(
            storage.exists(storage.join(work.out, file.name)) for file in report.entry.files
        ):
            found[number] = report
    return found


def _record_uri(work: Work, number: int) -> str:
    return storage.join(work.staging, f"shard-{number:06d}.json")


def _report(tree: dict[str, Any]) -> ShardReport:
    entry = read_shard(tree["entry"]) if tree["entry"] else None
    skipped = {reason: (count, ids) for reason, (count, ids) in tree["skipped"].items()}
    return ShardReport(number=tree["number"], entry=entry, rows=tree["rows"], skipped=skipped, seconds=tree["seconds"])

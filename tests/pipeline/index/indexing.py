"""Codes of forty made-up faces, jobs on them, and what an index then answers."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raypipe.pipeline.encode.dataset import PLAN, Dataset
from raypipe.pipeline.index.config import AppendConfig, IndexConfig
from raypipe.pipeline.index.job import Runner, lease_uri, run_job
from raypipe.pipeline.index.local import RunLocally
from raypipe.pipeline.index.plan import append_job, build_job
from raypipe.pipeline.index.summary import RunRecord, Summary
from raypipe.pipeline.interrupts import Interrupted
from raypipe.retrieval.answer import Wish
from raypipe.retrieval.index import open_index
from raypipe.retrieval.space import Aim, make_target
from tests.pipeline.search.small_collection import W_PLUS, SmallCollection


def build(
    small: SmallCollection, out: Path | str, *codes: Path | str, runner: Runner | None = None, **values: Any
) -> Summary:
    """A new index of some codes; of the collection's own where none are given."""
    config = IndexConfig(codes=tuple(map(str, codes or (small.codes,))), out=str(out), model=str(small.model), **values)
    return run_job(build_job(config), runner or RunLocally(), say=print, watch=lambda _: None)


def append(small: SmallCollection, index: Path | str, *codes: Path | str, shards: int = 0) -> Summary:
    config = AppendConfig(index=str(index), codes=tuple(map(str, codes)), model=str(small.model), shards=shards)
    return run_job(append_job(config), RunLocally(), say=print, watch=lambda _: None)


def interrupted(
    small: SmallCollection,
    out: Path,
    runner: Runner,
    signum: signal.Signals,
    *,
    shards: int,
    watch: Callable[[RunRecord], None] = lambda _: None,
) -> None:
    """Build an index until a signal ends it, which must be in good order."""
    config = IndexConfig(codes=(str(small.codes),), out=str(out), model=str(small.model), shards=shards)
    before = signal.getsignal(signum)
    with pytest.raises(Interrupted) as interrupt:
        run_job(build_job(config), runner, say=print, watch=watch)
    assert interrupt.value.signum == signum
    assert signal.getsignal(signum) is before
    assert not Path(lease_uri(str(out))).exists()


def telling_once(signum: signal.Signals, *, when_done: int = 0) -> Callable[[RunRecord], None]:
    """Watches a job and sends a signal when so many rows are done."""
    told: list[int] = []

    def tell(record: RunRecord) -> None:
        if record.done >= when_done and not told:
            told.append(record.done)
            signal.raise_signal(signum)

    return tell


def found(small: SmallCollection, index: Path | str, row: int = 0) -> list[tuple[str, float]]:
    """All ids with their distances from a face of the collection in W+, nearest first."""
    opened = open_index(str(index))
    entry = opened.manifest.spaces[W_PLUS]
    target = make_target(entry.space, small.vectors[W_PLUS][row].astype(np.float32))
    (answer,) = opened.search([[Aim(W_PLUS, target)]], Wish(k=1000), asked={W_PLUS: entry.binding})
    assert answer.certified
    return [(hit.id, hit.distance) for hit in answer.hits]


def copied_codes(small: SmallCollection, folder: Path) -> Path:
    shutil.copytree(small.codes, folder)
    return folder


def change_part(codes: Path, number: int, change: Callable[[pa.Table], pa.Table]) -> None:
    """Another content of a part, as if an encode run had written it."""
    dataset = Dataset(str(codes))
    dataset.reopen([number])
    dataset.write_part(number, change(dataset.read_part(number)))
    dataset.finish(dataset.parts(dataset.finished_chunks()), dataset.read_json(*PLAN) or {})


def renamed(prefix: str) -> Callable[[pa.Table], pa.Table]:
    """The same faces under other ids."""

    def change(table: pa.Table) -> pa.Table:
        ids = [f"{prefix}{id_}" for id_ in table.column("image_id").to_pylist()]
        return table.set_column(0, "image_id", pa.array(ids))

    return change


def other_codes(small: SmallCollection, folder: Path, prefix: str = "other-") -> Path:
    """A dataset of the same codes with other ids."""
    codes = copied_codes(small, folder)
    for number in range(len(list(codes.glob("part-*.parquet")))):
        change_part(codes, number, renamed(prefix))
    return codes


def rows_of(codes: Path) -> list[dict[str, Any]]:
    return [row for path in sorted(codes.glob("part-*.parquet")) for row in pq.read_table(path).to_pylist()]


def shard_names(index: Path) -> list[str]:
    newest = max(index.glob("manifest-*.json"))
    return [shard["name"] for shard in json.loads(newest.read_text())["shards"]]

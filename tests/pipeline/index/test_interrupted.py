"""Ctrl-C and SIGTERM in the middle of an index: it ends in good order, and the same command goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from raypipe.pipeline.index.local import RunLocally
from raypipe.pipeline.index.sampling import Pick
from raypipe.pipeline.index.stage import Work
from raypipe.pipeline.index.summary import RunRecord
from raypipe.retrieval.manifest import versions
from raypipe.retrieval.shard_writer import Block
from tests.pipeline.index.indexing import build, interrupted, telling_once
from tests.pipeline.search.small_collection import FACES, SmallCollection

BOTH = pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
SHARDS = 5

TOLD_BY_THE_SECOND_SHARD = """
import signal
from raypipe import cli
from raypipe.pipeline.index.stage import ShardWorker

stage = ShardWorker.stage

def tell_and_stage(self, number, *arguments):
    if number == 1:
        signal.raise_signal({signum})
    return stage(self, number, *arguments)

ShardWorker.stage = tell_and_stage
cli.main()
"""


@BOTH
def test_it_ends_at_the_next_rows_and_the_same_command_goes_on(
    small: SmallCollection, tmp_path: Path, signum: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    tell, done = telling_once(signum, when_done=FACES // 2), list[int]()

    def watch(record: RunRecord) -> None:
        done.append(record.done)
        tell(record)

    index = tmp_path / "index"
    interrupted(small, index, RunLocally(), signum, shards=SHARDS, watch=watch)
    assert "told to end: the rows at hand are finished first; once more ends at once" in capsys.readouterr().out
    assert len([rows for rows in done if rows >= FACES // 2]) == 1
    assert versions(str(index)) == []
    assert not list(index.glob(".staging-[!p]*"))
    assert json.loads((index / "run.json").read_text())["state"] == "failed"
    summary = build(small, index, shards=SHARDS)
    assert (summary.run["shards"], summary.run["shards_of_an_earlier_run"]) == (2, 3)
    build(small, tmp_path / "whole", shards=SHARDS)
    assert manifest_of(index) == manifest_of(tmp_path / "whole")


def test_it_ends_while_rows_are_sampled(small: SmallCollection, tmp_path: Path) -> None:
    sampled: list[Block] = []

    class Telling(RunLocally):
        def sample(self, work: Work, picks: Sequence[Pick], check: Callable[[], None]) -> Iterator[Block]:
            for block in super().sample(work, picks, check):
                sampled.append(block)
                signal.raise_signal(signal.SIGINT)
                yield block

    interrupted(small, tmp_path / "index", Telling(), signal.SIGINT, shards=SHARDS)
    assert len(sampled) == 1


def test_what_is_published_when_it_is_told_is_published(
    small: SmallCollection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from raypipe.pipeline.index import job

    publish = job.publish_new

    def tell_and_publish(*arguments: object, **named: object) -> object:
        signal.raise_signal(signal.SIGTERM)
        return publish(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(job, "publish_new", tell_and_publish)
    interrupted(small, tmp_path / "index", RunLocally(), signal.SIGTERM, shards=SHARDS)
    assert versions(str(tmp_path / "index")) == [1]
    assert json.loads((tmp_path / "index" / "run.json").read_text())["state"] == "done"
    assert build(small, tmp_path / "index", shards=SHARDS).manifest.rows == FACES


@BOTH
def test_the_command_says_so_and_ends_with_the_signals_own_code(
    small: SmallCollection, tmp_path: Path, signum: signal.Signals
) -> None:
    words = ["index", "build", str(small.codes), "--out", str(tmp_path / "index"), "--model", str(small.model)]
    program = TOLD_BY_THE_SECOND_SHARD.format(signum=int(signum))
    command = [sys.executable, "-c", program, *words, "--shards", str(SHARDS), "--local"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == (1 if signum == signal.SIGINT else 128 + signum), done.stderr
    assert "stopped; finished shards stay: run the same command again to go on" in done.stderr
    assert "Traceback" not in done.stderr
    assert versions(str(tmp_path / "index")) == []


def manifest_of(index: Path) -> bytes:
    return (index / "manifest-000001.json").read_bytes()

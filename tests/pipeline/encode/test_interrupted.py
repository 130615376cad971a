"""Ctrl-C and SIGTERM in the middle of a job: it ends in good order, and never hangs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from raypipe.pipeline.encode.config import EncodeConfig
from raypipe.pipeline.encode.face_model import FaceModel
from raypipe.pipeline.encode.job import encode
from raypipe.pipeline.encode.local import RunLocally
from raypipe.pipeline.encode.stages import _ChunkOfFaces
from raypipe.pipeline.encode.summary import RunRecord
from raypipe.pipeline.interrupts import Interrupted
from tests.pictures import fill_folder
from tests.pipeline.encode.test_job import config_for, encode_locally, part_bytes

IMAGES = 6
WAIT_S = 400  # for a process that may hang

WHERE_A_LOCK_WAS_TAKEN = """
import signal, sys, threading
from raypipe import cli
from raypipe.pipeline.encode.summary import RunRecord

enter, add = threading.Condition.__enter__, RunRecord.add

def enter_and_be_told(condition):
    entered = enter(condition)
    if threading.current_thread() is threading.main_thread():
        threading.Condition.__enter__ = enter
        signal.raise_signal(signal.SIGINT)
    return entered

def add_and_wait_for_the_next_lock(record, report):
    add(record, report)
    RunRecord.add = add
    threading.Condition.__enter__ = enter_and_be_told

RunRecord.add = add_and_wait_for_the_next_lock
cli.main()
"""

READING_WAITS = """
import sys, time
from pathlib import Path
from raypipe import cli
from raypipe.pipeline.encode.read_file import Reader

whole, folder = Reader.whole, Path(sys.argv.pop())

def wait_and_read(*arguments):
    (folder / "reading").touch()
    while not (folder / "go").exists():
        time.sleep(0.01)
    return whole(*arguments)

Reader.whole = wait_and_read
cli.main()
"""


@pytest.mark.parametrize(("owner", "name"), [(FaceModel, "_encode"), (_ChunkOfFaces, "take")], ids=["model", "read"])
def test_it_ends_in_the_middle_of_a_chunk(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, owner: type, name: str
) -> None:
    """Of a chunk that is being encoded, at the next batch; of one that is being read, at the next image."""
    config = config_for(fill_folder(tmp_path / "in", IMAGES), tmp_path / "out", model, commit_rows=IMAGES, batch_size=1)
    original, done, told = getattr(owner, name), [], threading.Event()

    def tell_the_second_time(*arguments: Any) -> Any:
        done.append(threading.current_thread().name)
        if done.count(done[-1]) == 2 and done[-1] != "MainThread":
            os.kill(os.getpid(), signal.SIGINT)
            assert told.wait(WAIT_S)
        return original(*arguments)

    monkeypatch.setattr(owner, name, tell_the_second_time)
    with pytest.raises(Interrupted):
        encode(
            config,
            RunLocally("cpu"),
            restart=False,
            retry=frozenset(),
            say=lambda message: told.set() if "once more ends at once" in message else None,
            watch=lambda _: None,
        )
    assert len([thread for thread in done if thread != "MainThread"]) == 2
    assert _ended_in_good_order(config)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_what_was_begun_is_committed_and_counted_and_a_second_run_does_the_rest(
    tmp_path: Path, model: Path, signum: signal.Signals
) -> None:
    folder = fill_folder(tmp_path / "in", IMAGES)
    encode_locally(config_for(folder, tmp_path / "whole", model, commit_rows=1))
    config = config_for(folder, tmp_path / "cut", model, commit_rows=1)

    def tell(record: RunRecord) -> None:
        if record.done == 1:
            signal.raise_signal(signum)

    before = signal.getsignal(signum)
    with pytest.raises(Interrupted) as interrupt:
        encode(config, RunLocally("cpu"), restart=False, retry=frozenset(), say=print, watch=tell)
    assert interrupt.value.signum == signum
    assert signal.getsignal(signum) is before
    assert _ended_in_good_order(config)
    encode_locally(config)
    assert part_bytes(tmp_path / "cut") == part_bytes(tmp_path / "whole")


def test_a_second_one_is_raised_where_it_comes(tmp_path: Path, model: Path) -> None:
    config = config_for(fill_folder(tmp_path / "in", IMAGES), tmp_path / "out", model, commit_rows=1)

    def tell_twice(record: RunRecord) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        raise AssertionError("not reached")

    with pytest.raises(Interrupted):
        encode(config, RunLocally("cpu"), restart=False, retry=frozenset(), say=print, watch=tell_twice)
    assert not (tmp_path / "out" / "_raypipe" / "lease.json").exists()
    assert not _working()


def test_one_that_comes_where_a_lock_was_just_taken_leaves_none_held(tmp_path: Path, model: Path) -> None:
    fill_folder(tmp_path / "in", IMAGES)
    command = [sys.executable, "-c", WHERE_A_LOCK_WAS_TAKEN, *_arguments(tmp_path, model), "--commit-rows", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S)
    assert done.returncode == 1, done.stderr
    assert "stopped; what is committed stays: run the same command again to go on" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out" / "_raypipe" / "lease.json").exists()


def test_ctrl_c_ends_it_when_reading_goes_on(tmp_path: Path, model: Path) -> None:
    with _reading(tmp_path, model) as process:
        process.send_signal(signal.SIGINT)
        assert "told to end: what is being written is committed first; once more" in _line(process, "told to end")
        (tmp_path / "go").touch()
        assert _line(process, "stopped") == "stopped; what is committed stays: run the same command again to go on\n"
        assert process.wait(WAIT_S) == 1
    assert not (tmp_path / "out" / "_raypipe" / "lease.json").exists()


def test_ctrl_c_once_more_ends_it_while_reading_hangs(tmp_path: Path, model: Path) -> None:
    with _reading(tmp_path, model) as process:
        process.send_signal(signal.SIGINT)
        _line(process, "told to end")
        process.send_signal(signal.SIGINT)
        _line(process, "stopped")
        assert not (tmp_path / "go").exists()
        assert not (tmp_path / "out" / "_raypipe" / "lease.json").exists()
        (tmp_path / "go").touch()  # else the process would wait for the thread that reads
        assert process.wait(WAIT_S) == 1


@contextmanager
def _reading(folder: Path, model: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that reads its first image, and goes on with it when there is a file ``go``."""
    fill_folder(folder / "in", IMAGES)
    command = [sys.executable, "-c", READING_WAITS, *_arguments(folder, model), str(folder)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        while not (folder / "reading").exists():
            assert process.poll() is None
        yield process
    finally:
        process.kill()
        process.communicate()


def _line(process: subprocess.Popen[str], start: str) -> str:
    """The next line that begins so."""
    assert process.stderr is not None
    return next(line for line in process.stderr if line.startswith(start))


def _arguments(folder: Path, model: Path) -> list[str]:
    return ["encode", str(folder / "in"), "--out", str(folder / "out"), "--model", str(model), "--local"]


def _ended_in_good_order(config: EncodeConfig) -> bool:
    """The record counts what is there, the output is free, and nothing goes on."""
    out = Path(config.out)
    run = json.loads((out / "run.json").read_text())
    assert (run["state"], run["images"]) == ("failed", len(part_bytes(out)) * config.commit_rows)
    assert not (out / "_SUCCESS").exists()
    assert not (out / "_raypipe" / "lease.json").exists()
    return not _working()


def _working() -> list[str]:
    begun = ("encode", "read", "write", "lease", "told-to-end")
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(begun)]

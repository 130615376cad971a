"""However a run ends, its decode processes and threads end with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from raypipe.errors import Diverged, RaypipeError
from raypipe.pipeline.train.loop import Progress
from raypipe.pipeline.train.plan import plan_run
from tests.on_ray.faults import wait_until
from tests.pipeline.train.made_up import celeba_folder
from tests.pipeline.train.test_job import CPU, RECIPE, job_for, train


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return celeba_folder(tmp_path_factory.mktemp("faces") / "in", 48)


def decode_processes(of: int) -> list[psutil.Process]:
    children = psutil.Process(of).children(recursive=True)
    return [child for child in children if any("decode_child" in word for word in _command(child))]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:  # or a zombie, which has none
        return []


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    threads = set(threading.enumerate())
    yield
    assert not decode_processes(os.getpid())
    wait_until(lambda: set(threading.enumerate()) <= threads, timeout_s=20.0)


def with_decoders(act: Callable[[Progress], None]) -> Callable[[Progress], None]:
    """At step 5, where decode processes are certainly at work."""

    def watch(progress: Progress) -> None:
        if progress.step == 5:
            assert decode_processes(os.getpid())
            act(progress)

    return watch


def test_at_its_end(folder: Path, tmp_path: Path) -> None:
    assert train(job_for(folder, tmp_path), watch=with_decoders(lambda _: None)).is_done


def test_when_it_was_told_to_end(folder: Path, tmp_path: Path) -> None:
    tell = with_decoders(lambda _: os.kill(os.getpid(), signal.SIGINT))
    assert not train(job_for(folder, tmp_path), watch=tell).is_done


def test_when_it_was_told_twice(folder: Path, tmp_path: Path) -> None:
    def tell_twice(_: Progress) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(job_for(folder, tmp_path), watch=with_decoders(tell_twice))


def test_when_it_diverges(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(Diverged):
        train(job_for(folder, tmp_path, loss_limit=1e-9))


def test_when_the_data_are_gone(tmp_path: Path) -> None:
    folder = celeba_folder(tmp_path / "in", 48)

    def remove(_: Progress) -> None:
        for path in (folder / "img_align_celeba").iterdir():
            path.unlink()

    job = job_for(folder, tmp_path / "out")
    with pytest.raises(RaypipeError, match="100 images in a row cannot be read"):
        train(replace(job, recipe=replace(RECIPE, steps=100)), watch=with_decoders(remove))


def test_of_a_plan(folder: Path, tmp_path: Path) -> None:
    plan_run(job_for(folder, tmp_path), device=CPU, workers=1, where="here", restart=False)


def test_when_it_is_killed(folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "raypipe", "train", "attributes", "--local", "--data", folder, "--out", tmp_path]
    command += ["--size", "32", "--set", "size=32", "--set", "widths=[8,8,8,8]", "--set", "run.checkpoint_every=5"]
    run = subprocess.Popen([*map(str, command)], stderr=subprocess.DEVNULL)
    wait_until(lambda: any((tmp_path / "checkpoints").glob("*.pt")) or run.poll() is not None)
    decoders = decode_processes(run.pid)
    run.kill()
    run.wait()
    assert decoders
    wait_until(lambda: not any(map(is_alive, decoders)), timeout_s=20.0)


def is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE

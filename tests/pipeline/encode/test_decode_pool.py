"""Images that crash or hang cost their own row; processes end when they should."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from raypipe.errors import RaypipeError, WrongUsage
from raypipe.pipeline.encode.decode_messages import DecoderFailed
from raypipe.pipeline.encode.decode_pool import WINDOW_ITEMS, DecodePool
from raypipe.pipeline.encode.face_decoder import DecodedFace, FaceConfig, FaceDecoder, Landmarks
from tests.pipeline.encode.dangerous_decoders import Unloadable, obedient, slow
from tests.pipeline.encode.image_files import one_of_each, smooth_picture
from tests.shared_files import data

Item = tuple[bytes, Landmarks | None]


def random_items(count: int, largest: int = 5000) -> list[Item]:
    rng = random.Random(count)
    marks = [None, np.full((5, 2), 2, np.float32), np.ones((68, 2), np.float32)]
    return [(rng.randbytes(rng.randint(10, largest)), rng.choice(marks)) for _ in range(count)]


def same(a: DecodedFace, b: DecodedFace) -> bool:
    told = [(face.status, face.error, face.width, face.height) for face in (a, b)]
    return told[0] == told[1] and np.array_equal(a.pixels, b.pixels)


def children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "decode_child" in " ".join(child.cmdline())]


def wait_until_gone(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_real_files_come_out_as_in_this_process() -> None:
    decoder = FaceDecoder(FaceConfig(align="center"), 32)
    files = one_of_each(smooth_picture(60, 44))
    items: list[Item] = [(content, None) for content in [*files.values(), b"", b"text", files["png"][:300]]]
    with DecodePool(decoder) as pool:
        faces = list(pool.map(items))
    assert len(faces) == len(items)
    assert all(same(face, decoder(*item)) for face, item in zip(faces, items, strict=True))


def test_the_detector_finds_the_same_face_in_the_child() -> None:
    weights = str(data("weights/mtcnn_facenet-pytorch"))
    content = data("omi/images_256/1.jpg").read_bytes()
    decoder = FaceDecoder(FaceConfig(align="ffhq", detector=weights), 64)
    with DecodePool(decoder) as pool:
        (face,) = pool.map([(content, None)])
    here = decoder(content, None)
    assert face.status == here.status == "ok"
    assert face.pixels is not None
    assert here.pixels is not None
    # Convolutions may differ in the last bit between thread counts.
    assert np.abs(face.pixels.astype(int) - here.pixels).max() <= 1


def test_poison_costs_its_own_rows_only() -> None:
    items = random_items(200, largest=100_000)
    poison = {0: b"kill", 3: b"exit", 57: b"segfault", 58: b"kill", 199: b"exit"}
    for row, content in poison.items():
        items[row] = (content, None)
    with DecodePool(obedient) as pool:
        faces = list(pool.map(items))
    how = {b"kill": "SIGKILL", b"exit": "exit code 7", b"segfault": "SIGSEGV"}
    for row, face in enumerate(faces):
        if row in poison:
            assert (face.status, face.pixels) == ("crashed", None)
            assert face.error == f"decoding it alone killed the process 2 times ({how[poison[row]]})"
        else:
            assert same(face, obedient(*items[row])), row


@pytest.mark.parametrize("content", [b"hang", b"hang natively"])
def test_an_image_that_takes_too_long_is_given_up(content: bytes) -> None:
    items: list[Item] = [(b"before", None), (content, None), (b"after", None)]
    with DecodePool(obedient, timeout_s=0.2) as pool:
        before, hung, after = pool.map(items)
    assert (hung.status, hung.error) == ("decode_timeout", "not decoded within 0.2 s")
    assert same(before, obedient(b"before", None))
    assert same(after, obedient(b"after", None))


def test_a_child_killed_from_outside_loses_nothing() -> None:
    items = random_items(200)
    moments = random.Random(1)
    done = threading.Event()

    def kill_now_and_then() -> None:
        while not done.wait(moments.uniform(0.05, 0.4)):
            with contextlib.suppress(psutil.NoSuchProcess):
                for child in children():
                    child.kill()

    killer = threading.Thread(target=kill_now_and_then)
    killer.start()
    try:
        with DecodePool(slow, max_crashes=3) as pool:
            faces = list(pool.map(items))
    finally:
        done.set()
        killer.join()
    assert len(faces) == 200
    assert all(same(face, obedient(*item)) for face, item in zip(faces, items, strict=True))


def test_nobody_is_blamed_for_a_child_that_dies_idle() -> None:
    with DecodePool(obedient, max_crashes=1) as pool:
        assert next(iter(pool.map([(b"one", None)]))).status == "ok"
        child = children()[0]
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, and left for the pool to find
        assert [face.status for face in pool.map([(b"two", None)])] == ["ok"]


def test_an_image_larger_than_the_window_goes_alone() -> None:
    items: list[Item] = [(b"a" * 10, None), (b"b" * (40 << 20), None), (b"c" * (30 << 20), None), (b"d", None)]
    with DecodePool(obedient) as pool:
        assert [face.width for face in pool.map(items)] == [10, 40 << 20, 30 << 20, 1]


def test_items_are_taken_as_they_are_needed() -> None:
    taken = 0

    def source() -> Iterator[Item]:
        nonlocal taken
        for item in random_items(200):
            taken += 1
            yield item

    with DecodePool(obedient) as pool:
        for given, _ in enumerate(pool.map(source())):
            assert taken - given <= WINDOW_ITEMS
        assert list(pool.map([])) == []


def test_a_map_given_up_leaves_nothing_for_the_next() -> None:
    with DecodePool(obedient) as pool:
        first = pool.map(random_items(100))
        next(first)
        with pytest.raises(RaypipeError, match="in the middle of another map"):
            next(pool.map([(b"x", None)]))
        first.close()
        assert [face.width for face in pool.map([(b"abc", None)])] == [3]


def test_a_decoder_that_raises_stops_the_map() -> None:
    with DecodePool(obedient) as pool:
        faces = pool.map([(b"good", None), (b"raise", None), (b"good", None)])
        assert next(faces).status == "ok"
        with pytest.raises(DecoderFailed, match="KeyError: 'a bug of the decoder'"):
            list(faces)
        assert [face.error for face in pool.map([(b"reject", None)])] == ["rejected"]


def test_a_decoder_that_the_child_cannot_load_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    with DecodePool(Unloadable()) as pool, pytest.raises(RaypipeError, match="does not start: exit code 1"):
        list(pool.map([(b"x", None)]))
    assert "no_such_module_anywhere" in capfd.readouterr().err


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(WrongUsage, match="timeout_s=0"):
        DecodePool(obedient, timeout_s=0)
    with pytest.raises(WrongUsage, match="max_crashes=0"):
        DecodePool(obedient, max_crashes=0)


def test_what_the_child_prints_goes_nowhere(capfd: pytest.CaptureFixture[str]) -> None:
    with DecodePool(obedient) as pool:
        assert [face.status for face in pool.map([(b"noise", None), (b"x", None)])] == ["ok", "ok"]
    assert capfd.readouterr() == ("", "")


def test_the_child_imports_only_what_decoding_needs() -> None:
    with DecodePool(obedient) as pool:
        modules = next(iter(pool.map([(b"modules", None)]))).error.split()
    assert "PIL.JpegImagePlugin" in modules
    assert not {"torch", "pyarrow", "scipy", "fsspec", "ray", "multiprocessing"} & set(modules)


def test_no_process_is_left_after_closing() -> None:
    pool = DecodePool(obedient)
    list(pool.map(random_items(5)))
    pids = [child.pid for child in children()]
    assert len(pids) == 1
    pool.close()
    assert not psutil.pid_exists(pids[0])  # not even as a zombie


PARENT = """
import sys
from raypipe.pipeline.encode.decode_pool import DecodePool
from tests.pipeline.encode.dangerous_decoders import obedient

pool = DecodePool(obedient, timeout_s=2.0)
list(pool.map([(b"x", None)]))
print(pool._child._process.pid, flush=True)
list(pool.map([(sys.argv[1].encode(), None)]))
sys.stdin.read()
"""


@pytest.mark.parametrize("content", [b"idle", b"hang", b"hang natively"])
def test_the_child_ends_when_its_parent_is_killed(content: bytes) -> None:
    root = Path(__file__).resolve().parents[3]
    command = [sys.executable, "-c", PARENT, content.decode()]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert psutil.pid_exists(child)
        time.sleep(0.2)  # let it begin
        os.kill(parent.pid, signal.SIGKILL)
        assert wait_until_gone(child, 20)

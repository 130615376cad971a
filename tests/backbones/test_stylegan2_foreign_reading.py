"""A weights file that tries to run code is refused before anything of it runs: a marker file proves it."""

from __future__ import annotations

import builtins
import contextlib
import io
import pickle
import posix
import random
import struct
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from raypipe.backbones.stylegan2.foreign_reading import read_pickle, read_torch
from raypipe.errors import BadWeights
from tests.shared_files import oracle


class Call:
    """Pickles as a call of ``function``."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> Any:
        return self._call


def named(name: str) -> bytes:
    """The operations that put a global on the stack."""
    module, _, attribute = name.rpartition(".")
    return f"c{module}\n{attribute}\n".encode()


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def called(function: bytes, *arguments: bytes) -> bytes:
    return function + b"(" + b"".join(arguments) + b"tR"


def shell(marker: Path) -> bytes:
    return called(named("posix.system"), text(f"touch {marker}"))


def bytes_of(content: bytes) -> bytes:
    return b"B" + struct.pack("<I", len(content)) + content


def persistent(state: bytes, source: str) -> bytes:
    """A module as NVlabs' scripts pickle it."""
    meta = b"}(" + text("type") + text("class") + text("version") + b"K\x06" + text("module_src") + text(source)
    meta += text("class_name") + text("Generator") + text("state") + state + b"u"
    return called(named("torch_utils.persistence._reconstruct_persistent_obj"), meta)


def malicious_torch_file(marker: Path, *, legacy: bool = False) -> bytes:
    file = io.BytesIO()
    torch.save({"g_ema": Call(posix.system, f"touch {marker}")}, file, _use_new_zipfile_serialization=not legacy)
    return file.getvalue()


ATTACKS: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "a shell command": (lambda marker: b"\x80\x02" + shell(marker) + b".", "posix.system"),
    "written by pickle itself": (
        lambda marker: pickle.dumps({"G_ema": Call(posix.system, f"touch {marker}")}, 4),
        "posix.system",
    ),
    "eval": (
        lambda marker: pickle.dumps(Call(builtins.eval, f"open({str(marker)!r}, 'w')")),
        "builtins.eval",
    ),
    "exec": (
        lambda marker: pickle.dumps(Call(builtins.exec, f"open({str(marker)!r}, 'w')"), protocol=0),
        "__builtin__.exec",
    ),
    "an import": (lambda marker: pickle.dumps(Call(builtins.__import__, "antigravity")), "builtins.__import__"),
    "in a nested storage": (
        lambda marker: (
            b"\x80\x04" + called(named("torch.storage._load_from_bytes"), bytes_of(malicious_torch_file(marker))) + b"."
        ),
        "posix.system",
    ),
    "in a nested storage of the older form": (
        lambda marker: (
            b"\x80\x04"
            + called(named("torch.storage._load_from_bytes"), bytes_of(malicious_torch_file(marker, legacy=True)))
            + b"."
        ),
        "posix.system",
    ),
    "in a module's state": (
        lambda marker: b"\x80\x04" + persistent(b"}(" + text("x") + shell(marker) + b"u", "") + b".",
        "posix.system",
    ),
    "getattr": (
        lambda marker: pickle.dumps(Call(builtins.getattr, OrderedDict(), "__class__")),
        "builtins.getattr",
    ),
    "a dotted way out of an allowed name": (
        lambda marker: b"\x80\x04" + text("torch.storage") + text("_load_from_bytes.__globals__") + b"\x93.",
        "torch.storage._load_from_bytes.__globals__",
    ),
    "a class of the file's choice": (
        lambda marker: b"\x80\x02(isubprocess\nPopen\n.",
        "subprocess.Popen",
    ),
    "numpy's own file reader": (
        lambda marker: pickle.dumps(Call(np.load, str(marker))),
        "numpy.load",
    ),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_code_in_a_pickle_is_refused_by_name_and_not_run(attack: str, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    make, refused = ATTACKS[attack]
    with pytest.raises(BadWeights, match=refused.replace(".", r"\.") + r"\b"):
        read_pickle(make(marker))
    assert not marker.exists()


@pytest.mark.parametrize("legacy", [False, True])
def test_code_in_a_torch_file_is_refused_by_name_and_not_run(legacy: bool, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    with pytest.raises(BadWeights, match=r"posix\.system"):
        read_torch(malicious_torch_file(marker, legacy=legacy))
    assert not marker.exists()


def test_the_marker_would_appear_if_the_code_ran(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    pickle.loads(b"\x80\x02" + shell(marker) + b".")
    assert marker.exists()


def test_source_text_in_a_module_is_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    content = b"\x80\x04" + persistent(b"}", f"open({str(marker)!r}, 'w')") + b"."
    read_pickle(content)
    assert not marker.exists()


def test_a_huge_memo_index_is_refused_before_memory_is_reserved() -> None:
    with pytest.raises(BadWeights, match="memo index 4294967295"):
        read_pickle(b"\x80\x02Nr\xff\xff\xff\xff.")


def test_a_file_cannot_change_what_the_next_one_gets() -> None:
    """BUILD sets attributes, also of the stand-ins themselves: the next file gets new ones."""
    module = named("torch_utils.persistence._reconstruct_persistent_obj")
    read_pickle(b"\x80\x04" + module + b"N}(" + text("tensors") + b"Nu\x86b.")
    read = read_pickle(b"\x80\x04" + persistent(b"}", "") + b".")
    assert read.tensors() == {}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", "<i8", "|u1", "|b1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_keep_their_numbers(dtype: str, order: Any, protocol: int) -> None:
    array = np.asarray(np.arange(200, 212).reshape(3, 4), dtype=dtype, order=order)
    assert np.array_equal(read_pickle(pickle.dumps(array, protocol)).array(), array)
    assert read_pickle(pickle.dumps(array[1, 2], protocol)) == array[1, 2]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_tensors_and_sets_keep_their_content(protocol: int) -> None:
    content = {
        "p": torch.nn.Parameter(torch.randn(3, 2).T),
        "t": torch.arange(4.0)[1:],
        "s": {1, 2},
        "o": OrderedDict(a=1),
    }
    read = read_pickle(pickle.dumps(content, protocol))
    assert torch.equal(read["p"], content["p"])
    assert torch.equal(read["t"], content["t"])
    assert (read["s"], read["o"]) == ({1, 2}, {"a": 1})


def test_arrays_of_objects_are_refused() -> None:
    content = pickle.dumps(np.array([{}, {}], dtype=object), 4)
    with pytest.raises(BadWeights, match="not numbers"):
        read_pickle(content).array()


def test_a_tensor_cannot_reach_beyond_its_storage() -> None:
    content = pickle.dumps(torch.nn.Parameter(torch.arange(6.0).reshape(2, 3)), 4)
    assert torch.equal(read_pickle(content), torch.arange(6.0).reshape(2, 3))
    with pytest.raises(BadWeights, match=r"out of bounds|storage"):
        read_pickle(content.replace(b"K\x02K\x03\x86", b"K\x02K\xff\x86"))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("legacy", [False, True])
def test_damage_of_any_kind_is_bad_weights(legacy: bool) -> None:
    """Truncated or with bytes changed at random: it reads all the same or is refused; nothing else happens."""
    tree = {"a": [np.arange(3.0), torch.arange(3.0), {1, 2}], "b": OrderedDict(c=1.5)}
    file = io.BytesIO()
    torch.save({"a": torch.arange(3.0), "b": 1.5}, file, _use_new_zipfile_serialization=not legacy)
    numbers = random.Random(0)
    for read, content in ((read_pickle, pickle.dumps(tree, 4)), (read_torch, file.getvalue())):
        for _ in range(200):
            with contextlib.suppress(BadWeights):
                read(damaged(content, numbers))


def damaged(content: bytes, numbers: random.Random) -> bytes:
    changed = bytearray(content)
    if numbers.random() < 0.3:
        del changed[numbers.randrange(1, len(content)) :]
    for _ in range(numbers.randrange(1, 4)):
        changed[numbers.randrange(len(changed))] = numbers.randrange(256)
    return bytes(changed)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"hello", b"\x80\x04."])
def test_what_is_no_weights_file_at_all(content: bytes) -> None:
    with pytest.raises(BadWeights):
        read_pickle(content)
    with pytest.raises(BadWeights):
        read_torch(content)


def test_a_real_file_cut_off_is_refused() -> None:
    content = oracle("nvlabs/native_persistence.pkl").read_bytes()
    with pytest.raises(BadWeights):
        read_pickle(content[: len(content) // 2])

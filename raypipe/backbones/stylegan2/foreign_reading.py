"""Other people's weight files as inert data. Nothing that a file brings or names is executed.

A pickle is a program: it may call anything that it can name. ``read_pickle`` lets it name a short list of things, and
each of them is a stand-in that only keeps what it is given. The stand-ins are made afresh for every file, so that a
file cannot leave a changed one behind.
"""

from __future__ import annotations

import argparse
import io
import pickle
import pickletools
import re
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from raypipe.errors import BadWeights

_LEGACY_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."

_DAMAGE = (
    pickle.UnpicklingError,
    struct.error,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What reading a damaged or malicious file may raise."""


class Persistent:
    """A module of NVlabs' PyTorch version: its attributes, without the source text that came with them."""

    def __init__(self, meta: Mapping[str, Any]) -> None:
        self._state = dict(meta["state"])

    def number(self, path: str) -> float | None:
        """A number, or None, that is an attribute of a module inside this one: ``mapping.fc0.bias_gain``, say.

        Raises:
            BadWeights: there is none, or it is something else.
        """
        *modules, name = path.split(".")
        module: Persistent | None = self
        for child in modules:
            module = module._children().get(child) if module is not None else None
        value = "missing" if module is None else module._state.get(name, "missing")
        if value is None or isinstance(value, (int, float)):
            return value
        raise BadWeights(f"the network's {path} is not a number: {value!r:.100}")

    def tensors(self) -> dict[str, Tensor]:
        """Parameters and buffers by their dotted names."""
        found: dict[str, Tensor] = {}
        for kind in ("_parameters", "_buffers"):
            found |= {name: value for name, value in self._mapping(kind).items() if isinstance(value, Tensor)}
        for child, module in self._children().items():
            found |= {f"{child}.{name}": tensor for name, tensor in module.tensors().items()}
        return found

    def texts_of(self, attribute: str) -> set[str]:
        """What the attribute is, as text, here and in all modules inside."""
        own = {str(self._state[attribute])} if attribute in self._state else set()
        return own.union(*(module.texts_of(attribute) for module in self._children().values()))

    def _children(self) -> dict[str, Persistent]:
        return {name: module for name, module in self._mapping("_modules").items() if isinstance(module, Persistent)}

    def _mapping(self, attribute: str) -> dict[str, Any]:
        value = self._state.get(attribute)
        return {str(key): item for key, item in value.items()} if isinstance(value, dict) else {}


class TFNetwork:
    """A network of NVlabs' TensorFlow version: its attributes."""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        self.state = dict(state)


class PickledArray:
    """A NumPy array, still as the pickle describes it."""

    def __init__(self, *_: Any) -> None:
        self._state: Any = None

    def __setstate__(self, state: Any) -> None:
        self._state = state

    def array(self) -> npt.NDArray[Any]:
        """The numbers.

        Raises:
            BadWeights: the description does not hold together, or is not of numbers.
        """
        try:
            _, shape, dtype, is_fortran, content = self._state
            flat = np.frombuffer(content.encode("latin1") if isinstance(content, str) else content, dtype.resolve())
            return flat.reshape(shape, order="F" if is_fortran else "C")
        except _DAMAGE as error:
            raise BadWeights(f"not a readable array: {error!r:.300}") from error


def is_torch_file(content: bytes) -> bool:
    """Whether ``torch.save`` wrote it, in its zip or in its older form."""
    return content.startswith((b"PK\x03\x04", _LEGACY_TORCH))


def read_torch(content: bytes) -> Any:
    """What ``torch.save`` wrote: tensors, plain values, and ``argparse.Namespace``, in which training scripts keep
    their options.

    Raises:
        BadWeights: damaged, or names any other class or function.
    """
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except _DAMAGE as error:
        refused = re.search(r"GLOBAL ([\w.]+)", str(error))
        if refused:
            raise BadWeights(_refusal(refused[1])) from error
        raise BadWeights(f"not a readable PyTorch file: {error!r:.300}") from error


def read_pickle(content: bytes) -> Any:
    """The pickle's content: plain values, tensors, ``Persistent``, ``TFNetwork`` and ``PickledArray``.

    Raises:
        BadWeights: damaged, or names anything beside what these files are made of.
    """
    try:
        _check_memo(content)
        return _Reader(content).load()
    except _DAMAGE as error:
        raise BadWeights(f"not a readable weights pickle: {error!r:.300}") from error


class _Reader(pickle.Unpickler):
    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content), encoding="latin1")
        self._stand_ins = _stand_ins()

    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" not in self._stand_ins:
            raise BadWeights(_refusal(f"{module}.{name}"))
        return self._stand_ins[f"{module}.{name}"]


def _refusal(name: str) -> str:
    return f"the file names {name}, which is not needed to store weights: refused, and nothing of it was executed"


def _check_memo(content: bytes) -> None:
    """Refuse a memo index that no honest pickle reaches: the reader would reserve memory for all indices below it."""
    for count, (operation, argument, _) in enumerate(pickletools.genops(content)):
        if operation.name in ("PUT", "BINPUT", "LONG_BINPUT") and isinstance(argument, int) and argument > count:
            raise BadWeights(f"not a readable weights pickle: memo index {argument} after {count} operations")


def _stand_ins() -> dict[str, Any]:
    """What a pickle may name, and what it gets instead."""

    class Dict(dict[Any, Any]):
        pass

    class Module(Persistent):
        pass

    class Network(TFNetwork):
        pass

    class Array(PickledArray):
        pass

    def array_of_buffer(content: Any, dtype: Any, shape: Any, order: Any) -> Array:
        array = Array()
        array.__setstate__((1, shape, dtype, order == "F", content))
        return array

    def encode(text: str, _: Any) -> bytes:
        return text.encode("latin1")

    class Dtype:
        def __init__(self, code: str, *_: Any) -> None:
            self._code, self._is_big_endian = code, False

        def __setstate__(self, state: Any) -> None:
            self._is_big_endian = state[1] == ">"

        def resolve(self) -> np.dtype[Any]:
            if not re.fullmatch(r"[biuf][1248]", self._code):
                raise ValueError(f"arrays of {self._code!r} are not numbers")
            return np.dtype(self._code).newbyteorder(">" if self._is_big_endian else "<")

    def scalar(dtype: Dtype, content: bytes) -> Any:
        return np.frombuffer(content, dtype.resolve())[0].item()

    def storage(content: bytes) -> Any:
        return read_torch(content)

    def tensor(storage: Any, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> Tensor:
        flat = torch.empty(0, dtype=storage.dtype).set_(storage._untyped_storage)
        return flat.as_strided(shape, stride, offset)

    def parameter(data: Any, *_: Any) -> Any:
        return data

    allowed: dict[str, Any] = {
        "builtins.set": set,
        "__builtin__.set": set,
        "_codecs.encode": encode,
        "collections.OrderedDict": Dict,
        "dnnlib.util.EasyDict": Dict,
        "dnnlib.tflib.network.Network": Network,
        "torch_utils.persistence._reconstruct_persistent_obj": Module,
        "torch.storage._load_from_bytes": storage,
        "torch._utils._rebuild_tensor_v2": tensor,
        "torch._utils._rebuild_parameter": parameter,
        "numpy.dtype": Dtype,
        "numpy.ndarray": Array,
    }
    for core in ("numpy.core", "numpy._core"):
        allowed[f"{core}.multiarray.scalar"] = scalar
        allowed[f"{core}.multiarray._reconstruct"] = Array
        allowed[f"{core}.numeric._frombuffer"] = array_of_buffer
    return allowed

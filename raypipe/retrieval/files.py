"""Files of an index: hashed, published under a URI, fetched once to a local cache."""

from __future__ import annotations

import hashlib
import math
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from raypipe import storage
from raypipe.errors import RaypipeError

_BLOCK = 1 << 22


@dataclass(frozen=True)
class FileInfo:
    """A file as the manifest tells of it; ``name`` is relative to the index."""

    name: str
    bytes: int
    sha256: str


def describe(path: Path, name: str) -> FileInfo:
    """Size and hash of a local file."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return FileInfo(name, path.stat().st_size, digest.hexdigest())


def publish_file(path: Path, uri: str) -> None:
    """Copy a finished local file to ``uri``, whole or not at all; moves it where both are on one local disk.

    On a local disk it is still there after a power cut.
    """
    fs, target = storage.filesystem(uri)
    if not storage.is_local(uri):
        fs.put_file(str(path), target)
        return
    folder = os.path.dirname(target)
    storage.make_lasting_folder(folder)
    scratch = str(path)
    if os.stat(path).st_dev != os.stat(folder).st_dev:
        scratch = f"{target}.{secrets.token_hex(4)}.tmp"
        shutil.copyfile(path, scratch)
    with open(scratch, "rb") as file:
        os.fsync(file.fileno())
    os.replace(scratch, target)
    storage.sync_folder(folder)


def publish_bytes(content: bytes, uri: str, name: str) -> FileInfo:
    """Write a small file of the index at ``uri``, as lasting as ``publish_file`` does."""
    whole = storage.join(uri, name)
    if not storage.is_local(uri):
        storage.write_bytes(whole, content)
    else:
        folder = os.path.dirname(storage.filesystem(whole)[1])
        storage.make_lasting_folder(folder)
        storage.write_bytes(whole, content)
        storage.sync_folder(folder)
    return FileInfo(name, len(content), storage.sha256(content))


def read_checked(uri: str, info: FileInfo) -> bytes:
    """The content of a small file.

    Raises:
        RaypipeError: it is missing, or not the one that the manifest names.
    """
    try:
        content = storage.read_bytes(storage.join(uri, info.name))
    except FileNotFoundError as error:
        raise RaypipeError(f"{storage.join(uri, info.name)} is missing") from error
    if storage.sha256(content) != info.sha256:
        raise RaypipeError(f"{storage.join(uri, info.name)} is damaged: its sha256 is not the one in the manifest")
    return content


def local_file(uri: str, info: FileInfo, cache: Path) -> Path:
    """Where the file can be opened: in place, or its copy in ``cache``, fetched and checked the first time.

    Raises:
        RaypipeError: it is missing, of another size than the manifest says, or damaged on the way.
    """
    whole = storage.join(uri, info.name)
    if storage.is_local(uri):
        path = Path(storage.filesystem(whole)[1])
        if not path.is_file() or path.stat().st_size != info.bytes:
            raise RaypipeError(f"{whole} is missing or has another size than the manifest says")
        return path
    kept = cache / info.sha256
    if not kept.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        scratch = cache / f".{info.sha256}.{secrets.token_hex(4)}.tmp"
        fs, path_there = storage.filesystem(whole)
        try:
            fs.get_file(path_there, str(scratch))
            if describe(scratch, info.name) != info:
                raise RaypipeError(f"{whole} is damaged: its sha256 is not the one in the manifest")
            os.replace(scratch, kept)
        except FileNotFoundError as error:
            raise RaypipeError(f"{whole} is missing") from error
        finally:
            scratch.unlink(missing_ok=True)
    return kept


def mapped(path: Path, kind: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """The numbers of a file, left on the disk.

    Raises:
        RaypipeError: the file does not hold just so many.
    """
    if path.stat().st_size != math.prod(shape) * np.dtype(kind).itemsize:
        raise RaypipeError(f"{path} does not hold {' x '.join(map(str, shape))} numbers of {kind}")
    return np.memmap(path, kind, "r", shape=shape) if math.prod(shape) else np.empty(shape, kind)

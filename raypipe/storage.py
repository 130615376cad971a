"""Bytes behind a path or any fsspec URI: read, and written so that nobody ever sees half a file."""

from __future__ import annotations

import glob
import hashlib
import os
import secrets
from contextlib import suppress
from functools import cache
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from raypipe.errors import WrongUsage


def filesystem(uri: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The filesystem of ``uri`` (a plain path is local) and the path on it, without the protocol.

    Raises:
        WrongUsage: an empty path, a protocol that fsspec does not know, or one whose package is not installed.
    """
    if not uri:
        raise WrongUsage("a path or URI must not be empty")
    if uri.startswith("file://") or "://" not in uri:
        local = LocalFileSystem()  # asked directly: fsspec would take "::" in a file's name for a chain of URIs
        return local, str(local._strip_protocol(uri)).rstrip("/")
    try:
        fs, path = fsspec.core.url_to_fs(uri)
    except (ValueError, ImportError) as error:
        raise WrongUsage(f"{uri!r} cannot be opened: {error}") from error
    return fs, str(path).rstrip("/")


def absolute(uri: str) -> str:
    """A local path from the root, however it was written; another URI without slashes at its end."""
    return os.path.normpath(filesystem(uri)[1]) if is_local(uri) else uri.rstrip("/")


def is_local(uri: str) -> bool:
    return isinstance(filesystem(uri)[0], LocalFileSystem)


@cache
def errors() -> tuple[type[Exception], ...]:
    """What storages raise when they fail. Those of S3 and HTTP are no OSErrors, and may not be installed."""
    found: list[type[Exception]] = [OSError]
    with suppress(ImportError):
        from botocore.exceptions import BotoCoreError, ClientError

        found += [BotoCoreError, ClientError]
    with suppress(ImportError):
        from aiohttp import ClientError as HttpError

        found.append(HttpError)
    return tuple(found)


def join(uri: str, *names: str) -> str:
    return "/".join([uri.rstrip("/"), *names])


def exists(uri: str) -> bool:
    fs, path = filesystem(uri)
    fs.invalidate_cache()
    return bool(fs.exists(path))


def read_bytes(uri: str) -> bytes:
    """The whole content.

    Raises:
        FileNotFoundError: there is nothing at ``uri``.
    """
    fs, path = filesystem(uri)
    return bytes(fs.cat_file(path))


def write_bytes(uri: str, content: bytes) -> None:
    """Replace what is at ``uri``: a reader sees the old content or the new, also after a crash.

    Local files go through a temporary name and ``os.replace``; object stores show an upload only when it is whole.
    """
    fs, path = filesystem(uri)
    if not isinstance(fs, LocalFileSystem):
        fs.pipe_file(path, content)
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    scratch = _scratch_name(path)
    try:
        with open(scratch, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
    except BaseException as error:
        if os.path.exists(scratch):
            os.unlink(scratch)
        if isinstance(error, OSError) and error.errno and not error.filename:
            error.filename = path  # a full disk does not say which
        raise


def create_exclusively(uri: str, content: bytes) -> bool:
    """Create ``uri`` if nothing is there. Of several callers exactly one gets True.

    Object stores are asked for a conditional write (``If-None-Match: *`` on S3).
    """
    fs, path = filesystem(uri)
    try:
        if isinstance(fs, LocalFileSystem):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            scratch = _scratch_name(path)
            with open(scratch, "xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(scratch, path)
            finally:
                os.unlink(scratch)
        else:
            fs.pipe_file(path, content, mode="create")
    except FileExistsError:
        return False
    return True


def make_lasting_folder(path: str) -> None:
    """A local folder and what it lies in, there even after a power cut."""
    if not os.path.isdir(path):
        parent = os.path.dirname(path)
        make_lasting_folder(parent)
        os.makedirs(path, exist_ok=True)
        sync_folder(parent)


def sync_folder(path: str) -> None:
    """What was created, renamed or deleted directly in a local folder stays so, even after a power cut."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def list_names(uri: str) -> list[str]:
    """Names (not paths) of the files directly under ``uri``, sorted; empty where there is no such folder."""
    fs, path = filesystem(uri)
    fs.invalidate_cache()
    try:
        entries: list[dict[str, Any]] = fs.ls(path, detail=True)
    except FileNotFoundError:
        return []
    return sorted(
        os.path.basename(entry["name"]) for entry in entries if entry["type"] == "file" and entry["name"] != path
    )


def remove(uri: str, *, recursive: bool = False) -> None:
    """Delete ``uri``; nothing there is fine."""
    fs, path = filesystem(uri)
    fs.invalidate_cache()
    if fs.exists(path):
        fs.rm(path, recursive=recursive)


def size(uri: str) -> int:
    """Bytes of the file at ``uri``."""
    fs, path = filesystem(uri)
    return int(fs.size(path))


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def remove_scratch(uri: str, pattern: str) -> None:
    """Delete what writes to files like ``pattern`` left directly under the local folder ``uri`` when they were killed.

    Nobody may be writing such files there. Object stores have nothing to delete: half an upload is no file.
    """
    fs, path = filesystem(uri)
    if isinstance(fs, LocalFileSystem):
        for scratch in glob.glob(f".{pattern}.{'[0-9a-f]' * 8}.tmp", root_dir=path):
            with suppress(FileNotFoundError):
                os.unlink(os.path.join(path, scratch))


def _scratch_name(path: str) -> str:
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.{secrets.token_hex(4)}.tmp")

"""A folder or a glob of images, on any filesystem. The id of an image is its path below the folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from raypipe import storage
from raypipe.errors import WrongUsage
from raypipe.pipeline.encode.listing import Entry

IMAGE_EXTENSIONS = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})


@dataclass(frozen=True)
class FoundFile:
    """``path`` is without the protocol; ``relative`` is below what was listed."""

    path: str
    relative: str
    bytes: int
    etag: str


def entries(uri: str, skipped: dict[str, int]) -> Iterator[Entry]:
    """One entry an image, in path order. In a folder, names without an image's extension are counted in ``skipped``;
    a glob takes all that it matches.
    """
    fs, _ = storage.filesystem(uri)
    takes_all = _is_glob(uri)
    for found in walk_files(uri):
        extension = os.path.splitext(found.relative)[1].lower()
        if not takes_all and extension not in IMAGE_EXTENSIONS:
            skipped[extension or "none"] = skipped.get(extension or "none", 0) + 1
            continue
        address = fs.unstrip_protocol(found.path)
        yield Entry(
            image_id=found.relative,
            uri=address,
            file=address,
            bytes=found.bytes,
            etag=found.etag,
        )


def walk_files(uri: str) -> Iterator[FoundFile]:
    """Every file below a folder, or matching a glob, or the file itself; hidden ones (``.x``, ``_x``) left out.

    Ordered by path, folder by folder. S3 is listed page by page, so memory does not grow with a bucket.

    Raises:
        WrongUsage: nothing is there.
    """
    fs, path = storage.filesystem(uri)
    if _is_glob(uri):
        infos = fs.glob(path, detail=True)
        base = os.path.commonpath(list(infos)) if len(infos) > 1 else os.path.dirname(next(iter(infos), ""))
        for name in sorted(infos):
            if infos[name]["type"] == "file":
                yield _found(infos[name], base)
    elif fs.isfile(path):
        yield _found(fs.info(path), os.path.dirname(path))
    elif not fs.isdir(path):
        raise WrongUsage(f"nothing at {uri!r}")
    elif isinstance(fs, LocalFileSystem):
        yield from _walk_local(path, path)
    elif "s3" in fs.protocol:
        yield from _walk_s3(fs, path)
    else:
        yield from _walk_any(fs, path, path)


def _walk_local(folder: str, base: str) -> Iterator[FoundFile]:
    with os.scandir(folder) as scan:
        children = sorted((child for child in scan if not _is_hidden(child.name)), key=lambda child: child.name)
    for child in children:
        if child.is_dir():
            yield from _walk_local(child.path, base)
        else:
            size = child.stat().st_size if os.path.exists(child.path) else -1
            yield FoundFile(child.path, os.path.relpath(child.path, base), size, "")


def _walk_s3(fs: Any, path: str) -> Iterator[FoundFile]:
    bucket, _, prefix = path.partition("/")
    more: dict[str, str] = {}
    while True:
        page = fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=f"{prefix}/" if prefix else "", **more)
        for item in page.get("Contents", []):
            relative = item["Key"][len(prefix) :].lstrip("/")
            if relative and not relative.endswith("/") and not any(map(_is_hidden, relative.split("/"))):
                yield FoundFile(f"{bucket}/{item['Key']}", relative, item["Size"], item["ETag"].strip('"'))
        if not page.get("IsTruncated"):
            return
        more = {"ContinuationToken": page["NextContinuationToken"]}


def _walk_any(fs: fsspec.AbstractFileSystem, folder: str, base: str) -> Iterator[FoundFile]:
    for info in sorted(fs.ls(folder, detail=True), key=lambda info: str(info["name"])):
        name = info["name"].rstrip("/")
        if _is_hidden(os.path.basename(name)) or name == folder.rstrip("/"):
            continue
        if info["type"] == "directory":
            yield from _walk_any(fs, name, base)
        else:
            yield _found(info, base)


def _found(info: dict[str, Any], base: str) -> FoundFile:
    relative = info["name"][len(base) :].lstrip("/") if base else info["name"]
    size = info.get("size")
    return FoundFile(info["name"], relative, -1 if size is None else int(size), str(info.get("ETag", "")).strip('"'))


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "_"))


def _is_glob(uri: str) -> bool:
    return any(sign in uri for sign in "*?[")

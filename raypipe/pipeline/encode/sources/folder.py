"""A folder or a glob of images, on any filesystem. The id of an image is its path below the folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from raypipe import storage
from raypipe.errors import WrongUsage
from raypipe.pipeline.encode.dataset import PLAN
from raypipe.pipeline.encode.listing import Entry

IMAGE_EXTENSIONS = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})


@dataclass(frozen=True)
class FoundFile:
    """``path`` is without the protocol; ``relative`` is below what was listed. With a ``problem`` (a status) it is a
    folder that cannot be listed."""

    path: str
    relative: str
    bytes: int
    etag: str
    problem: str = ""

    @property
    def extension(self) -> str:
        """In lower case and with its dot; ``none`` where there is none."""
        return os.path.splitext(self.relative)[1].lower() or "none"


def entries(uri: str, skipped: dict[str, int]) -> Iterator[Entry]:
    """One entry an image, in path order. In a folder, names without an image's extension are counted in ``skipped``;
    a glob takes all that it matches.
    """
    fs, _ = storage.filesystem(uri)
    takes_all = is_glob(uri)
    for found in walk_files(uri):
        address = fs.unstrip_protocol(found.path)
        if found.problem:
            yield unlisted(found, address)
        elif not takes_all and found.extension not in IMAGE_EXTENSIONS:
            skip(found, skipped)
        else:
            yield whole_file(found, address)


def whole_file(found: FoundFile, address: str) -> Entry:
    """A file that is one image."""
    return Entry(
        image_id=found.relative,
        uri=address,
        file=address,
        bytes=found.bytes,
        file_bytes=found.bytes,
        etag=found.etag,
    )


def unlisted(found: FoundFile, address: str) -> Entry:
    """The row that stands for a folder that cannot be listed."""
    detail = "this folder cannot be listed; what is in it is missing here"
    return missing_rows(found.relative, address, found.problem, detail)


def missing_rows(image_id: str, address: str, problem: str, detail: str) -> Entry:
    """The row that stands for those that cannot be listed; nobody can say how many they are."""
    return Entry(image_id=image_id, uri=address, file=address, problem=problem, problem_detail=detail)


def skip(found: FoundFile, skipped: dict[str, int]) -> None:
    """Count a file that is no input by its name."""
    skipped[found.extension] = skipped.get(found.extension, 0) + 1


def walk_files(uri: str) -> Iterator[FoundFile]:
    """Every file below a folder, or matching a glob, or the file itself; hidden ones (``.x``, ``_x``) left out, and so
    are encoded datasets below it.

    Ordered by path, folder by folder. S3 is listed page by page, so memory does not grow with a bucket.

    Raises:
        WrongUsage: nothing is there.
    """
    fs, path = storage.filesystem(uri)
    if is_glob(uri):
        infos = fs.glob(path, detail=True)
        base = os.path.dirname(re.split(r"[*?\[]", path, maxsplit=1)[0])
        for name in sorted(infos):
            if infos[name]["type"] == "file":
                yield _found(infos[name], base)
    elif fs.isfile(path):
        yield _found(fs.info(path), os.path.dirname(path))
    elif not fs.isdir(path):
        raise WrongUsage(f"nothing at {uri!r}")
    elif isinstance(fs, LocalFileSystem):
        yield from _walk_local(path, path, ())
    elif "s3" in fs.protocol:
        yield from _walk_s3(fs, path)
    else:
        yield from _walk_any(fs, path, path)


def is_glob(uri: str) -> bool:
    """Whether ``uri`` is a pattern; ``run[1]`` is none where there is a folder of that very name."""
    if not any(sign in uri for sign in "*?["):
        return False
    fs, path = storage.filesystem(uri)
    return not fs.exists(path)


def _walk_local(folder: str, base: str, above: tuple[tuple[int, int], ...]) -> Iterator[FoundFile]:
    """``above``: device and inode of the folders on the way, as a link back to one of them has no end."""
    stat = os.stat(folder)
    if (here := (stat.st_dev, stat.st_ino)) in above:
        return
    try:
        with os.scandir(folder) as scan:
            children = sorted(scan, key=lambda child: child.name)
    except PermissionError:
        yield FoundFile(folder, os.path.relpath(folder, base) + "/", -1, "", "fetch_denied")
        return
    if folder != base and os.path.exists(os.path.join(folder, *PLAN)):
        return
    for child in children:
        if _is_hidden(child.name):
            continue
        if os.path.isdir(child.path) if child.is_symlink() else child.is_dir():
            yield from _walk_local(child.path, base, (*above, here))
        else:
            size = child.stat().st_size if os.path.exists(child.path) else -1
            yield FoundFile(child.path, os.path.relpath(child.path, base), size, "")


def _walk_s3(fs: Any, path: str) -> Iterator[FoundFile]:
    bucket, _, prefix = path.partition("/")
    more: dict[str, str] = {}
    dataset = ""
    while True:
        page = fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=f"{prefix}/" if prefix else "", **more)
        for item in page.get("Contents", []):
            relative = item["Key"][len(prefix) :].lstrip("/")
            if relative.endswith("/" + "/".join(PLAN)):  # keys are sorted: it comes before the dataset's others
                dataset = relative.removesuffix("/".join(PLAN))
            if not relative or relative.endswith("/") or any(map(_is_hidden, relative.split("/"))):
                continue
            if not (dataset and relative.startswith(dataset)):
                yield FoundFile(f"{bucket}/{item['Key']}", relative, item["Size"], item["ETag"].strip('"'))
        if not page.get("IsTruncated"):
            return
        more = {"ContinuationToken": page["NextContinuationToken"]}


def _walk_any(fs: fsspec.AbstractFileSystem, folder: str, base: str) -> Iterator[FoundFile]:
    infos = {str(info["name"]).rstrip("/"): info for info in fs.ls(folder, detail=True)}
    if folder != base and fs.exists("/".join([folder, *PLAN])):
        return
    for name, info in sorted(infos.items()):
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

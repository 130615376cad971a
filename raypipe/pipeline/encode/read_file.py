"""The content of a file, or a range of it, unless the file is another one than was listed.

What tells is in the answer to the read itself; nothing is asked for it beforehand: a local file's size, an S3 object's
size and ETag, of other storages the size of what came. Times are not compared: copies of one file differ in them.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from raypipe import storage


class Refused(Exception):
    """A file whose content is not wanted. ``status`` is one of ``raypipe.faces.STATUSES``."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Listed:
    """What the listing says of a file, and what its rows may be. ``bytes`` -1 and ``etag`` "": it does not say."""

    bytes: int = -1
    etag: str = ""
    remedy: str = ""

    def check(self, size: int, etag: str = "") -> None:
        """Compare with what is there now; -1 and "": not known.

        Raises:
            Refused: ``fetch_changed``.
        """
        if self.bytes >= 0 and size >= 0 and self.bytes != size:
            raise Refused("fetch_changed", f"listed with {self.bytes:,} bytes, now {size:,}; {self.remedy}")
        if self.etag and etag and self.etag != etag:
            raise Refused("fetch_changed", f"listed with ETag {self.etag}, now {etag}; {self.remedy}")

    def ends_early(self, end: int) -> Refused:
        """What to raise where the file has no byte ``end`` - 1."""
        listed = f"{self.bytes:,} bytes" if self.bytes >= 0 else "more bytes"
        return Refused("fetch_changed", f"listed with {listed}, now it ends before byte {end:,}; {self.remedy}")


@dataclass(frozen=True)
class Reader:
    """Reads from any storage. ``timeout_s``: of one answer, where the storage can be told; ``max_bytes``: of a file
    whose size the listing did not say."""

    timeout_s: float
    max_bytes: int

    def whole(self, file: str, listed: Listed) -> bytes:
        """The content of ``file``.

        Raises:
            Refused: ``fetch_changed`` or ``too_large``.
        """
        return self._read(file, None, listed)

    def range(self, file: str, first: int, end: int, listed: Listed) -> bytes:
        """The bytes from ``first`` to before ``end``, which the listing says are there.

        Raises:
            Refused: ``fetch_changed``.
        """
        if first == end:
            return b""  # storages take a range of nothing for none, and send the whole file
        content = self._read(file, (first, end), listed)
        if len(content) < end - first:
            raise listed.ends_early(end)
        return content

    def _read(self, file: str, limits: tuple[int, int] | None, listed: Listed) -> bytes:
        fs, path = storage.filesystem(file)
        if isinstance(fs, LocalFileSystem):
            return self._local(path, limits, listed)
        if "s3" in fs.protocol:
            return bytes(fsspec.asyn.sync(fs.loop, self._s3, fs, path, limits, listed, timeout=self.timeout_s))
        first, end = limits or (None, None)
        if fs.async_impl:
            content = fsspec.asyn.sync(fs.loop, fs._cat_file, path, start=first, end=end, timeout=self.timeout_s)
        else:
            content = fs.cat_file(path, start=first, end=end)
        if limits is None:
            listed.check(len(content))
            self._refuse_large(len(content))
        return bytes(content)

    def _local(self, path: str, limits: tuple[int, int] | None, listed: Listed) -> bytes:
        if not stat.S_ISREG(os.stat(path).st_mode):  # before it is opened: a pipe or a device may never end
            raise ValueError(f"{path} is no regular file")
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            listed.check(size)
            if limits is None:
                self._refuse_large(size)
                return file.read()
            file.seek(limits[0])
            return file.read(limits[1] - limits[0])

    async def _s3(self, fs: Any, path: str, limits: tuple[int, int] | None, listed: Listed) -> bytes:
        """One request, where s3fs's own way asks for the size first and keeps the ETag to itself."""
        bucket, key, version = fs.split_path(path)
        asked = {"Range": f"bytes={limits[0]}-{limits[1] - 1}"} if limits else {}
        if version:
            asked["VersionId"] = version
        try:
            answer = await fs._call_s3("get_object", Bucket=bucket, Key=key, **asked)
        except OSError as error:
            if limits and error.errno == errno.EINVAL:  # s3fs's translation of 416, range not satisfiable
                raise listed.ends_early(limits[1]) from error
            raise
        async with answer["Body"] as body:
            if limits and "ContentRange" not in answer:
                raise ValueError(f"{path}: the storage was asked for a range and sends something else")
            size = int(answer["ContentRange"].rpartition("/")[2]) if limits else answer["ContentLength"]
            listed.check(size, answer["ETag"].strip('"'))
            if limits is None:
                self._refuse_large(size)
            return bytes(await body.read())

    def _refuse_large(self, size: int) -> None:
        if size > self.max_bytes:
            raise Refused("too_large", f"{size:,} bytes, the limit is {self.max_bytes:,}")

"""Sources for tests: shards to write, and what a source lists and gives."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pyarrow as pa

from raypipe.pipeline.encode.config import FetchConfig
from raypipe.pipeline.encode.fetch import Fetched, Fetcher
from raypipe.pipeline.encode.listing import write_listing
from raypipe.pipeline.encode.sources import Source


def list_all(source: Source, folder: Path) -> pa.Table:
    """The listing of a small source, which is written below ``folder``."""
    return write_listing(str(folder / "_listing"), source.entries(), source.labels, 1000, source.skipped).read_chunk(0)


def fetch_listed(entries: pa.Table, image_column: str = "") -> list[Fetched]:
    fetcher = Fetcher(FetchConfig(retries=0), image_column)
    fetched = list(fetcher.fetch(entries))
    fetcher.close()
    return fetched


def fetch_all(source: Source, folder: Path) -> list[Fetched]:
    return fetch_listed(list_all(source, folder), source.image_column)


def write_tar(path: Path, files: dict[str, bytes], labels: dict[str, object] | None = None) -> None:
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            add_member(archive, name, content)
            if labels:
                add_member(archive, name.rsplit(".", 1)[0] + ".json", json.dumps(labels).encode())


def add_member(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))

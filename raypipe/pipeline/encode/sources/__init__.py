"""Where images come from. ``open_source`` looks at what lies at a path or URI and says how to list it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa

from raypipe.errors import WrongUsage
from raypipe.pipeline.encode.config import SourceConfig
from raypipe.pipeline.encode.listing import Entry
from raypipe.pipeline.encode.sources import celeba, folder, parquet, webdataset


@dataclass(frozen=True, kw_only=True)
class Source:
    """A collection that can be listed. ``skipped`` fills while ``entries`` runs: extension -> files passed over.

    ``align`` is how its faces are cut unless told otherwise; ``image_column`` is set where Parquet holds the bytes.
    """

    kind: str
    entries: Callable[[], Iterator[Entry]]
    labels: list[pa.Field] = field(default_factory=list)
    align: str = "center"
    image_column: str = ""
    skipped: dict[str, int] = field(default_factory=dict)


def open_source(uri: str, columns: SourceConfig) -> Source:
    """Recognise the layout at ``uri``: CelebA, Parquet, tar shards, else a folder or glob of images.

    Raises:
        WrongUsage: nothing is there, or it is a layout that cannot be read in place.
    """
    files = _first_names(uri)
    if celeba.is_celeba(uri):
        table = celeba.read_tables(uri)
        return Source(
            kind="celeba", entries=lambda: celeba.entries(uri, table), labels=table.label_fields(), align="celeba"
        )
    if any(name.endswith((".parquet", ".pq")) for name in files):
        reader = parquet.open_parquet(uri, columns)
        return Source(
            kind="parquet", entries=reader.entries, labels=reader.label_fields, image_column=reader.image_column
        )
    if any(name.endswith((".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")) for name in files):
        raise WrongUsage(f"{uri!r}: compressed archives cannot be read in place; unpack them or repack as .tar")
    if any(name.endswith(".tar") for name in files):
        return Source(kind="webdataset", entries=lambda: webdataset.entries(uri), labels=webdataset.label_fields(uri))
    skipped: dict[str, int] = {}
    return Source(kind="folder", entries=lambda: folder.entries(uri, skipped), skipped=skipped)


def _first_names(uri: str, most: int = 1000) -> list[str]:
    names = []
    for found in folder.walk_files(uri):
        names.append(found.path)
        if len(names) == most:
            break
    if not names:
        raise WrongUsage(
            f"no files at {uri!r}: a source is a folder or glob of images, Parquet files, .tar shards "
            f"or the CelebA layout"
        )
    return names

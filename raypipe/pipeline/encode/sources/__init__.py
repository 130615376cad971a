"""Where images come from. ``open_source`` looks at what lies at a path or URI and says how to list it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from raypipe import storage
from raypipe.errors import WrongUsage
from raypipe.pipeline.encode.config import SourceConfig
from raypipe.pipeline.encode.listing import Entry
from raypipe.pipeline.encode.sources import celeba, folder, parquet, webdataset

COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


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
    skipped: dict[str, int] = {}
    if celeba.is_celeba(uri):
        table = celeba.read_tables(uri)
        return Source(
            kind="celeba",
            entries=lambda: celeba.entries(uri, table, skipped),
            labels=table.label_fields(),
            align=celeba.usual_crop(uri),
            skipped=skipped,
        )
    has_images = any(name.endswith(tuple(folder.IMAGE_EXTENSIONS)) for name in files)
    if any(name.endswith(parquet.EXTENSIONS) for name in files):
        reader = parquet.open_parquet(uri, columns)
        return Source(
            kind="parquet",
            entries=lambda: reader.entries(skipped),
            labels=reader.label_fields,
            image_column=reader.image_column,
            skipped=skipped,
        )
    if any(name.endswith(".tar") for name in files):
        if has_images:
            raise WrongUsage(f"{uri!r} holds images and tar shards; say which with a glob, {uri.rstrip('/')}/*.tar say")
        labels = webdataset.find_labels(uri)
        return Source(
            kind="webdataset",
            entries=lambda: webdataset.entries(uri, labels, skipped),
            labels=[pa.field(label.name, label.type) for label in labels],
            skipped=skipped,
        )
    if not has_images and any(name.endswith(COMPRESSED) for name in files):
        raise WrongUsage(f"{uri!r}: compressed archives cannot be read in place; unpack them or repack as .tar")
    return Source(kind="folder", entries=lambda: folder.entries(uri, skipped), skipped=skipped)


def no_images(uri: str, source: Source) -> WrongUsage:
    """What to raise where a source turned out to hold nothing, once its entries were taken."""
    skipped = ", ".join(f"{count:,} {extension}" for extension, count in sorted(source.skipped.items()))
    return WrongUsage(f"no images at {uri!r}; files passed over, by extension: {skipped or 'none'}")


def _first_names(uri: str, most: int = 1000) -> list[str]:
    """Names in lower case: those directly in a local folder, else the first below it."""
    fs, path = storage.filesystem(uri)
    names: list[str] = []
    if isinstance(fs, LocalFileSystem) and os.path.isdir(path) and os.access(path, os.R_OK):
        with os.scandir(path) as scan:
            names = [child.name.lower() for child in scan if child.name[0] not in "._" and not child.is_dir()]
    for found in folder.walk_files(uri):
        if len(names) >= most:
            break
        if not found.problem:
            names.append(found.path.lower())
    if not names:
        raise WrongUsage(
            f"no files at {uri!r}: a source is a folder or glob of images, Parquet files, .tar shards "
            f"or the CelebA layout"
        )
    return names

"""Versions of an index, opened to be served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from raypipe.errors import WrongUsage
from raypipe.pipeline.search.collection import open_collection
from raypipe.pipeline.search.model import OpenedModel
from raypipe.pipeline.search.searcher import Searcher
from raypipe.retrieval.index import CACHE, Index, deleted_rows, open_index, open_shard, read_forms
from raypipe.retrieval.manifest import Manifest, ShardEntry, read_manifest, read_version
from serve.errors import NotFound


def open_version(
    uri: str, version: int | None, model: OpenedModel, *, codes: Sequence[str] = (), threads: int = 1
) -> Searcher:
    """A version of the index, None: the newest; ``codes``: where some of its datasets are now.

    Raises:
        NotFound: there is no such version.
        WrongUsage: faces that were deleted since would come back.
    """
    if version is None:
        index = open_index(uri, device=model.device)
    else:
        manifest = checked_version(uri, version)
        forms = read_forms(uri, manifest.spaces)
        shards = [open_shard(uri, entry, forms, CACHE) for entry in manifest.shards]
        index = Index(manifest, shards, torch.device(model.device)).load()
    return Searcher(index, open_collection(index.manifest, codes), model, threads=threads)


def checked_version(uri: str, version: int) -> Manifest:
    """A version that may be served instead of the newest.

    Raises:
        NotFound: there is no such version.
        WrongUsage: faces that were deleted since would come back.
    """
    newest = read_manifest(uri)
    try:
        asked = read_version(uri, version)
    except WrongUsage as error:
        raise NotFound(str(error)) from error
    now = {entry.name: entry for entry in newest.shards}
    if any(_brings_back(uri, entry, now) for entry in asked.shards):
        raise WrongUsage(
            f"version {version} has faces that were deleted since: it may not be activated any more; "
            f"the newest is {newest.version}"
        )
    return asked


def _brings_back(uri: str, entry: ShardEntry, now: Mapping[str, ShardEntry]) -> bool:
    """Whether rows of a shard can be found that cannot be found any more. A shard that is gone was compacted away,
    and only its files could tell why."""
    if entry.name not in now:
        return True
    return bool(np.setdiff1d(deleted_rows(uri, now[entry.name]), deleted_rows(uri, entry)).size)

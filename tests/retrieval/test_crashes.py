from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from raypipe import storage
from raypipe.contract import SearchSpace
from raypipe.errors import RaypipeError, WrongUsage
from raypipe.retrieval import index
from raypipe.retrieval.answer import Wish
from raypipe.retrieval.build import build
from raypipe.retrieval.changes import append, compact, delete, rename_codes, sweep
from raypipe.retrieval.index import open_index
from raypipe.retrieval.manifest import Manifest, read_manifest
from raypipe.retrieval.space import Aim, make_target
from raypipe.retrieval.verify import verify
from tests.killing import kill
from tests.retrieval.searching import bindings, blocks, names, tiny_settings, weighted_space

SPACES = {"m.w": weighted_space(2, 4), "m.cos": SearchSpace(3, "cosine")}
ASKED = bindings(SPACES)
RANDOM = np.random.default_rng(0)
VECTORS = {name: RANDOM.standard_normal((60, space.width)).astype(np.float32) for name, space in SPACES.items()}
FIRST = {name: rows[:40] for name, rows in VECTORS.items()}
LAST = {name: rows[40:] for name, rows in VECTORS.items()}
CHANGES = ((os, "replace"), (os, "link"), (os, "remove"), (storage, "write_bytes"), (np, "savez"))


def build_all(folder: Path) -> None:
    settings = tiny_settings(SPACES["m.w"], rows_per_shard=25)
    build(str(folder), SPACES, ASKED, lambda: blocks(names(40), FIRST), settings, codes="old")


def append_rest(folder: Path) -> None:
    append(str(folder), ASKED, blocks(names(20, 40), LAST), rows_per_shard=15, codes="old")


def delete_some(folder: Path) -> None:
    delete(str(folder), names(30))


def compact_all(folder: Path) -> None:
    compact(str(folder), rows_per_shard=50)


def rename_all(folder: Path) -> None:
    rename_codes(str(folder), {"old": "new"}, {"new": "file:///codes"})


def state(folder: Path) -> tuple[list[tuple[str, float]], set[str]] | None:
    """What one query over both spaces finds, and whose codes the index names; None: there is no index."""
    aims = [Aim(name, make_target(space, VECTORS[name][0])) for name, space in SPACES.items()]
    try:
        opened = open_index(str(folder))
    except WrongUsage:
        return None
    (answer,) = opened.search([aims], Wish(k=200), asked=ASKED)
    return [(hit.id, hit.distance) for hit in answer.hits], {shard.codes for shard in opened.manifest.shards}


@pytest.mark.parametrize(
    ("before", "operation"),
    [
        ([], build_all),
        ([build_all], append_rest),
        ([build_all], delete_some),
        ([build_all, delete_some], compact_all),
        ([build_all], rename_all),
    ],
)
def test_killed_at_any_write_the_index_is_the_old_or_the_new_one(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    before: list[Callable[[Path], None]],
    operation: Callable[[Path], None],
) -> None:
    prepared, complete = tmp_path / "start", tmp_path / "complete"
    prepared.mkdir()
    for step in before:
        step(prepared)
    old = state(prepared)
    shutil.copytree(prepared, complete)
    operation(complete)
    new = state(complete)
    seen_old = seen_new = False
    for kill_at in range(1000):
        folder = tmp_path / str(kill_at)
        shutil.copytree(prepared, folder)
        with monkeypatch.context() as patched:
            killed = kill(patched, CHANGES, kill_at, lambda folder=folder: operation(folder))
        now = state(folder)
        assert now in (old, new)
        seen_old, seen_new = seen_old or now == old, seen_new or (killed and now == new)
        if not killed:
            break
        if state(folder) == old or operation not in (build_all, rename_all):
            operation(folder)
        assert state(folder) == new
        sweep(str(folder))
        assert verify(str(folder), queries=0).problems == []
    assert seen_old
    assert kill_at >= 2


@pytest.mark.parametrize(
    ("before", "operation"),
    [
        ([], build_all),
        ([build_all], append_rest),
        ([build_all], delete_some),
        ([build_all, delete_some], compact_all),
    ],
)
def test_what_a_manifest_names_is_on_the_disk_before_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    before: list[Callable[[Path], None]],
    operation: Callable[[Path], None],
) -> None:
    """A power cut forgets what was not synced: contents of files, and names in folders."""
    folder = tmp_path / "deep" / "index"
    for step in before:
        step(folder)
    known = set(tmp_path.rglob("*"))
    synced: list[int] = []
    before_link: list[int] = []
    fsync, link = os.fsync, os.link

    def noted_fsync(opened: int) -> None:
        synced.append(os.fstat(opened).st_ino)
        fsync(opened)

    def noted_link(source: str, target: str) -> None:
        before_link.extend(synced)
        link(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "link", noted_link)
    operation(folder)
    manifest = read_manifest(str(folder))
    new = {folder / file.name for file in manifest.files()} - known
    assert new
    for path in new:
        content, name = path.stat().st_ino, path.parent.stat().st_ino
        assert name in before_link[before_link.index(content) :]
    folders = {parent for path in new for parent in path.parents if tmp_path in parent.parents} - known
    assert all(made.parent.stat().st_ino in before_link for made in folders)
    assert (folder / f"manifest-{manifest.version:06d}.json").stat().st_ino in before_link
    assert folder.stat().st_ino in synced[len(before_link) :]


def test_who_opens_a_version_that_is_being_swept_gets_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_all(tmp_path)
    delete_some(tmp_path)
    read: list[Manifest] = []

    def slow_reader(uri: str) -> Manifest:
        read.append(read_manifest(uri))
        if len(read) == 1:
            compact_all(tmp_path)
        return read[-1]

    monkeypatch.setattr(index, "read_manifest", slow_reader)
    opened = open_index(str(tmp_path))
    assert read[0].version == 2
    assert opened.manifest.version == 3
    assert opened.manifest.rows == 10


def test_a_file_that_no_newer_version_replaces_is_missing(tmp_path: Path) -> None:
    build_all(tmp_path)
    shutil.rmtree(tmp_path / "shards" / read_manifest(str(tmp_path)).shards[0].name)
    with pytest.raises(RaypipeError, match="missing"):
        open_index(str(tmp_path))

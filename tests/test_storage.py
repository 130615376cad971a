from __future__ import annotations

import threading
from pathlib import Path

import pytest

from raypipe import storage
from raypipe.errors import WrongUsage


@pytest.mark.parametrize("name", ["a::b.jpg", "a#b?c.jpg", "%20 é.jpg"])
def test_a_local_name_means_itself(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    assert storage.read_bytes(str(tmp_path / name)) == b"x"
    assert storage.read_bytes(f"file://{tmp_path}/{name}") == b"x"


def test_a_full_disk_is_told_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*x\.json'"):
        storage.write_bytes(str(tmp_path / "x.json"), b"new")


def test_an_unknown_protocol_is_wrong_usage() -> None:
    with pytest.raises(WrongUsage, match="'nope://x' cannot be opened"):
        storage.filesystem("nope://x")


def test_a_write_that_fails_leaves_the_old_content_and_no_scratch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = str(tmp_path / "x.json")
    storage.write_bytes(uri, b"old")

    def broken(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", broken)
    with pytest.raises(OSError, match="disk full"):
        storage.write_bytes(uri, b"new")
    assert storage.read_bytes(uri) == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_of_many_creators_exactly_one_wins(tmp_path: Path) -> None:
    uri = str(tmp_path / "lease")
    won: list[int] = []
    threads = [
        threading.Thread(target=lambda i=i: won.append(i) if storage.create_exclusively(uri, b"%d" % i) else None)
        for i in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [b"%d" % i for i in won] == [storage.read_bytes(uri)]
    assert storage.list_names(str(tmp_path)) == ["lease"]


def test_listing_and_removing_what_is_not_there_is_fine(tmp_path: Path) -> None:
    assert storage.list_names(str(tmp_path / "none")) == []
    storage.remove(str(tmp_path / "none"))
    assert not storage.exists(str(tmp_path / "none"))

"""The listing of a source, written and read back."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from raypipe.pipeline.encode.listing import Entry, open_listing, write_listing


def test_a_listing_is_read_back_by_chunks(tmp_path: Path) -> None:
    entries = [Entry(image_id=str(i), uri=f"u{i}", file=f"u{i}", labels={"age": i}) for i in range(7)]
    write_listing(str(tmp_path), entries, [pa.field("age", pa.int64())], 3, {".txt": 2})
    listing = open_listing(str(tmp_path))
    assert listing is not None
    assert (listing.rows, listing.chunks, listing.rows_in(2), listing.skipped) == (7, 3, 1, {".txt": 2})
    ids = [listing.read_chunk(chunk).column("image_id").to_pylist() for chunk in range(3)]
    assert ids == [["0", "1", "2"], ["3", "4", "5"], ["6"]]
    assert listing.read_chunk(1).column("age").to_pylist() == [3, 4, 5]


def test_an_unfinished_listing_does_not_count(tmp_path: Path) -> None:
    write_listing(str(tmp_path), [Entry(image_id="0", uri="u", file="u")], [], 3, {})
    (tmp_path / "listing.json").unlink()
    assert open_listing(str(tmp_path)) is None

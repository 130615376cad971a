"""A few more encoded faces, to be appended."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.pictures import picture_bytes
from tests.pipeline.encode.test_job import config_for, encode_locally
from tests.pipeline.search.small_collection import SmallCollection

MORE = 6
IDS = frozenset(f"new-{i}" for i in range(MORE))


def make_more_codes(out: Path, model: Path, methods: tuple[str, ...] = ("sparse_directions",)) -> None:
    """A dataset by the same model, ``out``; its pictures lie beside it."""
    table = {
        "image_id": sorted(IDS),
        "image": [picture_bytes(100 + i, "PNG") for i in range(MORE)],
        "Male": pa.array([i % 2 for i in range(MORE)], pa.int8()),
    }
    source = out.with_suffix(".parquet")
    pq.write_table(pa.table(table), source)
    encode_locally(config_for(source, out, model, methods=methods))


def changeable(folder: Path, collection: SmallCollection) -> tuple[Path, Path]:
    """A copy of the index, to be changed, and a folder of datasets that may be appended to it: ``new``."""
    shutil.copytree(collection.index, folder / "index")
    (folder / "codes").mkdir()
    make_more_codes(folder / "codes" / "new", collection.model)
    return folder / "index", folder / "codes"

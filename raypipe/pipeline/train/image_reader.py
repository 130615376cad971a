"""Images of any source of the encode job as training data."""

from __future__ import annotations

import queue
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from raypipe import storage
from raypipe.contract import DataFacts
from raypipe.errors import RaypipeError, WrongUsage
from raypipe.pipeline.encode.decode_pool import DecodePool
from raypipe.pipeline.encode.face_decoder import FaceDecoder
from raypipe.pipeline.encode.fetch import Fetcher
from raypipe.pipeline.encode.listing import ENTRY_FIELDS, Listing, open_listing, write_listing
from raypipe.pipeline.encode.sources import no_images, open_source
from raypipe.pipeline.train.config import DataConfig
from raypipe.pipeline.train.label_file import ID, read_label_file
from raypipe.pipeline.train.labels import attribute_table, identity_numbers
from raypipe.pipeline.train.order import Rows

COLUMNS = ("image", "labels", "identity")
LISTING = "listing"
ROWS_PER_CHUNK = 4_096
TRIES = 100


def list_images(config: DataConfig, state_uri: str) -> None:
    """List the source below ``state_uri``, unless that was done before.

    Raises:
        WrongUsage: no images there.
    """
    uri = storage.join(state_uri, LISTING)
    earlier = open_listing(uri)
    if earlier is not None and earlier.rows:
        return
    source = open_source(config.uri, config.columns)
    listing = write_listing(uri, source.entries(), source.labels, ROWS_PER_CHUNK, source.skipped)
    if not listing.rows:
        raise no_images(config.uri, source)


class ImageReader:
    """Reads, decodes and aligns images by their row numbers; the decoding is done by processes beside this one.

    A picture that cannot be read is replaced by the next row that can, the same one each time, and told in
    ``rejected``.
    """

    def __init__(self, config: DataConfig, columns: Sequence[str], state_uri: str) -> None:
        if missing := sorted(set(columns) - set(COLUMNS)):
            raise WrongUsage(
                f"{config.uri!r} holds images, and the recipe needs {', '.join(missing)}: encode it first, "
                "and give the encoded dataset"
            )
        listing = open_listing(storage.join(state_uri, LISTING))
        if listing is None:
            raise RaypipeError(f"{state_uri} has no listing of the data")
        source = open_source(config.uri, config.columns)
        align = source.align if config.face.align == "auto" else config.face.align
        self._entries = _read_entries(listing)
        self._columns = tuple(columns)
        self._fetcher = Fetcher(config.fetch, source.image_column)
        self._decoder = FaceDecoder(replace(config.face, align=align), config.size)
        self._pools: queue.SimpleQueue[DecodePool] = queue.SimpleQueue()
        self.rejected: dict[int, str] = {}
        self.encoder_sha256 = None
        self.uri = config.uri
        self._set_facts(config, listing)

    def _set_facts(self, config: DataConfig, listing: Listing) -> None:
        labels = self._entries.select(listing.labels)
        names: tuple[str, ...] = ()
        self.labels: npt.NDArray[np.uint8] | None = None
        self._labels_sha256: dict[str, str] = {}
        if config.labels:
            file = read_label_file(config.labels)
            names, self.labels = file.of_rows(self._entries.column(ID), pa.array([], pa.string()), config.attributes)
            self._labels_sha256 = {"labels_sha256": file.sha256}
        elif "labels" in self._columns:
            names, self.labels = attribute_table(labels, config.attributes, config.uri)
        self.identities: npt.NDArray[np.int64] | None = None
        if "identity" in self._columns:
            self.identities = identity_numbers(labels, config.uri)
        self.facts = DataFacts(
            rows=listing.rows,
            size=config.size,
            attributes=names,
            identities=0 if self.identities is None else int(self.identities.max()) + 1,
        )

    @property
    def groups(self) -> tuple[int, ...]:
        return (self.facts.rows,)

    def read(self, rows: Rows, among: Rows) -> Mapping[str, npt.NDArray[Any]]:
        """Raises:
        RaypipeError: a hundred rows in a row cannot be read.
        """
        rows, images = self._readable(rows, among)
        arrays: dict[str, npt.NDArray[Any]] = {}
        if "image" in self._columns:
            arrays["image"] = images
        if self.labels is not None:
            arrays["labels"] = self.labels[rows]
        if self.identities is not None:
            arrays["identity"] = self.identities[rows]
        return arrays

    def made_from(self) -> Mapping[str, Any]:
        ids = "\n".join(self._entries.column("image_id").to_pylist())
        hashes = {"ids_sha256": storage.sha256(ids.encode()), **self._labels_sha256}
        return {"uri": self.uri, "rows": self.facts.rows, **hashes}

    def close(self) -> None:
        self._fetcher.close()
        while not self._pools.empty():
            self._pools.get().close()

    def _readable(self, rows: Rows, among: Rows) -> tuple[Rows, npt.NDArray[np.uint8]]:
        """The rows, with others of ``among`` in place of those that cannot be read, and their pixels."""
        rows = rows.copy()
        size = self.facts.size
        pixels = np.empty((len(rows), size, size, 3), np.uint8)
        todo = np.arange(len(rows))
        for _ in range(TRIES):
            faces = self._decode(rows[todo])
            for place, face in zip(todo, faces, strict=True):
                if face is not None:
                    pixels[place] = face
            todo = np.array([place for place, face in zip(todo, faces, strict=True) if face is None], np.int64)
            if not len(todo):
                return rows, pixels
            rows[todo] = among[np.searchsorted(among, rows[todo], side="right") % len(among)]
        last = next(reversed(self.rejected.values()))
        raise RaypipeError(f"{self.uri}: {TRIES} images in a row cannot be read; the last: {last}")

    def _decode(self, rows: Rows) -> list[npt.NDArray[np.uint8] | None]:
        entries = self._entries.take(pa.array(rows))
        landmarks = entries.column("landmarks").to_pylist()
        ids = entries.column("image_id").to_pylist()
        faces: list[npt.NDArray[np.uint8] | None] = [None] * len(ids)
        places: list[int] = []

        def contents() -> Iterator[tuple[bytes, npt.NDArray[np.float32] | None]]:
            for place, fetched in enumerate(self._fetcher.fetch(entries)):
                if fetched.content is None:
                    self.rejected[int(rows[place])] = f"{ids[place]}: {fetched.status}: {fetched.error}"
                    continue
                places.append(place)
                points = landmarks[place]
                yield fetched.content, None if points is None else np.array(points, np.float32).reshape(-1, 2)

        with self._pool() as pool:
            for number, face in enumerate(pool.map(contents())):
                place = places[number]
                if face.pixels is None:
                    self.rejected[int(rows[place])] = f"{ids[place]}: {face.status}: {face.error}"
                else:
                    faces[place] = face.pixels
        return faces

    @contextmanager
    def _pool(self) -> Iterator[DecodePool]:
        """A decode process that no other thread uses."""
        try:
            pool = self._pools.get_nowait()
        except queue.Empty:
            pool = DecodePool(self._decoder)
        try:
            yield pool
        finally:
            self._pools.put(pool)


def _read_entries(listing: Listing) -> pa.Table:
    table = pa.concat_tables([listing.read_chunk(chunk) for chunk in range(listing.chunks)])
    return table.select([*(field.name for field in ENTRY_FIELDS), *listing.labels])

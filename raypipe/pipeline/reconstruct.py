"""Pictures of a dataset's faces beside what the generator makes of their codes: does the encoding look right?"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch
from PIL import Image

from raypipe import faces
from raypipe.backbones.stylegan2 import load_generator
from raypipe.config import read_config
from raypipe.errors import RaypipeError, WrongUsage
from raypipe.pipeline.encode.agreement import require_w_plus
from raypipe.pipeline.encode.config import FetchConfig
from raypipe.pipeline.encode.dataset import STATE, Dataset
from raypipe.pipeline.encode.face_decoder import FaceConfig, FaceDecoder
from raypipe.pipeline.encode.fetch import Fetcher
from raypipe.pipeline.encode.listing import Listing, open_listing
from raypipe.weights import open_bundle

GAP = 4
BATCH = 16

Pixels = npt.NDArray[np.uint8]


def reconstruct(uri: str, model: str, *, count: int, columns: int) -> bytes:
    """A PNG: rows of originals as the encoder saw them, each over the row of their reconstructions.

    Raises:
        WrongUsage: no dataset there, or no face in it that is ok.
        WrongUsage, BadWeights, ModelMismatch: as ``require_w_plus``.
    """
    dataset = Dataset(uri)
    plan = dataset.read_json(STATE, "plan.json")
    if plan is None:
        raise WrongUsage(f"{uri!r} is not an encoded dataset")
    bundle = open_bundle(model)
    require_w_plus(uri, plan, bundle)
    pairs = [pair for pair, _ in zip(_originals_and_codes(dataset, plan), range(count), strict=False)]
    if not pairs:
        raise WrongUsage(f"{uri!r} has no face with status ok whose original can still be read")
    originals = np.stack([original for original, _ in pairs])
    codes = torch.from_numpy(np.stack([code for _, code in pairs])).float()
    generator = load_generator(bundle.read("generator"), "cpu")
    with torch.no_grad():
        made = torch.cat(
            [generator.synthesis(some) for some in (codes[i : i + BATCH] for i in range(0, len(codes), BATCH))]
        )
    return _png(originals, faces.to_pixels(made), columns)


def original(dataset: Dataset, plan: dict[str, Any], chunk: int, row: int) -> Pixels:
    """The picture of one row as the encoder saw it, uint8 [s,s,3].

    Raises:
        WrongUsage: it is gone, or cannot be read any more.
    """
    listing, decoder, fetcher = _tools(dataset, plan)
    entry = listing.read_chunk(chunk).slice(row, 1)
    try:
        pixels = next(_decoded(entry, fetcher, decoder))
    finally:
        fetcher.close()
    if pixels is None:
        raise WrongUsage(f"{entry.column('uri')[0].as_py()} cannot be read any more")
    return pixels


def _originals_and_codes(dataset: Dataset, plan: dict[str, Any]) -> Iterator[tuple[Pixels, npt.NDArray[np.float16]]]:
    """Faces that are ok, in the order of the dataset; an original that is gone since is passed over."""
    listing, decoder, fetcher = _tools(dataset, plan)
    try:
        for chunk in sorted(dataset.finished_chunks()):
            part = dataset.read_part(chunk)
            is_ok = pc.equal(part.column("status"), faces.OK)
            entries, part = listing.read_chunk(chunk).filter(is_ok), part.filter(is_ok)
            shape = faces.code_shape(part.schema.field("w_plus"))
            codes = part.column("w_plus").combine_chunks().flatten().to_numpy().reshape(-1, *shape)
            for pixels, code in zip(_decoded(entries, fetcher, decoder), codes, strict=True):
                if pixels is not None:
                    yield pixels, code
    finally:
        fetcher.close()


def _tools(dataset: Dataset, plan: dict[str, Any]) -> tuple[Listing, FaceDecoder, Fetcher]:
    """What reads the originals in the way in which they were encoded."""
    listing = open_listing(dataset.listing_uri)
    if listing is None:
        raise RaypipeError(f"{dataset.uri}: the listing is missing")
    face = read_config(FaceConfig, {**plan["made_from"]["face"], "align": plan["align"]})
    decoder = FaceDecoder(face, int(plan["image_size"]))
    return listing, decoder, Fetcher(FetchConfig(threads=4), str(plan["image_column"]))


def _decoded(entries: pa.Table, fetcher: Fetcher, decoder: FaceDecoder) -> Iterator[Pixels | None]:
    """None for what is gone, or cannot be read."""
    landmarks = entries.column("landmarks").to_pylist()
    for fetched, points in zip(fetcher.fetch(entries), landmarks, strict=True):
        if fetched.content is None:
            yield None
            continue
        marks = None if points is None else np.array(points, np.float32).reshape(-1, 2)
        yield decoder(fetched.content, marks).pixels


def _png(originals: Pixels, made: Pixels, columns: int) -> bytes:
    """Pairs of rows, closer to each other than to the next pair; reconstructions in their own size."""
    size = max(originals.shape[1], made.shape[1])
    rows = -(-len(originals) // columns)
    height = rows * (2 * size + 3 * GAP) - 2 * GAP
    sheet = Image.new("RGB", (columns * (size + GAP) - GAP, height), "white")
    for i, pair in enumerate(zip(originals, made, strict=True)):
        for line, pixels in enumerate(pair):
            picture = Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC)
            top = i // columns * (2 * size + 3 * GAP) + line * (size + GAP)
            sheet.paste(picture, (i % columns * (size + GAP), top))
    sink = io.BytesIO()
    sheet.save(sink, "PNG")
    return sink.getvalue()

"""The table that everything meets at: its columns, its statuses, and how pictures become numbers."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor

from raypipe.errors import WrongUsage

OK = "ok"
DELETED = "deleted"

STATUSES: Mapping[str, str] = {
    OK: "encoded; every code column is set",
    "fetch_404": "nothing at the address any more",
    "fetch_denied": "permission denied",
    "fetch_timeout": "the storage did not answer in time",
    "fetch_changed": "the file is another one than was listed",
    "fetch_truncated": "the archive ends before the member does",
    "fetch_error": "any other failure to read the bytes",
    "decode_empty": "zero bytes",
    "decode_not_an_image": "no supported image format",
    "decode_truncated": "the image ends before its pixels do",
    "decode_error": "the decoder rejected the content",
    "decode_timeout": "the decoder did not finish in time",
    "too_large": "more bytes than the limit allows",
    "bomb": "more pixels than the limit allows",
    "too_small": "fewer pixels than a face needs",
    "no_face": "no face was found",
    "no_landmarks": "alignment was asked for and the source has no landmarks for this image",
    "encoder_nan": "the encoder gave a value that is not finite",
    "crashed": "decoding killed its process",
    "missing_id": "the source gives no id for this row",
    "duplicate_id": "an earlier row has the same id",
    DELETED: "wiped by raypipe index compact --codes; only the id is left",
}
"""Every value that the ``status`` column can have, and what it means."""


def statuses_matching(patterns: Sequence[str]) -> frozenset[str]:
    """The statuses that match any of the patterns, ``fetch_*`` say. ``deleted`` has to be named in full: what was
    wiped must not come back by a ``*``.

    Raises:
        WrongUsage: a pattern that matches no status but ``ok``.
    """
    found: set[str] = set()
    for pattern in patterns:
        matches = set(fnmatch.filter(STATUSES, pattern)) - ({OK} if pattern == DELETED else {OK, DELETED})
        if not matches:
            raise WrongUsage(f"{pattern!r} matches no status; statuses: {', '.join(s for s in STATUSES if s != OK)}")
        found |= matches
    return frozenset(found)


def base_fields() -> list[pa.Field]:
    """The columns every encoded dataset begins with. Label columns and codes follow."""
    return [
        pa.field("image_id", pa.string()),
        pa.field("uri", pa.string()),
        pa.field("sha256", pa.string()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("status", pa.string()),
        pa.field("error", pa.string()),
    ]


def code_field(name: str, shape: Sequence[int]) -> pa.Field:
    """A code column: a fixed-size list of float16, row-major; its shape is in the field's metadata."""
    return pa.field(name, pa.list_(pa.float16(), int(np.prod(shape))), metadata={"shape": "x".join(map(str, shape))})


def code_shape(field: pa.Field) -> tuple[int, ...]:
    """The shape that ``code_field`` wrote."""
    return tuple(int(size) for size in field.metadata[b"shape"].decode().split("x"))


def code_array(codes: npt.NDArray[Any], is_ok: npt.NDArray[np.bool_]) -> pa.Array:
    """[n, ...] -> fixed-size lists of float16; null where not ok."""
    flat = np.ascontiguousarray(codes.reshape(len(codes), -1), dtype=np.float16)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat.reshape(-1)), flat.shape[1], mask=pa.array(~is_ok))


def to_signed(pixels_NHWC: Tensor) -> Tensor:
    """uint8 [n,h,w,3] -> float32 [n,3,h,w] in [-1,1], on the same device."""
    return pixels_NHWC.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


def to_pixels(images_NCHW: Tensor) -> npt.NDArray[np.uint8]:
    """[n,3,h,w], nominally in [-1,1] -> uint8 [n,h,w,3], rounded and clipped."""
    scaled = images_NCHW.detach().float().add(1.0).mul(127.5).round().clamp(0, 255)
    return scaled.permute(0, 2, 3, 1).to(torch.uint8).cpu().numpy()

"""Picture files in and out: a face cut out within limits, and made pixels as PNG, JPEG or WebP."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from raypipe.errors import WrongUsage
from raypipe.pipeline.encode.face_decoder import FaceConfig, FaceDecoder
from raypipe.pipeline.search.query import FromPixels
from serve.backend import Pixels
from serve.errors import TooLarge, UnsupportedMedia

PictureFormat = Literal["png", "jpeg", "webp"]

MEDIA_TYPES: Mapping[PictureFormat, str] = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}

QUALITY = 92
"""Of JPEG and WebP, of 100."""

_XMP_IN_PNG = "XML:com.adobe.xmp"

_BY_STATUS: Mapping[str, type[WrongUsage]] = {"bomb": TooLarge, "decode_not_an_image": UnsupportedMedia}


def cut_out(content: bytes, name: str, *, face: FaceConfig, size: int, pixels: int) -> FromPixels:
    """The face of a picture file.

    Args:
        face: how it is cut out; ``size``: side in pixels.
        pixels: of the picture, at most; looked at before any is decoded.

    Raises:
        TooLarge: more pixels.
        UnsupportedMedia: no picture format that is read.
        WrongUsage: a damaged picture, or no face in it.
    """
    decoder = FaceDecoder(replace(face, max_pixels=min(pixels, face.max_pixels)), size)
    decoded = decoder(content, None)
    if decoded.pixels is None:
        raise _BY_STATUS.get(decoded.status, WrongUsage)(f"{name}: {decoded.status}: {decoded.error}")
    return FromPixels(decoded.pixels, name)


def encoded_picture(pixels: Pixels, kind: PictureFormat, *, xmp: bytes = b"") -> bytes:
    """A picture file of uint8 [h,w,3]; ``xmp``: an XMP packet for its metadata, in the place of each format."""
    sink = io.BytesIO()
    image = Image.fromarray(pixels)
    if kind == "png":
        info = PngInfo()
        if xmp:
            info.add_itxt(_XMP_IN_PNG, xmp.decode())
        image.save(sink, "PNG", pnginfo=info)
    elif kind == "jpeg":
        image.save(sink, "JPEG", quality=QUALITY, subsampling=0, xmp=xmp or None)
    else:
        image.save(sink, "WEBP", quality=QUALITY, xmp=xmp)
    return sink.getvalue()

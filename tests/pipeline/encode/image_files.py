"""Small image files of every supported kind, for tests."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]


def smooth_picture(width: int, height: int) -> Image.Image:
    """Colour waves without a symmetry: every turn and mirror image of it is another picture."""
    y, x = np.mgrid[:height, :width] / max(width, height)
    waves = [np.sin(5 * x + 2 * y), np.cos(4 * y * y + x), np.sin(3 * x * y + 6 * y)]
    return Image.fromarray(np.uint8(np.rint(127.5 + 120 * np.stack(waves, axis=-1))))


def encoded(image: Image.Image, file_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def exif(orientation: int) -> Image.Exif:
    block = Image.Exif()
    block[274] = orientation
    return block


def png(pixels: npt.NDArray[Any], *, colour_type: int, chunks: bytes = b"") -> bytes:
    """A PNG file of uint8 or uint16 [h,w,channels], for kinds that Pillow does not write."""
    height, width = pixels.shape[:2]
    bits = 8 * pixels.dtype.itemsize
    rows = pixels.astype(pixels.dtype.newbyteorder(">")).reshape(height, -1)
    raw = b"".join(b"\x00" + row.tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + chunks
        + png_chunk(b"IDAT", zlib.compress(raw))
        + png_chunk(b"IEND", b"")
    )


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def one_of_each(image: Image.Image) -> dict[str, bytes]:
    """Every format and the main ways of storing pixels in it."""
    palette = image.quantize(64)
    turned = image.transpose(Image.Transpose.ROTATE_180)
    grey16 = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    return {
        "jpeg": encoded(image, "JPEG", quality=95, exif=exif(1)),
        "jpeg progressive": encoded(image, "JPEG", quality=95, progressive=True),
        "jpeg cmyk": encoded(image.convert("CMYK"), "JPEG", quality=95),
        "png": encoded(image, "PNG"),
        "png palette": encoded(palette, "PNG", transparency=0),
        "png 16 bit": encoded(grey16, "PNG"),
        "png animated": encoded(image, "PNG", save_all=True, append_images=[turned]),
        "webp": encoded(image, "WEBP", quality=95),
        "webp lossless": encoded(image, "WEBP", lossless=True),
        "webp animated": encoded(image, "WEBP", save_all=True, append_images=[turned]),
        "bmp": encoded(image, "BMP"),
        "bmp palette": encoded(palette, "BMP"),
        "tiff": encoded(image, "TIFF"),
        "tiff lzw": encoded(image, "TIFF", compression="tiff_lzw"),
        "tiff jpeg": encoded(image, "TIFF", compression="jpeg"),
        "tiff big": encoded(image, "TIFF", big_tiff=True),
        "gif": encoded(palette, "GIF"),
        "gif animated": encoded(palette, "GIF", save_all=True, append_images=[turned.quantize(64)]),
    }

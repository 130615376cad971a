"""Image bytes -> an upright RGB picture, or the status that says why not.

JPEG, PNG, WebP, BMP, TIFF and GIF; of animations and of files with several pages, the first. Pillow's format classes
are called directly, so that no other format is ever tried and the pixel limit is an argument, not Pillow's global.
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

SIGNATURES: tuple[tuple[bytes, type[ImageFile.ImageFile]], ...] = (
    (b"\xff\xd8\xff", JpegImageFile),
    (b"\x89PNG\r\n\x1a\n", PngImageFile),
    (b"GIF87a", GifImageFile),
    (b"GIF89a", GifImageFile),
    (b"BM", BmpImageFile),
    (b"II*\x00", TiffImageFile),
    (b"MM\x00*", TiffImageFile),
    (b"II+\x00", TiffImageFile),
    (b"MM\x00+", TiffImageFile),
)

# Over 120,000 files with cut, flipped and missing bytes made Pillow raise the first five (the first two in 99.9 %).
# The others stand in its sources; a Warning is raised where the application asks for that (python -W error).
PILLOW_ERRORS = (
    OSError,
    SyntaxError,
    Image.DecompressionBombError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    struct.error,
    zlib.error,
    ArithmeticError,
    AssertionError,
    AttributeError,
    RuntimeError,
    MemoryError,
    Warning,
)

ORIENTATION, TIFF_BITS = 274, 258  # tags of TIFF 6.0 and EXIF

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what turns the stored picture upright."""


class BadImage(Exception):
    """Content that gives no picture. ``status`` is one of ``raypipe.faces.STATUSES``."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class StoredImage:
    """An image whose header is read and whose pixels are not. ``width`` and ``height``: of the upright picture."""

    content: bytes
    file: ImageFile.ImageFile
    orientation: int
    width: int
    height: int


@dataclass(frozen=True)
class Picture:
    """Upright RGB. Each pixel covers ``shrink`` x ``shrink`` of the original's; both begin at the same corner."""

    image: Image.Image
    shrink: int


MOST_PIXELS = 178_956_970
"""Pillow has a limit of its own in its TIFF and WebP readers, which is this where the application leaves it alone."""


def open_image(content: bytes) -> StoredImage:
    """Read the header.

    Raises:
        BadImage: ``decode_empty``, ``decode_not_an_image``, ``decode_truncated``, ``decode_error`` or ``bomb``.
    """
    if not content:
        raise BadImage("decode_empty", "zero bytes")
    reader = _reader_of(content)
    try:
        file = reader(io.BytesIO(content))
    except PILLOW_ERRORS as error:
        raise _bad_image(error, content) from error
    orientation = _orientation(file, content)
    width, height = file.size
    if orientation >= 5:
        width, height = height, width
    return StoredImage(content, file, orientation, width, height)


def check_size(stored: StoredImage, *, max_pixels: int, min_side: int) -> None:
    """Look at the header's size, before any memory is spent on pixels.

    Raises:
        BadImage: ``bomb`` or ``too_small``.
    """
    size = f"{stored.width}x{stored.height}"
    if stored.width * stored.height > max_pixels:
        raise BadImage("bomb", f"{size} is {stored.width * stored.height} pixels; at most {max_pixels} are decoded")
    if min(stored.width, stored.height) < min_side:
        raise BadImage("too_small", f"{size} pixels; both sides must have at least {min_side}")


def decode(stored: StoredImage, *, max_shrink: int = 1) -> Picture:
    """Decode the pixels; a JPEG straight at 1/2, 1/4 or 1/8 where ``max_shrink`` allows (the DCT does the averaging).

    Transparent parts show white. 16-bit grey becomes 8-bit by its full range. Colour profiles are not applied.

    Raises:
        BadImage: ``decode_truncated`` or ``decode_error``.
    """
    shrink = _draft(stored, max_shrink)
    try:
        stored.file.load()
        image = _rgb(stored.file)
        if stored.orientation in UPRIGHT:
            image = image.transpose(UPRIGHT[stored.orientation])
    except PILLOW_ERRORS as error:
        raise _bad_image(error, stored.content) from error
    return Picture(image, shrink)


def _reader_of(content: bytes) -> type[ImageFile.ImageFile]:
    for signature, reader in SIGNATURES:
        if content.startswith(signature):
            return reader
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return WebPImageFile
    raise BadImage(
        "decode_not_an_image",
        f"{len(content)} bytes that begin with {content[:8]!r}; readable are JPEG, PNG, WebP, BMP, TIFF and GIF",
    )


def _bad_image(error: BaseException, content: bytes) -> BadImage:
    message = f"{type(error).__name__}: {error}"
    if isinstance(error, Image.DecompressionBombError):
        return BadImage("bomb", message)
    read_past_the_end = isinstance(error.__cause__, (struct.error, IndexError, EOFError))
    if "truncated" in message.lower() or read_past_the_end or _ends_early(content):
        return BadImage("decode_truncated", f"{message}; the file ends after {len(content)} bytes")
    return BadImage("decode_error", message)


def _ends_early(content: bytes) -> bool:
    """Whether a file that cannot be decoded is also shorter than it says, or has no end mark of its format."""
    reader = _reader_of(content)
    if reader is JpegImageFile:
        return b"\xff\xd9" not in content
    if reader is PngImageFile:
        return b"IEND" not in content
    if reader is GifImageFile:
        return not content.endswith(b";")
    if reader is BmpImageFile:
        return int.from_bytes(content[2:6], "little") > len(content)
    if reader is WebPImageFile:
        return int.from_bytes(content[4:8], "little") + 8 > len(content)
    return _tiff_directory_end(content) > len(content)


def _draft(stored: StoredImage, max_shrink: int) -> int:
    if not isinstance(stored.file, JpegImageFile):
        return 1
    width, height = stored.file.size
    for shrink in (8, 4, 2):
        # Turning a picture whose last pixels are cut would move the common corner.
        whole = width % shrink == 0 and height % shrink == 0
        if shrink <= max_shrink and min(width, height) >= shrink and (whole or stored.orientation == 1):
            stored.file.draft(None, (width // shrink, height // shrink))
            return shrink
    return 1


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return _from_16_bit(image)
    if image.mode in ("I", "F"):
        kind = "32-bit integer" if image.mode == "I" else "floating-point"
        raise ValueError(f"{kind} pixels have no agreed white; convert the file to 8 or 16 bits")
    if image.has_transparency_data:
        on_white = Image.new("RGBA", image.size, "white")
        on_white.alpha_composite(image.convert("RGBA"))
        return on_white.convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _from_16_bit(image: Image.Image) -> Image.Image:
    bits = image.tag_v2.get(TIFF_BITS, (16,))[0] if isinstance(image, TiffImageFile) else 16
    white = (1 << bits) - 1
    grey = np.asarray(image).astype(np.uint32)
    return Image.fromarray(((grey * 255 + white // 2) // white).astype(np.uint8)).convert("RGB")


def _orientation(file: ImageFile.ImageFile, content: bytes) -> int:
    """1 to 8; 1 where the file says nothing sensible. Pillow turns TIFF by itself while loading."""
    if isinstance(file, PngImageFile):
        return _exif_orientation(_png_chunk(content, b"eXIf"))
    if isinstance(file, (JpegImageFile, WebPImageFile)):
        return _exif_orientation(file.info.get("exif", b""))
    return 1


def _exif_orientation(exif: bytes) -> int:
    """The tag in the first directory (TIFF 6.0, section 2). Read here: a broken EXIF block must not cost a picture."""
    exif = exif.removeprefix(b"Exif\x00\x00")
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(exif[:4])
    if order is None or len(exif) < 8:
        return 1
    (directory,) = struct.unpack_from(order + "I", exif, 4)
    if directory + 2 > len(exif):
        return 1
    (count,) = struct.unpack_from(order + "H", exif, directory)
    for entry in range(directory + 2, min(directory + 2 + 12 * count, len(exif) - 11), 12):
        tag, kind, _, value = struct.unpack_from(order + "HHIH", exif, entry)
        if tag == ORIENTATION and kind == 3:
            return value if 1 <= value <= 8 else 1
    return 1


def _tiff_directory_end(content: bytes) -> int:
    """Where the first directory ends, by what the file says."""
    if len(content) < 8:
        return 8
    order = "<" if content.startswith(b"II") else ">"
    (directory,) = struct.unpack_from(order + "I", content, 4)
    if directory + 2 > len(content):
        return int(directory) + 2
    (count,) = struct.unpack_from(order + "H", content, directory)
    return int(directory) + 2 + 12 * int(count)


def _png_chunk(content: bytes, name: bytes) -> bytes:
    """The data of the first chunk called ``name``, wherever it stands (Pillow sees those after the pixels too late)."""
    position = 8
    while position + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        if kind == name:
            return content[position + 8 : position + 8 + length]
        position += 12 + length
    return b""

"""What comes out of each kind of file, and what is said of files that give nothing."""

from __future__ import annotations

import contextlib
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from raypipe.pipeline.encode.decode_image import UPRIGHT, BadImage, check_size, decode, open_image
from tests.pipeline.encode.image_files import Pixels, encoded, exif, one_of_each, png, png_chunk, smooth_picture

PICTURE = smooth_picture(60, 44)
FILES = one_of_each(PICTURE)
BACK = {  # what a camera held that way stores
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def pixels_of(content: bytes) -> Pixels:
    return np.asarray(decode(open_image(content)).image)


def status_of(content: bytes) -> str:
    with pytest.raises(BadImage) as caught:
        decode(open_image(content))
    return caught.value.status


def largest_difference(a: Pixels, b: Pixels) -> int:
    return int(np.abs(a.astype(int) - b).max())


@pytest.mark.parametrize("kind", FILES)
def test_every_format_gives_the_same_picture(kind: str) -> None:
    expected = np.asarray(PICTURE.convert("L").convert("RGB") if kind == "png 16 bit" else PICTURE)
    shown = pixels_of(FILES[kind])
    assert shown.shape == expected.shape
    lossless = kind in ("png", "png 16 bit", "png animated", "webp lossless", "bmp", "tiff", "tiff lzw", "tiff big")
    assert np.abs(shown.astype(int) - expected).mean() <= (0 if lossless else 10)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "TIFF", "JPEG"])
def test_all_orientations_are_turned_upright(file_format: str, orientation: int) -> None:
    stored = PICTURE.transpose(BACK[orientation]) if orientation in BACK else PICTURE
    options = {"PNG": {}, "WEBP": {"lossless": True}, "TIFF": {}, "JPEG": {"quality": 95, "subsampling": 0}}
    content = encoded(stored, file_format, exif=exif(orientation), **options[file_format])
    opened = open_image(content)
    assert (opened.width, opened.height) == PICTURE.size
    difference = largest_difference(np.asarray(decode(opened).image), np.asarray(PICTURE))
    assert difference <= (12 if file_format == "JPEG" else 0)


def test_every_orientation_has_its_own_turn() -> None:
    assert len({np.asarray(PICTURE.transpose(turn)).tobytes() for turn in UPRIGHT.values()}) == 7


def test_the_orientation_of_a_png_may_stand_behind_its_pixels() -> None:
    block = png_chunk(b"eXIf", exif(6).tobytes().removeprefix(b"Exif\x00\x00"))
    plain = encoded(PICTURE.transpose(BACK[6]), "PNG")
    end = plain.index(b"IEND") - 4
    assert np.array_equal(pixels_of(plain[:end] + block + plain[end:]), np.asarray(PICTURE))


@pytest.mark.parametrize("block", [b"Exif\x00\x00II*\x00\xff\xff\xff\x7f", b"Exif\x00\x00MM\x00*\x00\x00", b"Exif"])
def test_a_broken_exif_block_costs_no_picture(block: bytes) -> None:
    assert pixels_of(encoded(PICTURE, "WEBP", lossless=True, exif=block)).shape == (44, 60, 3)


def test_an_orientation_that_does_not_exist_is_ignored() -> None:
    assert np.array_equal(pixels_of(encoded(PICTURE, "PNG", exif=exif(9))), np.asarray(PICTURE))


@pytest.mark.parametrize("shrink", [1, 2, 4, 8])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_decoded_small_is_the_mean_of_its_pixels(shrink: int, orientation: int) -> None:
    content = encoded(smooth_picture(320, 240), "JPEG", quality=95, exif=exif(orientation))
    whole = pixels_of(content).astype(float)
    small = decode(open_image(content), max_shrink=shrink)
    height, width = whole.shape[:2]
    means = whole.reshape(height // shrink, shrink, width // shrink, shrink, 3).mean(axis=(1, 3))
    assert small.shrink == shrink
    assert np.abs(np.asarray(small.image) - means).max() < 3


def test_a_turned_jpeg_with_cut_last_pixels_is_not_decoded_small() -> None:
    content = encoded(smooth_picture(321, 240), "JPEG", exif=exif(6))
    assert decode(open_image(content), max_shrink=8).shrink == 1
    upright = encoded(smooth_picture(321, 240), "JPEG")
    assert decode(open_image(upright), max_shrink=8).shrink == 8


def test_inverted_cmyk_of_photo_editors() -> None:
    ink = np.zeros((16, 16, 4), np.uint8)
    ink[..., 0], ink[..., 3] = 255, 51  # all cyan, a fifth black
    shown = pixels_of(encoded(Image.fromarray(ink, "CMYK"), "JPEG", quality=100))
    assert np.abs(shown.astype(int) - [0, 204, 204]).max() <= 3


def test_ycck() -> None:
    wanted = np.full((16, 16, 3), (200, 120, 40), np.uint8)
    # The file holds inverted inks, C' = R; and as YCbCr what libjpeg takes for 255 - C'. Pillow inverts what it writes;
    # transform 2 in the Adobe marker says that the first three planes are YCbCr.
    planes = np.asarray(Image.fromarray(255 - wanted).convert("YCbCr"))
    stored = np.concatenate([255 - planes, np.zeros((16, 16, 1), np.uint8)], axis=-1)
    content = bytearray(encoded(Image.fromarray(stored, "CMYK"), "JPEG", quality=100))
    content[content.index(b"Adobe") + 11] = 2
    assert np.abs(pixels_of(bytes(content)).astype(int) - wanted).max() <= 4


def test_what_is_transparent_shows_white() -> None:
    rgba = np.zeros((20, 20, 4), np.uint8)
    rgba[:, :10] = (255, 0, 0, 255)
    rgba[:, 10:] = (0, 0, 0, 51)
    expected = np.full((20, 20, 3), 204)
    expected[:, :10] = (255, 0, 0)
    for file_format in ("PNG", "WEBP", "TIFF"):
        content = encoded(Image.fromarray(rgba), file_format, **({"lossless": True} if file_format == "WEBP" else {}))
        assert np.array_equal(pixels_of(content), expected), file_format


def test_transparency_of_grey_palette_and_colour_key() -> None:
    grey = Image.fromarray(np.full((20, 20, 2), (0, 51), np.uint8), "LA")
    assert (pixels_of(encoded(grey, "PNG")) == 204).all()
    palette = Image.fromarray(np.uint8(np.arange(400).reshape(20, 20) % 4)).convert("P")
    assert (pixels_of(encoded(palette, "PNG", transparency=bytes([0] * 256))) == 255).all()
    assert (pixels_of(encoded(Image.new("RGB", (20, 20), (1, 2, 3)), "PNG", transparency=(1, 2, 3))) == 255).all()


@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3), (6, 4)])
def test_16_bits_a_channel_become_8(colour_type: int, channels: int) -> None:
    levels = np.arange(0, 65536, 257, dtype=np.uint16)[:256]
    deep = np.repeat(levels.reshape(16, 16, 1), channels, axis=2)
    deep[..., 3:] = 65535
    shown = pixels_of(png(deep, colour_type=colour_type))
    assert np.array_equal(shown[..., 0].ravel(), np.arange(256))


def test_16_bit_grey_tiff_of_either_byte_order() -> None:
    levels = np.minimum(np.arange(256) * 257 + 100, 65535)  # a hundred 257ths more: rounds down
    deep = levels.astype(np.uint16).reshape(16, 16)
    little = encoded(Image.fromarray(deep), "TIFF")
    big = encoded(Image.frombytes("I;16B", (16, 16), deep.astype(">u2").tobytes()), "TIFF")
    assert little[:2] == b"II"
    assert big[:2] == b"MM"
    assert np.array_equal(pixels_of(little)[..., 1].ravel(), np.arange(256))
    assert np.array_equal(pixels_of(big)[..., 1].ravel(), np.arange(256))


def test_black_and_white() -> None:
    image = Image.fromarray(np.eye(20) > 0)
    for file_format in ("PNG", "TIFF", "BMP"):
        assert np.array_equal(pixels_of(encoded(image, file_format))[..., 2], np.eye(20) * 255), file_format


@pytest.mark.parametrize("mode", ["F", "I"])
def test_pixels_without_a_white_are_refused(mode: str) -> None:
    content = encoded(Image.new(mode, (20, 20), 1), "TIFF")
    with pytest.raises(BadImage, match="no agreed white"):
        decode(open_image(content))


def test_zero_bytes() -> None:
    assert status_of(b"") == "decode_empty"


def other_formats() -> dict[str, bytes]:
    formats = {name: encoded(PICTURE, name) for name in ("PPM", "ICO", "JPEG2000", "EPS", "PDF", "TGA", "PCX")}
    return {**formats, "text": b"<!doctype html><title>404</title>", "one byte": b"\xff"}


@pytest.mark.parametrize("name", other_formats())
def test_other_formats_are_not_even_tried(name: str) -> None:
    assert status_of(other_formats()[name]) == "decode_not_an_image"


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.45])
def test_a_file_that_ends_early_is_truncated(kind: str, share: float) -> None:
    content = FILES[kind]
    assert status_of(content[: max(12, int(share * len(content)))]) == "decode_truncated"


def test_a_jpeg_without_its_last_tenth_gives_no_grey_pixels() -> None:
    content = FILES["jpeg"]
    assert status_of(content[: len(content) * 9 // 10]) == "decode_truncated"


def test_a_whole_file_that_makes_no_sense_is_an_error_not_truncated() -> None:
    content = bytearray(FILES["png"])
    content[content.index(b"IDAT") + 12] ^= 0xFF
    assert status_of(bytes(content)) == "decode_error"


def test_a_bomb_is_seen_in_the_header() -> None:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    content = b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", b"") + png_chunk(b"IEND", b"")
    opened = open_image(content)
    with pytest.raises(BadImage, match="60000x60000 is 3600000000 pixels; at most 64000000") as caught:
        check_size(opened, max_pixels=64_000_000, min_side=1)
    assert caught.value.status == "bomb"


@pytest.mark.parametrize("kind", [kind for kind in FILES if not kind.startswith(("webp", "tiff"))])
def test_the_limit_is_ours_and_not_pillows(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    opened = open_image(FILES[kind])
    check_size(opened, max_pixels=60 * 44, min_side=44)
    decode(opened)
    with pytest.raises(BadImage, match="at most 2639"):
        check_size(opened, max_pixels=60 * 44 - 1, min_side=44)
    with pytest.raises(BadImage, match="at least 45"):
        check_size(opened, max_pixels=60 * 44, min_side=45)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=200, deadline=None)
@given(
    kind=st.sampled_from(sorted(FILES)),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8),
    in_head=st.booleans(),
    kept=st.floats(0.01, 1),
)
def test_damage_gives_a_picture_or_a_status(
    kind: str, changes: list[tuple[float, int]], in_head: bool, kept: float
) -> None:
    content = bytearray(FILES[kind])
    for place, value in changes:
        content[int(place * (min(200, len(content)) if in_head else len(content)))] = value
    with contextlib.suppress(BadImage):  # anything else that is raised fails the test
        opened = open_image(bytes(content[: int(kept * len(content))]))
        check_size(opened, max_pixels=10**6, min_side=1)
        image = decode(opened).image
        assert image.mode == "RGB"
        assert image.size == (opened.width, opened.height)

"""Which square is cut, and that what comes out are the picture's own colours."""

from __future__ import annotations

import contextlib

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from raypipe.pipeline.encode.align_face import Box, celeba_box, center_box, ffhq_quad, whole_box
from raypipe.pipeline.encode.decode_image import BadImage, Picture
from tests.pipeline.encode.image_files import Pixels, smooth_picture
from tests.shared_files import oracle

Points = npt.NDArray[np.float64]

# CelebA's own positions in its aligned 178x218 layout: eyes, nose, mouth corners.
CELEBA_FACE = np.array([[69.0, 111.0], [108.0, 111.0], [88.0, 135.0], [73.0, 152.0], [105.0, 152.0]])


def turned(points: Points, degrees: float, center: Points) -> Points:
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (points - center) @ turn.T + center


@pytest.mark.parametrize("case", ["inside", "needs_pad", "big_shrink"])
def test_ffhq_alignment_equals_the_public_one_pixel_by_pixel(case: str) -> None:
    given_case = torch.load(oracle("align/ffhq_align.pt"), weights_only=True)["cases"][case]
    width, height = given_case["width"], given_case["height"]
    y, x = np.mgrid[:height, :width]
    channels = [(np.sin(x / 9) + 1) * 127, (np.cos(y / 13) + 1) * 127, (3 * x + 5 * y) % 256]
    picture = Picture(Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8)), shrink=1)
    face = ffhq_quad(given_case["landmarks"].numpy(), width, height).cut(picture, 256)
    assert np.array_equal(face, given_case["aligned256"].numpy())


def test_five_landmarks_give_the_square_of_sixty_eight() -> None:
    spread = np.array([[-3, 0], [-1, -1], [1, -1], [3, 0], [1, 1], [-1, 1]])
    many = np.zeros((68, 2))
    many[36:42], many[42:48] = CELEBA_FACE[0] + spread, CELEBA_FACE[1] + spread
    many[48], many[54] = CELEBA_FACE[3], CELEBA_FACE[4]
    few = ffhq_quad(CELEBA_FACE, 178, 218)
    assert np.allclose(few.corners, ffhq_quad(many, 178, 218).corners)


def test_the_square_follows_the_face() -> None:
    middle = np.array([89.0, 120.0])
    upright = ffhq_quad(CELEBA_FACE, 178, 218)
    tilted = ffhq_quad(turned(CELEBA_FACE, 25, middle), 178, 218)
    larger = ffhq_quad(CELEBA_FACE * 3, 534, 654)
    assert np.allclose(tilted.corners, turned(upright.corners, 25, middle))
    assert np.allclose(larger.corners, upright.corners * 3)


def test_a_level_symmetric_face_gives_a_level_square_around_it() -> None:
    face = np.array([[40.0, 50.0], [60.0, 50.0], [50.0, 60.0], [42.0, 70.0], [58.0, 70.0]])
    corners = ffhq_quad(face, 100, 100).corners
    # Half a side: the larger of twice the eyes' distance and 1.8 times eyes to mouth; a tenth of the latter lower.
    assert np.allclose(corners, [[10, 12], [10, 92], [90, 92], [90, 12]])


def test_a_turned_face_is_cut_upright() -> None:
    picture = smooth_picture(300, 300)
    middle = np.array([149.5, 149.5])
    face = CELEBA_FACE - CELEBA_FACE.mean(axis=0) + 149.5
    upright = ffhq_quad(face, 300, 300).cut(Picture(picture, 1), 64)
    rotated = picture.rotate(-20, Image.Resampling.BICUBIC)  # about the same middle, clockwise as seen
    tilted = ffhq_quad(turned(face, 20, middle), 300, 300).cut(Picture(rotated, 1), 64)
    assert np.abs(upright.astype(int) - tilted).max() <= 4


def test_cutting_from_a_smaller_decoding_gives_the_same_face() -> None:
    large = smooth_picture(1600, 1600)
    quad = ffhq_quad(turned(CELEBA_FACE * 8, 10, np.array([700.0, 900.0])), 1600, 1600)
    whole = quad.cut(Picture(large, 1), 128)
    halved = quad.cut(Picture(large.reduce(4), 4), 128)
    assert np.abs(whole.astype(int) - halved).max() <= 3


def test_what_the_picture_lacks_is_mirrored_and_fades() -> None:
    white_left = np.zeros((218, 178, 3), np.uint8)
    white_left[:, :89] = 255
    moved_left = CELEBA_FACE - [60, 0]
    face = ffhq_quad(moved_left, 178, 218).cut(Picture(Image.fromarray(white_left), 1), 128)
    outside = face[32:96, :40]  # mirrored over the left edge, from the white half
    assert outside.min() > 200


@pytest.mark.parametrize(
    ("landmarks", "reason"),
    [
        (np.full((5, 2), np.nan), "not finite"),
        (np.zeros((4, 2)), r"shape \[4, 2\]; allowed are \[5, 2\] and \[68, 2\]"),
        (np.full((5, 2), 80.0), "fall together"),
        (CELEBA_FACE + np.array([500, 0]), r"around \(589, 115\), outside the 178x218 picture"),
        ((CELEBA_FACE - [88.75, 115]) * 20 + [88.75, 115], "at most 4 times the picture"),
    ],
)
def test_impossible_landmarks_are_told(landmarks: Points, reason: str) -> None:
    with pytest.raises(BadImage, match=reason) as caught:
        ffhq_quad(landmarks, 178, 218)
    assert caught.value.status == "no_landmarks"


@settings(max_examples=150, deadline=None)
@given(
    width=st.integers(1, 90),
    height=st.integers(1, 90),
    size=st.sampled_from([1, 16, 33]),
    numbers=st.lists(st.floats(-60, 150), min_size=10, max_size=10),
)
def test_any_landmarks_give_a_face_or_a_reason(width: int, height: int, size: int, numbers: list[float]) -> None:
    picture = Picture(Image.new("RGB", (width, height), (10, 20, 30)), 1)
    with contextlib.suppress(BadImage):
        face = ffhq_quad(np.array(numbers).reshape(5, 2), width, height).cut(picture, size)
        assert np.array_equal(face, np.full((size, size, 3), (10, 20, 30)))


def test_boxes() -> None:
    assert center_box(100, 60) == Box(20, 0, 80, 60)
    assert center_box(61, 100) == Box(0, 19, 61, 80)
    assert whole_box(100, 60) == Box(0, 0, 100, 60)
    assert celeba_box(178, 218) == Box(15, 40, 163, 188)
    assert celeba_box(89, 109) == Box(7.5, 20, 81.5, 94)


@pytest.mark.parametrize("size", [(256, 256), (218, 178), (178, 230)])
def test_the_celeba_crop_refuses_other_layouts(size: tuple[int, int]) -> None:
    with pytest.raises(BadImage, match=f"{size[0]}x{size[1]} is not the layout of aligned CelebA"):
        celeba_box(*size)


@pytest.mark.parametrize("width", range(30, 600, 7))
def test_the_celeba_crop_takes_every_scaled_copy(width: int) -> None:
    height = round(width * 218 / 178)
    box = celeba_box(width, height)
    assert 0 <= box.left < box.right <= width
    assert 0 <= box.top < box.bottom <= height


def test_a_picture_of_the_wanted_size_stays_as_it_is() -> None:
    picture = smooth_picture(64, 64)
    assert np.array_equal(center_box(64, 64).cut(Picture(picture, 1), 64), np.asarray(picture))


def test_a_whole_pixel_crop_of_the_wanted_size_stays_as_it_is() -> None:
    picture = smooth_picture(100, 64)
    assert np.array_equal(center_box(100, 64).cut(Picture(picture, 1), 64), np.asarray(picture)[:, 18:82])


def area_mean(pixels: Pixels, box: Box, size: int) -> npt.NDArray[np.float64]:
    """Slow reference: the mean over the footprint of every new pixel, by the share of each old one in it."""

    def shares(start: float, stop: float, length: int) -> npt.NDArray[np.float64]:
        edges = np.linspace(start, stop, size + 1)
        old = np.arange(length)
        overlap = np.minimum(edges[1:, None], old + 1) - np.maximum(edges[:-1, None], old)
        return np.maximum(overlap, 0) / (edges[1] - edges[0])

    rows = shares(box.top, box.bottom, pixels.shape[0])
    columns = shares(box.left, box.right, pixels.shape[1])
    return np.einsum("yh,xw,hwc->yxc", rows, columns, pixels.astype(np.float64), optimize=True)


@pytest.mark.parametrize("box", [Box(0, 0, 400, 300), Box(50.5, 3.25, 300.75, 253.5), Box(0, 0, 70, 70)])
def test_resizing_agrees_with_the_mean_over_areas(box: Box) -> None:
    picture = smooth_picture(400, 300)
    face = box.cut(Picture(picture, 1), 32)
    assert np.abs(face - area_mean(np.asarray(picture), box, 32)).max() <= 3


def test_resizing_averages_out_fine_stripes() -> None:
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    face = whole_box(512, 512).cut(Picture(Image.fromarray(stripes), 1), 32)
    assert np.abs(face[:, 2:-2].astype(int) - 127).max() <= 2

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from raypipe.errors import WrongUsage
from raypipe.synthfaces import FACTORS, PARTS, Factors, render, sample_factors

PLAIN = {
    "eyeglasses": 0.0, "hat": 0.0, "beard": 0.0, "goatee": 0.0, "moustache": 0.0, "stubble": 0.0, "baldness": 0.0,
    "yaw": 0.0, "pitch": 0.0, "roll": 0.0, "bangs": 0.0,
}  # fmt: skip


def _plain_faces(count: int) -> Factors:
    faces = sample_factors(count, seed=11, images_per_identity=1)
    for name, value in PLAIN.items():
        faces = faces.changed(name, value)
    return faces


def _difference(first: Factors, second: Factors, size: int = 64) -> npt.NDArray[np.int64]:
    """Largest change of a channel, [n,s,s]."""
    one, two = render(first, size).images.astype(int), render(second, size).images.astype(int)
    return np.abs(one - two).max(axis=3)


def _digest(array: npt.NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array)).hexdigest()


@pytest.mark.parametrize("size", [32, 64, 100])
def test_pixels_do_not_depend_on_the_batch(size: int) -> None:
    whole = render(sample_factors(40, seed=2), size)
    parts = [render(sample_factors(count, seed=2, start=start), size) for start, count in ((0, 1), (1, 22), (23, 17))]
    assert _digest(whole.images) == _digest(np.concatenate([part.images for part in parts]))
    assert _digest(whole.parts) == _digest(np.concatenate([part.parts for part in parts]))
    assert _digest(whole.landmarks) == _digest(np.concatenate([part.landmarks for part in parts]))


def test_every_factor_can_be_seen() -> None:
    needs = {
        "glasses_": "eyeglasses",
        "lens_": "eyeglasses",
        "eye_makeup_hue": "eye_makeup",
        "hat_hue": "hat",
        "lipstick_hue": "lipstick",
    }
    base = sample_factors(4, seed=1, images_per_identity=1).changed("baldness", 0.1).changed("hat", 0.1)
    for factor in FACTORS:
        faces = base
        for prefix, needed in needs.items():
            if factor.name.startswith(prefix):
                faces = faces.changed(needed, 1.0)
        high = factor.low + 0.4 if factor.name.endswith("_hue") else factor.high  # hues come round to where they began
        change = _difference(faces.changed(factor.name, factor.low), faces.changed(factor.name, high))
        assert change.max() > 12, factor.name


def test_factors_are_continuous_in_the_picture() -> None:
    faces = _plain_faces(3)
    for factor in FACTORS:
        middle = (factor.low + factor.high) / 2
        step = 0.002 * (factor.high - factor.low)
        change = _difference(faces.changed(factor.name, middle), faces.changed(factor.name, middle + step))
        assert change.mean() < 1.0, factor.name


def test_a_smile_changes_the_lower_face_only() -> None:
    faces = _plain_faces(12)
    before, after = faces.changed("smile", 0.0), faces.changed("smile", 0.9)
    change = _difference(before, after)
    one, two = render(before, 64), render(after, 64)
    allowed = [PARTS.index(name) for name in ("mouth", "skin", "nose", "eyes")]
    on_face = np.isin(one.parts, allowed) | np.isin(two.parts, allowed)
    assert change[~on_face].sum() < 0.02 * change.sum()
    mouth = (one.parts == PARTS.index("mouth")) | (two.parts == PARTS.index("mouth"))
    assert change[mouth].mean() > 5 * change[~mouth].mean()
    corner = two.landmarks[:, 3:, 1].mean() - two.landmarks[:, 2, 1].mean()
    assert corner < one.landmarks[:, 3:, 1].mean() - one.landmarks[:, 2, 1].mean()


def test_glasses_change_pixels_around_the_eyes_only() -> None:
    faces = _plain_faces(12)
    drawn = render(faces, 64)
    change = _difference(faces, faces.changed("eyeglasses", 1.0))
    eyes = drawn.landmarks[:, :2].mean(axis=1)
    between = drawn.landmarks[:, 1, 0] - drawn.landmarks[:, 0, 0]
    rows = np.arange(64)[None, :, None] + 0.5
    near = np.broadcast_to(np.abs(rows - eyes[:, 1, None, None]) < 0.85 * between[:, None, None], change.shape)
    assert change[~near].sum() < 0.01 * change.sum()
    assert change[near].mean() > 5


def test_hair_colour_changes_hair_and_brows() -> None:
    faces = _plain_faces(12).changed("hair_grey", 0.0)
    drawn = render(faces, 64)
    change = _difference(faces.changed("hair_lightness", 0.0), faces.changed("hair_lightness", 1.0))
    assert change[drawn.parts == PARTS.index("hair")].mean() > 60
    assert change[drawn.parts == PARTS.index("background")].mean() < 5
    assert change[drawn.parts == PARTS.index("mouth")].mean() < 3


def test_eyes_and_nose_lie_on_their_parts() -> None:
    faces = sample_factors(80, seed=4).changed("eyeglasses", 0.0).changed("bangs", 0.0).changed("hat", 0.0)
    drawn = render(faces.changed("eye_open", 0.8), 96)
    for place, part in ((0, "eyes"), (1, "eyes"), (2, "nose")):
        x, y = np.floor(drawn.landmarks[:, place]).astype(int).T
        assert np.mean(drawn.parts[np.arange(80), y, x] == PARTS.index(part)) > 0.97, part


def test_mouth_corners_are_the_mouths_ends() -> None:
    drawn = render(_plain_faces(12), 128)
    for parts, landmarks in zip(drawn.parts, drawn.landmarks, strict=True):
        columns = np.flatnonzero((parts == PARTS.index("mouth")).any(axis=0))
        assert abs(columns[0] - landmarks[3, 0]) < 4
        assert abs(columns[-1] + 1 - landmarks[4, 0]) < 4


def test_turning_moves_the_nose_further_than_the_eyes_and_all_to_one_side() -> None:
    faces = _plain_faces(8)
    left, right = render(faces.changed("yaw", -20.0), 64).landmarks, render(faces.changed("yaw", 20.0), 64).landmarks
    moved = right[..., 0] - left[..., 0]
    assert np.all(moved > 2)
    assert np.all(moved[:, 2] > moved[:, :2].mean(axis=1))


def test_rolling_turns_the_line_between_the_eyes_by_its_angle() -> None:
    landmarks = render(_plain_faces(8).changed("roll", 10.0), 64).landmarks
    across = landmarks[:, 1] - landmarks[:, 0]
    np.testing.assert_allclose(np.degrees(np.arctan2(across[:, 1], across[:, 0])), 10.0, atol=0.01)


def test_a_large_picture_made_small_is_the_small_picture() -> None:
    faces = sample_factors(24, seed=6, images_per_identity=1)
    large, small = render(faces, 128), render(faces, 64)
    for one, two in zip(large.images, small.images, strict=True):
        shrunk = np.asarray(Image.fromarray(one).resize((64, 64), Image.Resampling.BOX)).astype(float)
        assert np.abs(shrunk - two).mean() < 3.0
    np.testing.assert_allclose(large.landmarks, 2 * small.landmarks, rtol=1e-5)
    assert np.mean(large.parts[:, ::2, ::2] == small.parts) > 0.97


def test_every_plain_face_has_every_part_of_a_face() -> None:
    parts = render(_plain_faces(50), 64).parts
    assert parts.max() < len(PARTS)
    for name in ("background", "skin", "eyes", "brows", "nose", "mouth", "hair"):
        assert np.all((parts == PARTS.index(name)).sum(axis=(1, 2)) >= 3), name


def test_bald_heads_have_no_hair_and_hats_cover() -> None:
    faces = _plain_faces(10)
    assert np.mean(render(faces.changed("baldness", 1.0), 64).parts == PARTS.index("hair")) == 0
    hats = render(faces.changed("hat", 1.0), 64).parts == PARTS.index("hat")
    assert np.all(hats.mean(axis=(1, 2)) > 0.04)


@pytest.mark.parametrize("size", [31, 1025])
def test_sizes_outside_the_range_are_refused(size: int) -> None:
    with pytest.raises(WrongUsage, match=f"between 32 and 1024 pixels, got {size}"):
        render(sample_factors(1, seed=0), size)


def test_the_largest_size_works() -> None:
    assert render(sample_factors(1, seed=0), 1024).images.shape == (1, 1024, 1024, 3)


def test_no_faces_is_an_empty_table() -> None:
    assert render(sample_factors(0, seed=0), 64).images.shape == (0, 64, 64, 3)

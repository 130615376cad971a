"""From bytes to a face: every setting, every kind of bad content, and real faces where they are at hand."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from raypipe.errors import BadWeights, WrongUsage
from raypipe.faces import STATUSES
from raypipe.pipeline.encode.face_decoder import FaceConfig, FaceDecoder
from tests.pipeline.encode.image_files import encoded, exif, one_of_each, smooth_picture
from tests.shared_files import data

EYES_UP = np.array([[69, 111], [108, 111], [88, 135], [73, 152], [105, 152]], np.float32)
FILES = one_of_each(smooth_picture(60, 44))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the detector's layers are too small to share
    yield
    torch.set_num_threads(threads)


def detecting(size: int) -> FaceDecoder:
    return FaceDecoder(FaceConfig(align="ffhq", detector=str(data("weights/mtcnn_facenet-pytorch"))), size)


def celeba_files(count: int) -> list[Path]:
    files = sorted(data("celeba10k/img_align_celeba").glob("*.jpg"))
    return files[:: len(files) // count][:count]


@pytest.mark.parametrize("align", ["none", "center", "celeba", "ffhq"])
def test_a_good_picture_gives_a_face(align: str) -> None:
    content = encoded(smooth_picture(178, 218), "JPEG")
    face = FaceDecoder(FaceConfig(align=align), 48)(content, EYES_UP)
    assert (face.status, face.error, face.width, face.height) == ("ok", "", 178, 218)
    assert face.pixels is not None
    assert face.pixels.shape == (48, 48, 3)
    assert face.pixels.dtype == np.uint8
    face.pixels[0] = 0  # not a view of something read-only


@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
@pytest.mark.parametrize("align", ["none", "center", "celeba", "ffhq"])
def test_a_jpeg_decoded_small_gives_the_face_of_the_whole_decoding(align: str, orientation: int) -> None:
    picture = smooth_picture(1424, 1744)
    back = {1: None, 3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE}
    turn = back[orientation]
    stored = picture if turn is None else picture.transpose(turn)
    decoder = FaceDecoder(FaceConfig(align=align), 64)
    small = decoder(encoded(stored, "JPEG", quality=95, exif=exif(orientation)), EYES_UP * 8)
    whole = decoder(encoded(picture, "PNG"), EYES_UP * 8)
    assert (small.width, small.height) == (whole.width, whole.height) == (1424, 1744)
    assert small.pixels is not None
    assert whole.pixels is not None
    assert np.abs(small.pixels.astype(int) - whole.pixels).max() <= 6


def test_what_is_wrong_is_told_with_its_values() -> None:
    decoder = FaceDecoder(FaceConfig(align="ffhq", max_pixels=2000, min_side=20), 16)
    told = {
        "decode_empty": (b"", None),
        "decode_not_an_image": (b"GIF88a", None),
        "decode_truncated": (encoded(smooth_picture(30, 30), "PNG")[:200], EYES_UP / 8),
        "bomb": (FILES["png"], None),
        "too_small": (encoded(smooth_picture(100, 19), "PNG"), None),
        "no_landmarks": (encoded(smooth_picture(30, 30), "PNG"), None),
    }
    for status, item in told.items():
        face = decoder(*item)
        assert face.status == status, face
        assert face.status in STATUSES
        assert face.error
        assert face.pixels is None
    assert decoder(*told["bomb"]).width == 60
    assert decoder(*told["decode_empty"]).width == 0


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(sorted(FILES)),
    align=st.sampled_from(["none", "center", "celeba", "ffhq"]),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8),
    numbers=st.lists(st.floats(width=32), min_size=10, max_size=10),
)
def test_nothing_is_raised_for_bad_content(
    kind: str, align: str, changes: list[tuple[float, int]], numbers: list[float]
) -> None:
    content = bytearray(FILES[kind])
    for place, value in changes:
        content[int(place * len(content))] = value
    landmarks = np.array(numbers, np.float32).reshape(5, 2)
    face = FaceDecoder(FaceConfig(align=align, max_pixels=10**6), 24)(bytes(content), landmarks)
    assert face.status in STATUSES
    assert (face.error == "") == (face.status == "ok") == (face.pixels is not None)
    if face.pixels is not None:
        assert face.pixels.shape == (24, 24, 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"align": "square"}, "'square' is not one of"),
        ({"max_pixels": 0}, "max_pixels=0"),
        ({"max_pixels": 10**9}, "max_pixels=1000000000"),
        ({"min_side": 0}, "min_side=0"),
        ({"detector": "somewhere", "align": "center"}, "use align=ffhq"),
        ({"detector_min_score": 1.5}, "detector_min_score=1.5"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, str | int | float], message: str) -> None:
    with pytest.raises(WrongUsage, match=message):
        FaceConfig(**settings)  # type: ignore[arg-type]


def test_missing_detector_weights_are_told_before_the_first_image(tmp_path: Path) -> None:
    with pytest.raises(BadWeights, match=r"pnet\.pt is missing"):
        FaceDecoder(FaceConfig(align="ffhq", detector=str(tmp_path)), 64)


def test_it_travels_to_another_process() -> None:
    decoder = FaceDecoder(FaceConfig(align="none"), 24)
    copy = pickle.loads(pickle.dumps(decoder))
    for content in FILES.values():
        assert np.array_equal(decoder(content, None).pixels, copy(content, None).pixels)


def test_real_faces_in_the_celeba_crop() -> None:
    decoder = FaceDecoder(FaceConfig(align="celeba"), 64)
    faces = [decoder(file.read_bytes(), None) for file in celeba_files(40)]
    assert {(face.status, face.width, face.height) for face in faces} == {("ok", 89, 109)}


def test_the_detector_finds_the_square_that_ffhq_faces_were_cut_to() -> None:
    """Pictures of a generator that learned from FFHQ: cutting them again must change little."""
    decoder = detecting(256)
    changes = []
    for number in range(1, 13):
        file = data(f"omi/images_256/{number}.jpg")
        face = decoder(file.read_bytes(), None)
        assert face.pixels is not None, face
        picture = np.asarray(Image.open(file).convert("RGB").resize((32, 32), Image.Resampling.BOX), np.float64)
        again = np.asarray(Image.fromarray(face.pixels).resize((32, 32), Image.Resampling.BOX), np.float64)
        changes.append(np.corrcoef(picture.ravel(), again.ravel())[0, 1])
    assert np.median(changes) > 0.97


def test_landmarks_of_the_source_come_before_the_detector() -> None:
    content = celeba_files(1)[0].read_bytes()
    given_face = detecting(64)(content, EYES_UP / 2)
    alone = FaceDecoder(FaceConfig(align="ffhq"), 64)(content, EYES_UP / 2)
    assert np.array_equal(given_face.pixels, alone.pixels)
    missing = detecting(64)(content, np.full((5, 2), np.nan, np.float32))
    assert missing.status == "ok"


def test_a_picture_without_a_face_is_told() -> None:
    face = detecting(64)(encoded(smooth_picture(200, 200), "PNG"), None)
    assert (face.status, face.width, face.pixels) == ("no_face", 200, None)

"""The networks by identities, the cascade on real faces whose landmarks are known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from raypipe.backbones.mtcnn import FILES, Cascade, FoundFace, largest_face, load_cascade
from raypipe.backbones.mtcnn.cascade import Array, _Candidates, _without_overlaps
from raypipe.backbones.mtcnn.networks import OutputNet, ProposalNet, RefineNet
from raypipe.errors import BadWeights
from tests.shared_files import data

# Of CelebA's aligned 178x218 layout: eyes, nose, mouth corners.
CELEBA_FACE = np.array([[69.0, 111.0], [108.0, 111.0], [88.0, 135.0], [73.0, 152.0], [105.0, 152.0]])


@pytest.fixture(scope="module")
def cascade() -> Iterator[Cascade]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the layers are too small to share
    yield load_cascade(str(data("weights/mtcnn_facenet-pytorch")))
    torch.set_num_threads(threads)


def celeba_pictures(count: int) -> list[Image.Image]:
    files = sorted(data("celeba10k/img_align_celeba").glob("*.jpg"))
    return [Image.open(file).convert("RGB") for file in files[:: len(files) // count][:count]]


def found(cascade: Cascade, picture: Image.Image) -> FoundFace:
    return largest_face(cascade.detect(picture))


def test_the_proposal_net_sees_every_window_as_if_alone() -> None:
    torch.manual_seed(0)
    net = ProposalNet().eval()
    picture = torch.randn(1, 3, 30, 26)
    scores, corrections = net(picture)
    for row, column in [(0, 0), (3, 5), (9, 7)]:
        window = picture[:, :, 2 * row : 2 * row + 12, 2 * column : 2 * column + 12]
        alone_score, alone_corrections = net(window)
        assert torch.allclose(scores[:, row, column], alone_score[:, 0, 0], atol=1e-6)
        assert torch.allclose(corrections[:, :, row, column], alone_corrections[:, :, 0, 0], atol=1e-6)


def test_the_other_nets_take_their_one_size() -> None:
    scores, corrections = RefineNet()(torch.zeros(2, 3, 24, 24))
    assert (scores.shape, corrections.shape) == ((2,), (2, 4))
    scores, corrections, points = OutputNet()(torch.zeros(2, 3, 48, 48))
    assert (scores.shape, corrections.shape, points.shape) == ((2,), (2, 4), (2, 10))


def slow_selection(boxes: Array, scores: Array, limit: float) -> list[int]:
    def union_share(a: Array, b: Array) -> float:
        shared = max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)
        areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
        return float(shared / (sum(areas) - shared))

    kept: list[int] = []
    for candidate in sorted(range(len(scores)), key=lambda i: -scores[i]):
        if all(union_share(boxes[candidate], boxes[other]) <= limit for other in kept):
            kept.append(candidate)
    return kept


@pytest.mark.parametrize("limit", [0.0, 0.3, 0.7])
def test_overlapping_boxes_lose_to_the_better_one(limit: float) -> None:
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 60, (80, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(5, 40, (80, 2))], axis=1)
    scores = rng.uniform(size=80)
    assert _without_overlaps(_Candidates(boxes, scores), limit) == slow_selection(boxes, scores, limit)


def test_a_box_inside_a_better_one_goes_when_the_smaller_counts() -> None:
    boxes = np.array([[0.0, 0, 100, 100], [40, 40, 60, 60]])
    candidates = _Candidates(boxes, np.array([0.9, 0.8]))
    assert _without_overlaps(candidates, 0.7) == [0, 1]
    assert _without_overlaps(candidates, 0.7, of_smaller=True) == [0]


def test_the_largest_face_counts_its_probability() -> None:
    def face(side: float, score: float) -> FoundFace:
        return FoundFace(np.array([0, 0, side, side]), score, np.zeros((5, 2)))

    large, small, doubtful = face(20, 0.9), face(10, 1.0), face(21, 0.71)
    assert largest_face([small, large, doubtful]) is large


def test_real_faces_are_found_where_they_are(cascade: Cascade) -> None:
    pictures = celeba_pictures(60)
    found_faces = [cascade.detect(picture) for picture in pictures]
    assert sum(map(bool, found_faces)) >= 57
    landmarks = np.stack([largest_face(faces).landmarks for faces in found_faces if faces]) * 2  # stored at half size
    assert np.abs(np.median(landmarks, axis=0) - CELEBA_FACE).max() < 3
    eyes_off = np.linalg.norm(landmarks[:, :2] - CELEBA_FACE[:2], axis=-1)
    assert np.median(eyes_off) < 3


def test_the_same_picture_gives_the_same_numbers(cascade: Cascade) -> None:
    picture = celeba_pictures(1)[0]
    first, second = found(cascade, picture), found(cascade, picture)
    assert first.score == second.score
    assert np.array_equal(first.landmarks, second.landmarks)


def test_a_face_that_moves_and_grows_takes_its_landmarks_along(cascade: Cascade) -> None:
    picture = celeba_pictures(1)[0].resize((178, 218), Image.Resampling.BICUBIC)
    canvas = Image.new("RGB", (400, 380), (90, 90, 90))
    canvas.paste(picture, (150, 90))
    large = picture.resize((534, 654), Image.Resampling.BICUBIC)
    here = found(cascade, picture).landmarks
    assert np.abs(found(cascade, canvas).landmarks - here - [150, 90]).max() < 5
    assert np.abs(found(cascade, large).landmarks / 3 - here).max() < 5


def test_two_faces_are_two(cascade: Cascade) -> None:
    left, right = (picture.resize((178, 218), Image.Resampling.BICUBIC) for picture in celeba_pictures(2))
    both = Image.new("RGB", (356, 218))
    both.paste(left, (0, 0))
    both.paste(right, (178, 0))
    middles = sorted(face.landmarks[:, 0].mean() for face in cascade.detect(both))
    assert len(middles) == 2
    assert middles[0] < 178 < middles[1]


@pytest.mark.parametrize("size", [(1, 1), (16, 500), (64, 64), (300, 200)])
def test_noise_and_tiny_pictures_have_no_face(cascade: Cascade, size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    assert cascade.detect(Image.fromarray(noise)) == []


def test_weights_that_are_missing_damaged_or_of_another_network(tmp_path: Path) -> None:
    with pytest.raises(BadWeights, match=r"pnet\.pt is missing; a face detector has pnet\.pt, rnet\.pt, onet\.pt"):
        load_cascade(str(tmp_path))
    for file in FILES:
        torch.save(RefineNet().state_dict(), tmp_path / file)
    with pytest.raises(BadWeights, match=r"pnet\.pt does not hold the weights"):
        load_cascade(str(tmp_path))
    (tmp_path / "pnet.pt").write_bytes(b"not a file of tensors")
    with pytest.raises(BadWeights, match=r"pnet\.pt does not hold the weights"):
        load_cascade(str(tmp_path))

"""From a picture to faces: windows of all sizes, thinned and corrected by three networks in turn (Zhang et al. 2016).

Boxes are ``left, top, right, bottom`` in pixels, right and bottom excluded, [n,4] float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor, nn

from raypipe.backbones.mtcnn.networks import OutputNet, ProposalNet, RefineNet

Array = npt.NDArray[np.float64]

WINDOW = 12  # side of the proposal network's window
WINDOW_STRIDE = 2
REFINE_SIDE, OUTPUT_SIDE = 24, 48  # what the other two look at
PYRAMID_FACTOR = 0.709  # about 1/sqrt(2): every octave of face sizes is looked at twice
THRESHOLDS = (0.6, 0.7)  # of the proposal and of the refinement
OVERLAP_IN_LEVEL, OVERLAP = 0.5, 0.7
SMALLEST_FACE = 20  # pixels; below it the networks see mere upscaling


@dataclass(frozen=True, eq=False)
class FoundFace:
    """``box`` [4], ``landmarks`` [5,2] (x, y) in pixels: eyes, nose, mouth corners, the left in the picture first."""

    box: Array
    score: float
    landmarks: Array


@dataclass(frozen=True, eq=False)
class _Candidates:
    boxes: Array  # [n,4]
    scores: Array  # [n]


class Cascade(nn.Module):
    """The three networks in turn. The work hardly grows with the picture: see ``detect``."""

    def __init__(self, *, min_face_share: float = 0.1, min_score: float = 0.7) -> None:
        """Faces of at least ``min_face_share`` of the picture's shorter side, of a probability over ``min_score``."""
        super().__init__()
        self.proposal, self.refinement, self.output = ProposalNet(), RefineNet(), OutputNet()
        self._min_face_share = min_face_share
        self._min_score = min_score

    @torch.inference_mode()
    def detect(self, image: Image.Image) -> list[FoundFace]:
        """Faces of an RGB picture, the most probable first.

        The networks work on a copy in which the smallest wanted face has the 48 pixels that the last one looks at.
        """
        side = min(image.size)
        scale = min(1.0, OUTPUT_SIDE / (self._min_face_share * side))
        working = image.resize(_scaled(image.size, scale), Image.Resampling.BOX, reducing_gap=2.0)
        candidates = self._refine(working, self._propose(working))
        ratio = np.array(image.size) / np.array(working.size)
        return [
            FoundFace(face.box * np.tile(ratio, 2), face.score, face.landmarks * ratio)
            for face in self._faces(working, candidates)
        ]

    def _propose(self, working: Image.Image) -> _Candidates:
        side = min(working.size)
        smallest = max(SMALLEST_FACE, self._min_face_share * side)
        scale = WINDOW / smallest
        levels = []
        while side * scale >= WINDOW:
            levels.append(self._windows(working, _scaled(working.size, scale)))
            scale *= PYRAMID_FACTOR
        if not levels:
            return _Candidates(np.empty((0, 4)), np.empty(0))
        boxes = np.concatenate([level.boxes for level in levels])
        return _thinned(_Candidates(boxes, np.concatenate([level.scores for level in levels])))

    def _windows(self, working: Image.Image, size: tuple[int, int]) -> _Candidates:
        """The likely windows of one level of the pyramid, in the working copy's pixels."""
        level = working.resize(size, Image.Resampling.BOX)
        probabilities, corrections = self.proposal(_tensor([level]))
        scores = probabilities[0].double().numpy()
        rows, columns = np.nonzero(scores >= THRESHOLDS[0])
        corners = np.stack([columns, rows, columns, rows], axis=1) * WINDOW_STRIDE + [0, 0, WINDOW, WINDOW]
        boxes = corners * np.tile(np.array(working.size) / np.array(size), 2)
        found = _Candidates(boxes, scores[rows, columns])
        kept = _without_overlaps(found, OVERLAP_IN_LEVEL)
        moved = _corrected(boxes, corrections[0].double().numpy()[:, rows, columns].T)
        return _Candidates(moved[kept], found.scores[kept])

    def _refine(self, working: Image.Image, candidates: _Candidates) -> _Candidates:
        if not len(candidates.scores):
            return candidates
        boxes = _squares(candidates.boxes)
        probabilities, corrections = self.refinement(_crops(working, boxes, REFINE_SIDE))
        scores = probabilities.double().numpy()
        passed = scores >= THRESHOLDS[1]
        moved = _corrected(boxes, corrections.double().numpy())
        return _thinned(_Candidates(moved[passed], scores[passed]))

    def _faces(self, working: Image.Image, candidates: _Candidates) -> list[FoundFace]:
        if not len(candidates.scores):
            return []
        boxes = _squares(candidates.boxes)
        probabilities, corrections, points = self.output(_crops(working, boxes, OUTPUT_SIDE))
        scores = probabilities.double().numpy()
        landmarks = points.double().numpy().reshape(-1, 2, 5).transpose(0, 2, 1)
        landmarks = boxes[:, None, :2] + landmarks * (boxes[:, None, 2:] - boxes[:, None, :2])
        moved = _corrected(boxes, corrections.double().numpy())
        passed = np.nonzero(scores >= self._min_score)[0]
        kept = passed[_without_overlaps(_Candidates(moved[passed], scores[passed]), OVERLAP, of_smaller=True)]
        return [FoundFace(moved[i], float(scores[i]), landmarks[i]) for i in kept]


def largest_face(faces: Sequence[FoundFace]) -> FoundFace:
    """The one that the picture is of: the largest area times probability."""
    return max(faces, key=lambda face: float(np.prod(face.box[2:] - face.box[:2])) * face.score)


def _scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)


def _tensor(images: Sequence[Image.Image]) -> Tensor:
    pixels = torch.from_numpy(np.stack([np.asarray(image) for image in images]))
    return pixels.permute(0, 3, 1, 2).float().sub(127.5).div(128.0)


def _crops(working: Image.Image, boxes: Array, side: int) -> Tensor:
    """[n,3,side,side]. What lies outside the picture is black."""
    margin = int(np.ceil(max(-boxes[:, :2].min(), (boxes[:, 2:] - working.size).max(), 0)))
    canvas = Image.new("RGB", (working.width + 2 * margin, working.height + 2 * margin))
    canvas.paste(working, (margin, margin))
    crops = [
        canvas.resize((side, side), Image.Resampling.BOX, box=(left, top, right, bottom))
        for left, top, right, bottom in (boxes + margin).tolist()
    ]
    return _tensor(crops)


def _squares(boxes: Array) -> Array:
    """Around the same centres, as large as the longer side."""
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = np.maximum((boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True) / 2, 0.5)
    return np.concatenate([centers - half, centers + half], axis=1)


def _corrected(boxes: Array, corrections: Array) -> Array:
    """Every edge moved by the network's share of the box's width or height."""
    return boxes + corrections * np.tile(boxes[:, 2:] - boxes[:, :2], 2)


def _thinned(candidates: _Candidates) -> _Candidates:
    kept = _without_overlaps(candidates, OVERLAP)
    return _Candidates(candidates.boxes[kept], candidates.scores[kept])


def _without_overlaps(candidates: _Candidates, limit: float, *, of_smaller: bool = False) -> list[int]:
    """Indexes, best first, of boxes that share at most ``limit`` of the union (or of the smaller) with a better one."""
    boxes = candidates.boxes
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    left = np.argsort(-candidates.scores, kind="stable")
    kept: list[int] = []
    while len(left):
        best, others = left[0], left[1:]
        kept.append(int(best))
        overlap = np.minimum(boxes[best, 2:], boxes[others, 2:]) - np.maximum(boxes[best, :2], boxes[others, :2])
        shared = np.prod(np.maximum(overlap, 0), axis=1)
        smaller, union = np.minimum(areas[best], areas[others]), areas[best] + areas[others] - shared
        left = others[shared <= limit * (smaller if of_smaller else union)]
    return kept

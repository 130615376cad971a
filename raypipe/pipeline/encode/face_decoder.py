"""Image bytes -> one face, or the status that says why not. Never an exception for bad content."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from PIL import Image

from raypipe.errors import WrongUsage
from raypipe.pipeline.encode import align_face
from raypipe.pipeline.encode.align_face import Box, Quad
from raypipe.pipeline.encode.decode_image import MOST_PIXELS, BadImage, StoredImage, check_size, decode, open_image

Align = Literal["auto", "none", "center", "celeba", "ffhq"]
Landmarks = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class FaceConfig:
    """How a picture becomes a face. ``none`` squeezes the whole picture; the others cut a square.

    ``auto`` is for the job to decide by the source's layout; decoding itself takes it as ``center``.
    """

    align: str = "auto"  # one of Align
    max_pixels: int = 64_000_000
    min_side: int = 16  # pixels
    detector: str = ""  # directory or URI of MTCNN weights: finds the landmarks that the source lacks; "" = off
    detector_min_face: float = 0.1  # smallest face that it looks for, as a share of the picture's shorter side
    detector_min_score: float = 0.7  # probability

    def __post_init__(self) -> None:
        if self.align not in get_args(Align):
            raise WrongUsage(f"align={self.align!r} is not one of {', '.join(get_args(Align))}")
        if not 1 <= self.max_pixels <= MOST_PIXELS:
            raise WrongUsage(f"max_pixels={self.max_pixels} is outside [1, {MOST_PIXELS}]")
        if self.min_side < 1:
            raise WrongUsage(f"min_side={self.min_side} must be at least 1")
        if self.detector and self.align != "ffhq":
            raise WrongUsage(f"a detector finds landmarks, and align={self.align!r} uses none: use align=ffhq")
        for name, value in (("face", self.detector_min_face), ("score", self.detector_min_score)):
            if not 0 < value <= 1:
                raise WrongUsage(f"detector_min_{name}={value} is outside (0, 1]")


@dataclass(frozen=True)
class DecodedFace:
    """``pixels`` uint8 [size,size,3] RGB, None unless ok. ``width``, ``height``: upright original, 0 if unknown."""

    status: str
    error: str
    width: int
    height: int
    pixels: npt.NDArray[np.uint8] | None


class FaceDecoder:
    """Decodes, turns upright, aligns and resizes. In another process it is built anew from its settings."""

    def __init__(self, config: FaceConfig, size: int) -> None:
        if size < 1:
            raise WrongUsage(f"size={size} must be at least 1")
        if config.detector:
            _landmark_finder(config)  # bad weights are told here, not with the first image
        self._config = config
        self._size = size

    def __reduce__(self) -> tuple[type[FaceDecoder], tuple[FaceConfig, int]]:
        # So a decode process loads the detector before its first image, whose time limit is not for that.
        return FaceDecoder, (self._config, self._size)

    def __call__(self, content: bytes, landmarks: Landmarks | None) -> DecodedFace:
        """``landmarks`` [5,2] or [68,2] in pixels of the upright picture; only ``ffhq`` looks at them."""
        width = height = 0
        try:
            stored = open_image(content)
            width, height = stored.width, stored.height
            check_size(stored, max_pixels=self._config.max_pixels, min_side=self._config.min_side)
            if self._config.detector and (landmarks is None or not np.isfinite(landmarks).all()):
                pixels = self._cut_found_face(stored)
            else:
                pixels = self._cut(stored, landmarks)
        except BadImage as problem:
            return DecodedFace(problem.status, str(problem), width, height, None)
        return DecodedFace("ok", "", width, height, pixels)

    def _cut(self, stored: StoredImage, landmarks: Landmarks | None) -> npt.NDArray[np.uint8]:
        region = self._region(stored.width, stored.height, landmarks)
        # At least two decoded pixels for each of the face's: the resize does the rest of the averaging.
        picture = decode(stored, max_shrink=int(region.side / (2 * self._size)))
        return region.cut(picture, self._size)

    def _cut_found_face(self, stored: StoredImage) -> npt.NDArray[np.uint8]:
        picture = decode(stored)
        landmarks = _landmark_finder(self._config)(picture.image)
        if landmarks is None:
            raise BadImage("no_face", f"the detector found no face in the {stored.width}x{stored.height} picture")
        return align_face.ffhq_quad(landmarks, stored.width, stored.height).cut(picture, self._size)

    def _region(self, width: int, height: int, landmarks: Landmarks | None) -> Box | Quad:
        if self._config.align == "none":
            return align_face.whole_box(width, height)
        if self._config.align in ("auto", "center"):
            return align_face.center_box(width, height)
        if self._config.align == "celeba":
            return align_face.celeba_box(width, height)
        if landmarks is None:
            raise BadImage("no_landmarks", "align=ffhq needs landmarks, and the source gives none for this image")
        return align_face.ffhq_quad(landmarks, width, height)


@functools.cache
def _landmark_finder(config: FaceConfig) -> Callable[[Image.Image], npt.NDArray[np.float64] | None]:
    """Landmarks [5,2] of the largest face, None where there is no face. Built once a process, where it is used."""
    from raypipe.backbones.mtcnn import largest_face, load_cascade  # torch: over a second that others do without

    cascade = load_cascade(
        config.detector, min_face_share=config.detector_min_face, min_score=config.detector_min_score
    )

    def find(image: Image.Image) -> npt.NDArray[np.float64] | None:
        faces = cascade.detect(image)
        return largest_face(faces).landmarks if faces else None

    return find

"""Which part of a picture becomes the face, and how it is cut out. Coordinates are pixels of the upright original."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from raypipe.pipeline.encode.decode_image import BadImage, Picture

Points = npt.NDArray[np.float64]

CELEBA_WIDTH, CELEBA_HEIGHT = 178, 218
CELEBA_CROP = (15, 40, 163, 188)

MAX_QUAD_SIDE = 4.0
"""A face this many times larger than its picture is a mistake of the landmarks."""


@dataclass(frozen=True)
class Box:
    """An upright rectangle, ``right`` and ``bottom`` excluded."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def side(self) -> float:
        """The shorter one, in pixels of the original."""
        return min(self.right - self.left, self.bottom - self.top)

    def cut(self, picture: Picture, size: int) -> npt.NDArray[np.uint8]:
        """[size,size,3] RGB: means of whole-number blocks, then Lanczos over what is left of the shrinking.

        3 to 14 times as fast as Lanczos alone, and as far from it (41 to 46 dB on photographs) as bilinear is at best.
        """
        scale = 1 / picture.shrink
        box = (self.left * scale, self.top * scale, self.right * scale, self.bottom * scale)
        image = picture.image.resize((size, size), Image.Resampling.LANCZOS, box=box, reducing_gap=1.0)
        return np.array(image)


@dataclass(frozen=True, eq=False)
class Quad:
    """A turned square. ``corners`` [4,2]: top left, bottom left, bottom right, top right of the face, as (x, y)."""

    corners: Points

    @property
    def side(self) -> float:
        return float(np.hypot(*(self.corners[3] - self.corners[0])))

    def cut(self, picture: Picture, size: int) -> npt.NDArray[np.uint8]:
        """[size,size,3] RGB, as FFHQ was cut: shrink, crop, pad what is missing, sample bilinearly."""
        image, corners = picture.image, self.corners / picture.shrink
        image, corners = _shrunk(image, corners, size)
        side = Quad(corners).side
        border = max(round(side * 0.1), 3)
        image, corners = _cropped(image, corners, border)
        image, corners = _padded(image, corners, border, side)
        data = tuple((corners + 0.5).ravel())
        return np.array(image.transform((size, size), Image.Transform.QUAD, data, Image.Resampling.BILINEAR))


def whole_box(width: int, height: int) -> Box:
    """The whole picture; its aspect ratio is not kept."""
    return Box(0, 0, width, height)


def center_box(width: int, height: int) -> Box:
    """The largest square in the middle."""
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return Box(left, top, left + side, top + side)


def celeba_box(width: int, height: int) -> Box:
    """The usual crop of CelebA's aligned layout, (15,40)-(163,188) of 178x218, scaled by width / 178.

    Raises:
        BadImage: ``decode_error``: the picture is not of that layout.
    """
    # 1.5: both sides of a scaled copy are rounded to whole pixels.
    if abs(height - width * CELEBA_HEIGHT / CELEBA_WIDTH) > 1.5:
        raise BadImage(
            "decode_error",
            f"{width}x{height} is not the layout of aligned CelebA ({CELEBA_WIDTH}x{CELEBA_HEIGHT} or scaled)",
        )
    scale = width / CELEBA_WIDTH
    left, top, right, bottom = (edge * scale for edge in CELEBA_CROP)
    return Box(left, top, right, min(bottom, height))


def ffhq_quad(landmarks: npt.NDArray[np.generic], width: int, height: int) -> Quad:
    """The square that FFHQ cuts around a face (Karras et al. 2019, appendix A; as pSp and e4e were trained on).

    Args:
        landmarks: [68,2] in dlib's order, or [5,2]: the eyes, the nose, the mouth's corners, the left in the picture
            first, as CelebA's file and MTCNN give them.
        width, height: of the upright original.

    Raises:
        BadImage: ``no_landmarks``: of another shape, not finite, or no possible face of this picture.
    """
    points = np.asarray(landmarks, dtype=np.float64)
    if points.shape not in ((5, 2), (68, 2)):
        raise BadImage("no_landmarks", f"landmarks of shape {list(points.shape)}; allowed are [5, 2] and [68, 2]")
    if not np.isfinite(points).all():
        raise BadImage("no_landmarks", "landmarks that are not finite numbers")
    left_eye, right_eye, left_mouth, right_mouth = _eyes_and_mouth(points)
    eye_to_eye = right_eye - left_eye
    eyes = (left_eye + right_eye) * 0.5
    eyes_to_mouth = (left_mouth + right_mouth) * 0.5 - eyes
    across = eye_to_eye - _quarter_turn(eyes_to_mouth)
    length = np.hypot(*across)
    half = max(np.hypot(*eye_to_eye) * 2.0, np.hypot(*eyes_to_mouth) * 1.8)
    center = eyes + eyes_to_mouth * 0.1
    _check_possible(float(length), float(half), center, width, height)
    x = across / length * half
    y = _quarter_turn(x)
    return Quad(np.stack([center - x - y, center - x + y, center + x + y, center + x - y]))


def _eyes_and_mouth(points: Points) -> tuple[Points, Points, Points, Points]:
    if len(points) == 5:
        return points[0], points[1], points[3], points[4]
    return points[36:42].mean(axis=0), points[42:48].mean(axis=0), points[48], points[54]


def _quarter_turn(vector: Points) -> Points:
    x, y = vector
    return np.array([-y, x])


def _check_possible(length: float, half: float, center: Points, width: int, height: int) -> None:
    x, y = center
    if length < 1e-6 or half < 1.0:
        raise BadImage("no_landmarks", "landmarks that fall together: eyes and mouth span no face")
    if not (0 <= x <= width and 0 <= y <= height):
        raise BadImage("no_landmarks", f"landmarks around ({x:.0f}, {y:.0f}), outside the {width}x{height} picture")
    if 2 * half > MAX_QUAD_SIDE * max(width, height):
        raise BadImage(
            "no_landmarks",
            f"landmarks of a face {2 * half:.0f} pixels large in a {width}x{height} picture; "
            f"at most {MAX_QUAD_SIDE:g} times the picture is believed",
        )


def _shrunk(image: Image.Image, corners: Points, size: int) -> tuple[Image.Image, Points]:
    shrink = int(Quad(corners).side / size * 0.5)
    if shrink <= 1:
        return image, corners
    smaller = (max(round(image.width / shrink), 1), max(round(image.height / shrink), 1))
    return image.resize(smaller, Image.Resampling.LANCZOS), corners / shrink


def _cropped(image: Image.Image, corners: Points, border: int) -> tuple[Image.Image, Points]:
    left, top = np.maximum(np.floor(corners.min(axis=0)).astype(int) - border, 0)
    right, bottom = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + border, image.size)
    return image.crop((left, top, right, bottom)), corners - np.array([left, top])


def _padded(image: Image.Image, corners: Points, border: int, side: float) -> tuple[Image.Image, Points]:
    """Mirror what the picture lacks, blur it with the distance from the picture, and fade it to the median colour."""
    before = np.maximum(border - np.floor(corners.min(axis=0)).astype(int), 0)
    after = np.maximum(np.ceil(corners.max(axis=0)).astype(int) - image.size + border, 0)
    if max(*before, *after) <= border - 4:
        return image, corners
    from scipy.ndimage import gaussian_filter  # a third of a second to import, and few pictures need it

    least = round(side * 0.3)
    (left, top), (right, bottom) = np.maximum(before, least), np.maximum(after, least)
    pixels = np.pad(np.asarray(image, np.float32), ((top, bottom), (left, right), (0, 0)), "reflect")
    height, width, _ = pixels.shape
    y, x, _ = np.ogrid[:height, :width, :1]
    # 1 at the new edge, 0 at the picture's, negative inside.
    depth_x = 1.0 - np.minimum(np.float32(x) / left, np.float32(width - 1 - x) / right)
    depth_y = 1.0 - np.minimum(np.float32(y) / top, np.float32(height - 1 - y) / bottom)
    depth = np.maximum(depth_x, depth_y)
    blur = side * 0.02
    pixels += (gaussian_filter(pixels, [blur, blur, 0]) - pixels) * np.clip(depth * 3.0 + 1.0, 0.0, 1.0)
    pixels += (np.median(pixels, axis=(0, 1)) - pixels) * np.clip(depth, 0.0, 1.0)
    padded = Image.fromarray(np.uint8(np.clip(np.rint(pixels), 0, 255)))
    return padded, corners + np.array([left, top])

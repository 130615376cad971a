"""What a made-up face is made of: a table of named continuous factors, one row a face."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from raypipe.errors import WrongUsage

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Factor:
    """One continuous cause of pixels.

    ``group`` is ``identity`` where all pictures of a person share it, ``look`` where it changes from one to the next.
    ``share`` is set for things that are there or not: the share of sampled faces whose value is above 0.5. Sampled
    values then keep clear of 0.5; the picture fades between 0.35 and 0.65.
    """

    name: str
    group: Literal["identity", "look"]
    low: float
    high: float
    meaning: str
    share: float | None = None


def _identity(name: str, meaning: str, *, low: float = 0.0, high: float = 1.0, share: float | None = None) -> Factor:
    return Factor(name, "identity", low, high, meaning, share)


def _look(name: str, meaning: str, *, low: float = 0.0, high: float = 1.0, share: float | None = None) -> Factor:
    return Factor(name, "look", low, high, meaning, share)


FACTORS: tuple[Factor, ...] = (
    _identity("masculinity", "jaw, brow ridge, neck and lashes of a woman (0) or a man (1)", share=0.5),
    _identity("age", "wrinkles, folds, bags under the eyes: 0 young, 1 old"),
    _identity("face_width", "narrow to wide"),
    _identity("jaw_width", "pointed to square"),
    _identity("chin_length", "short to long lower face"),
    _identity("chubbiness", "hollow to full cheeks"),
    _identity("cheekbones", "flat to high"),
    _identity("skin_tone", "pale to dark"),
    _identity("skin_warmth", "pinkish to golden"),
    _identity("freckles", "none to many"),
    _identity("eye_size", "small to large"),
    _identity("eye_spacing", "close to wide apart"),
    _identity("eye_tilt", "outer corners down to up"),
    _identity("eye_colour", "dark brown, hazel, green, blue"),
    _identity("brow_thickness", "thin to bushy"),
    _identity("brow_arch", "flat to arched"),
    _identity("nose_width", "narrow to wide"),
    _identity("nose_length", "short to long"),
    _identity("nose_ridge", "flat to prominent"),
    _identity("mouth_width", "small to wide"),
    _identity("lip_fullness", "thin to full"),
    _identity("ear_size", "small to large"),
    _identity("hair_lightness", "black, brown, blond"),
    _identity("hair_redness", "ash to red"),
    _identity("hair_grey", "natural colour to grey", share=0.2),
    _identity("hair_wave", "straight to wavy"),
    _identity("hairline", "low to receding"),
    _identity("baldness", "hair on top to none", share=0.1),
    _look("smile", "corners of the mouth down to up, cheeks lifted", low=-0.4),
    _look("mouth_open", "closed to open"),
    _look("eye_open", "eyes narrowed to wide open"),
    _look("brow_raise", "brows lowered to raised", low=-1.0),
    _look("gaze_x", "eyes to the left edge to the right edge", low=-1.0),
    _look("gaze_y", "eyes up to down", low=-1.0),
    _look("yaw", "degrees; positive turns to the right edge", low=-25.0, high=25.0),
    _look("pitch", "degrees; positive looks down", low=-12.0, high=12.0),
    _look("roll", "degrees; positive is clockwise", low=-12.0, high=12.0),
    _look("zoom", "far to near", low=-1.0),
    _look("shift_x", "left to right in the frame", low=-1.0),
    _look("shift_y", "up to down in the frame", low=-1.0),
    _look("light_side", "light from the left edge to the right edge", low=-1.0),
    _look("light_height", "light from below to above", low=-0.3),
    _look("light_contrast", "flat to hard light"),
    _look("light_warmth", "cold to warm light", low=-1.0),
    _look("exposure", "dark to bright", low=-1.0),
    _look("background_hue", "once around the colour circle"),
    _look("background_saturation", "grey to colourful"),
    _look("background_lightness", "dark to light"),
    _look("background_gradient", "how different the two ends of the background are", low=-1.0),
    _look("clothes_hue", "once around the colour circle"),
    _look("clothes_lightness", "dark to light"),
    _look("hair_length", "cropped, to the ears, to the shoulders"),
    _look("hair_volume", "flat to full"),
    _look("hair_part", "parting on the left to on the right", low=-1.0),
    _look("bangs", "forehead free or covered", share=0.3),
    _look("eyeglasses", "without or with", share=0.3),
    _look("glasses_size", "small to large lenses"),
    _look("glasses_roundness", "rectangular to round lenses"),
    _look("glasses_weight", "thin wire to thick frame"),
    _look("lens_tint", "clear lenses or sunglasses (seen only with eyeglasses)", share=0.2),
    _look("hat", "without or with", share=0.1),
    _look("hat_hue", "once around the colour circle"),
    _look("beard", "without or with", share=0.2),
    _look("goatee", "without or with", share=0.2),
    _look("moustache", "without or with", share=0.25),
    _look("stubble", "shaved or with a shadow", share=0.2),
    _look("lipstick", "without or with", share=0.4),
    _look("lipstick_hue", "berry, red, coral"),
    _look("eye_makeup", "without or with", share=0.35),
    _look("blush", "without or with rosy cheeks", share=0.3),
    _look("earrings", "without or with", share=0.25),
    _look("eye_makeup_hue", "blue, violet, brown"),
    _look("glasses_hue", "of thin frames, once around the colour circle"),
)
"""Every factor, in the order of the columns of ``Factors.values``."""

FACTOR_NAMES: tuple[str, ...] = tuple(factor.name for factor in FACTORS)
IDENTITY_FACTORS: tuple[str, ...] = tuple(factor.name for factor in FACTORS if factor.group == "identity")
LOOK_FACTORS: tuple[str, ...] = tuple(factor.name for factor in FACTORS if factor.group == "look")

_COLUMN: Mapping[str, int] = {name: column for column, name in enumerate(FACTOR_NAMES)}


@dataclass(frozen=True)
class Factors:
    """A table of faces: ``values`` float32 [n, factors], columns as ``FACTORS``; ``identity`` and ``index`` int64 [n].

    ``index`` is the face's place in the endless sequence of its seed. A picture depends on ``values`` alone.
    """

    values: FloatArray
    identity: IntArray
    index: IntArray

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, name: str) -> FloatArray:
        """One factor of every face, float32 [n]."""
        return self.values[:, _column(name)]

    def rows(self, rows: slice | npt.NDArray[np.integer | np.bool_]) -> Factors:
        """Some of the faces."""
        return Factors(self.values[rows], self.identity[rows], self.index[rows])

    def changed(self, name: str, value: float | FloatArray) -> Factors:
        """The same faces with one factor set to ``value`` (one number, or [n]): the exact answer to an edit.

        Raises:
            WrongUsage: no such factor, or a value outside its range.
        """
        column = _column(name)
        factor, new = FACTORS[column], np.asarray(value, np.float32)
        if not np.all((new >= factor.low) & (new <= factor.high)):
            raise WrongUsage(f"{name}={value} is outside [{factor.low:g}, {factor.high:g}]")
        values = self.values.copy()
        values[:, column] = new
        return Factors(values, self.identity, self.index)


def _column(name: str) -> int:
    if name not in _COLUMN:
        raise WrongUsage(f"{name!r} is not a factor; factors: {', '.join(FACTOR_NAMES)}")
    return _COLUMN[name]

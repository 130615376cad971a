"""Drawing faces: face ``i`` of a seed is the same whatever else is drawn with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raypipe.errors import WrongUsage
from raypipe.synthfaces.factors import FACTORS, Factor, Factors

Uniform = npt.NDArray[np.float64]

_PEOPLE, _PICTURES = 0, 1
_NUMBERS_PER_ROW = 128
_NUMBERS_PER_COUNT = 4  # Philox gives four 64-bit numbers for each step of its counter
_ABSENT, _PRESENT = (0.0, 0.35), (0.65, 1.0)


def sample_factors(
    count: int, seed: int, *, start: int = 0, images_per_identity: int = 4, correlated: bool = False
) -> Factors:
    """Faces ``start`` to ``start + count`` of the endless sequence that ``seed`` names.

    Args:
        count: how many, at least 0.
        seed: at least 0.
        start: index of the first face; ``sample_factors(8, s)`` is faces 0 to 3 and then ``start=4``'s.
        images_per_identity: consecutive faces that share all identity factors.
        correlated: draw attributes together as in photographs of celebrities (beards on men, grey hair on the old)
            instead of independently of each other.

    Raises:
        WrongUsage: a number below what is allowed.
    """
    for name, value, least in (
        ("count", count, 0),
        ("seed", seed, 0),
        ("start", start, 0),
        ("images_per_identity", images_per_identity, 1),
    ):
        if value < least:
            raise WrongUsage(f"{name} must be at least {least}, got {value}")
    index = np.arange(start, start + count)
    identity = index // images_per_identity
    first = start // images_per_identity
    people = _uniform(seed, _PEOPLE, first, int(identity[-1]) - first + 1 if count else 0)[identity - first]
    pictures = _uniform(seed, _PICTURES, start, count)
    draws = {
        factor.name: (people if factor.group == "identity" else pictures)[:, column]
        for column, factor in enumerate(FACTORS)
    }
    drawn = _correlated(draws) if correlated else {f.name: _value(f, draws[f.name], f.share) for f in FACTORS}
    values = np.stack([drawn[factor.name] for factor in FACTORS], axis=1).astype(np.float32)
    return Factors(values, identity, index)


def _uniform(seed: int, stream: int, start: int, count: int) -> Uniform:
    """Rows ``start`` to ``start + count`` of a stream, [count, 128] in [0, 1): each has its part of the counter."""
    bits = np.random.Philox(key=np.random.SeedSequence([seed, stream]).generate_state(2, np.uint64))
    bits.advance(start * _NUMBERS_PER_ROW // _NUMBERS_PER_COUNT)
    return np.random.Generator(bits).random((count, _NUMBERS_PER_ROW))


def _value(factor: Factor, draw: Uniform, share: float | Uniform | None) -> Uniform:
    """Uniform draws to values: uniform over the range, or two plateaus with ``share`` of the faces on the upper one."""
    if share is None:
        return factor.low + (factor.high - factor.low) * draw
    share = np.clip(share, 1e-9, 1 - 1e-9)
    is_there = draw < share
    within = np.where(is_there, draw / share, (draw - share) / (1 - share))
    low, high = np.where(is_there, _PRESENT[0], _ABSENT[0]), np.where(is_there, _PRESENT[1], _ABSENT[1])
    value: Uniform = low + (high - low) * within
    return value


@dataclass(frozen=True)
class _Shares:
    """Share of faces that have a thing, by sex and age."""

    young_woman: float
    old_woman: float
    young_man: float
    old_man: float


_SHARES: Mapping[str, _Shares] = {
    "hair_grey": _Shares(0.01, 0.45, 0.01, 0.6),
    "baldness": _Shares(0.0, 0.0, 0.03, 0.3),
    "bangs": _Shares(0.3, 0.2, 0.1, 0.03),
    "eyeglasses": _Shares(0.05, 0.2, 0.12, 0.45),
    "hat": _Shares(0.04, 0.04, 0.1, 0.08),
    "beard": _Shares(0.0, 0.0, 0.2, 0.25),
    "goatee": _Shares(0.0, 0.0, 0.18, 0.15),
    "moustache": _Shares(0.0, 0.0, 0.12, 0.25),
    "stubble": _Shares(0.0, 0.0, 0.4, 0.2),
    "lipstick": _Shares(0.75, 0.65, 0.01, 0.01),
    "eye_makeup": _Shares(0.7, 0.4, 0.01, 0.0),
    "blush": _Shares(0.35, 0.15, 0.01, 0.01),
    "earrings": _Shares(0.3, 0.35, 0.03, 0.02),
}

_PULLS: Mapping[str, tuple[tuple[str, float], ...]] = {
    "jaw_width": (("masculinity", 0.4),),
    "brow_thickness": (("masculinity", 0.4),),
    "brow_arch": (("masculinity", -0.4),),
    "nose_width": (("masculinity", 0.3),),
    "lip_fullness": (("masculinity", -0.3),),
    "eye_size": (("masculinity", -0.3),),
    "hair_length": (("masculinity", -0.6),),
    "hair_lightness": (("skin_tone", -0.4),),
    "eye_colour": (("skin_tone", -0.5),),
    "hairline": (("age", 0.4),),
    "chubbiness": (("age", 0.3),),
    "smile": (("masculinity", -0.15),),
    "mouth_open": (("smile", 0.4),),
}
"""Factor -> (cause, weight): its draw becomes (1 - |weight|) own + |weight| cause (or 1 - cause where negative)."""


def _correlated(draws: Mapping[str, Uniform]) -> Mapping[str, Uniform]:
    man, age = (draws["masculinity"] < 0.42).astype(np.float64), draws["age"] ** 1.5
    cause = {**draws, "masculinity": man, "age": age}
    drawn: dict[str, Uniform] = {}
    for factor in FACTORS:
        draw, share = age if factor.name == "age" else draws[factor.name], factor.share
        for name, weight in _PULLS.get(factor.name, ()):
            draw = (1 - abs(weight)) * draw + abs(weight) * (cause[name] if weight > 0 else 1 - cause[name])
        if factor.name == "masculinity":
            drawn[factor.name] = _value(factor, draw, 0.42)
        elif factor.name in _SHARES:
            drawn[factor.name] = _value(factor, draw, _share(_SHARES[factor.name], man, age))
        else:
            drawn[factor.name] = _value(factor, draw, share)
    return drawn


def _share(shares: _Shares, man: Uniform, age: Uniform) -> Uniform:
    woman_share = shares.young_woman + (shares.old_woman - shares.young_woman) * age
    man_share = shares.young_man + (shares.old_man - shares.young_man) * age
    return woman_share + (man_share - woman_share) * man

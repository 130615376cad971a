"""Words for changing a face: ``smiling=1.5`` is an ``Edit``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from raypipe.errors import UnknownAttribute, WrongUsage

STRENGTH_LIMIT = 100.0


@dataclass(frozen=True)
class Edit:
    """Change ``attribute`` by ``strength``, in the method's own unit; 0 changes nothing."""

    attribute: str
    strength: float


def parse_edit(text: str, allowed: Sequence[str]) -> Edit:
    """Read ``name=strength``.

    Raises:
        WrongUsage: not of that form, or a strength that is not a finite number of at most 100 either way.
        UnknownAttribute: a name that is not in ``allowed``.
    """
    name, separator, amount = text.partition("=")
    if not separator:
        raise WrongUsage(f"{text!r} is not of the form attribute=strength")
    if name not in allowed:
        raise UnknownAttribute(f"{name!r} is not an attribute of this method; allowed: {', '.join(allowed)}")
    try:
        strength = float(amount)
    except ValueError as error:
        raise WrongUsage(f"{amount!r} is not a number (in {text!r})") from error
    if not math.isfinite(strength) or abs(strength) > STRENGTH_LIMIT:
        raise WrongUsage(f"strength {amount} of {name!r} is outside [-{STRENGTH_LIMIT:g}, {STRENGTH_LIMIT:g}]")
    return Edit(name, strength)

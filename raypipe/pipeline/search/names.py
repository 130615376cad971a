"""Names that people type, of spaces, attributes, features and label columns, with what they may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from raypipe.errors import UnknownAttribute, WrongUsage
from raypipe.retrieval.manifest import Manifest


def space_named(asked: str, manifest: Manifest, method: str = "") -> str:
    """The whole name of a space, METHOD.SPACE: of ``asked``, also without its method where that is clear; of "", the
    first of the index, or of ``method``.

    Raises:
        WrongUsage: there is none, or several.
    """
    names = [name for name in manifest.spaces if not method or name.startswith(f"{method}.")]
    if asked in names:
        return asked
    found = [name for name in names if not asked or name.split(".", 1)[1] == asked]
    if not found or (asked and len(found) > 1):
        told = "is in several methods" if found else "is not a space of the index" if names else "cannot be searched"
        what = repr(asked) if names else f"method {method!r}"
        raise WrongUsage(f"{what} {told}{_meant(asked, names)}; spaces: {', '.join(found or manifest.spaces)}")
    return found[0]


def check_attributes(asked: Sequence[str], allowed: Sequence[str], what: str) -> None:
    """Raises:
    UnknownAttribute: names that are not allowed, with near ones that are.
    """
    for name in asked:
        if name not in allowed:
            raise UnknownAttribute(
                f"unknown attribute {name!r}{_meant(name, allowed)}; {what}: {', '.join(allowed) or 'none'}"
            )


def check_features(asked: Sequence[str], allowed: Sequence[str]) -> None:
    """Raises:
    UnknownAttribute: features that cannot be transferred, with near ones that can.
    """
    for name in asked:
        if name not in allowed:
            told = f"this method transfers: {', '.join(allowed) or 'none'}"
            raise UnknownAttribute(f"unknown feature {name!r}{_meant(name, allowed)}; {told}")


def check_columns(asked: Sequence[str], allowed: Sequence[str]) -> None:
    """Raises:
    WrongUsage: label columns that there are not, with near ones that are.
    """
    for name in asked:
        if name not in allowed:
            near = _meant(name, allowed)
            raise WrongUsage(f"no label column {name!r}{near}; there are: {', '.join(allowed) or 'none'}")


def _meant(asked: str, names: Sequence[str]) -> str:
    """Near names in parentheses; or nothing."""
    by_lower = {name.lower(): name for name in names}
    near = difflib.get_close_matches(asked.lower(), by_lower, n=3, cutoff=0.6)
    near = near or [name for name in by_lower if len(asked) > 2 and asked.lower() in name][:3]
    return f" (did you mean {' or '.join(by_lower[name] for name in near)}?)" if near else ""

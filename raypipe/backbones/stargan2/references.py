"""Faces whose style is taken for a domain."""

from __future__ import annotations

import warnings

from torch import Tensor

from raypipe.backbones.stargan2.domains import Domains
from raypipe.errors import WrongUsage


class ReferenceLacksAttribute(UserWarning):
    """A reference does not seem to be of the domain that its style is taken for."""


def require_faces(given: int, faces: int, what: str) -> None:
    """Raises:
    WrongUsage: references that are neither one nor as many as faces.
    """
    if given not in (1, faces):
        raise WrongUsage(f"{what} is {given} faces, for {faces}: give one, or one for each")


def warn_of_others(domains: Domains, values_NA: Tensor, domain: int, *, stacklevel: int) -> None:
    """Warns:
    ReferenceLacksAttribute: by their values, references are not of the domain; names the first.
    """
    own_N = domains.of_values(values_NA)
    if rows := (own_N != domain).nonzero().flatten().tolist():
        found = domains.names[int(own_N[rows[0]])]
        told = f"a reference for {domains.names[domain]!r} seems to be {found!r} (row {rows[0]})"
        warnings.warn(told, ReferenceLacksAttribute, stacklevel=stacklevel + 1)

"""Domains: the combinations of attribute values, by number and by a readable name. N faces, A attributes, K = 2^A.

Source: Yang et al., L2M-GAN (CVPR 2021), section 3.1, where the domains of StarGAN v2 are such combinations. The first
attribute is the most significant digit.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor

from raypipe.errors import UnknownAttribute, WrongUsage

MOST_ATTRIBUTES = 5
"""More would be more than 32 branches, most of them for faces that hardly exist."""

WITHOUT = "not "


class Domains:
    """All combinations of the attributes' values."""

    def __init__(self, attributes: Sequence[str]) -> None:
        """Raises:
        WrongUsage: no attribute, one twice, too many, or a name that domains could not be told apart by.
        """
        names = tuple(attributes)
        if not 1 <= len(names) <= MOST_ATTRIBUTES or len(set(names)) < len(names):
            told = ", ".join(names) or "none"
            raise WrongUsage(f"domains are of 1 to {MOST_ATTRIBUTES} attributes, all different; got {told}")
        if bad := [name for name in names if "," in name or name.startswith(WITHOUT) or name != name.strip()]:
            raise WrongUsage(
                f"{bad[0]!r} cannot name domains: it has a comma, begins with {WITHOUT!r}, or with a space"
            )
        self.attributes = names
        self.names = tuple(self._name(values) for values in product((0, 1), repeat=len(names)))

    def __len__(self) -> int:
        return len(self.names)

    def number(self, name: str) -> int:
        """Of a domain by its name, its attributes in any order.

        Raises:
            WrongUsage: there is no such domain.
        """
        asked = sorted(part.strip() for part in name.split(","))
        for number, known in enumerate(self.names):
            if sorted(known.split(", ")) == asked:
                return number
        raise WrongUsage(f"{name!r} is not a domain of this model; domains: {'; '.join(self.names)}")

    def place(self, attribute: str) -> int:
        """Of an attribute, among ``attributes``.

        Raises:
            UnknownAttribute: the domains are not of it.
        """
        if attribute not in self.attributes:
            told = ", ".join(self.attributes)
            raise UnknownAttribute(f"{attribute!r} is not an attribute of this model; it has: {told}")
        return self.attributes.index(attribute)

    def values(self, number: int) -> tuple[int, ...]:
        """Of each attribute, 0 or 1."""
        count = len(self.attributes)
        return tuple(number >> (count - 1 - place) & 1 for place in range(count))

    def of_values(self, values_NA: Tensor) -> Tensor:
        """[n, A], above one half where a face has the attribute -> int64 [n]."""
        digits = 2 ** torch.arange(len(self.attributes) - 1, -1, -1, device=values_NA.device)
        return ((values_NA > 0.5).long() * digits).sum(1)

    def _name(self, values: Sequence[int]) -> str:
        pairs = zip(self.attributes, values, strict=True)
        return ", ".join(name if value else f"{WITHOUT}{name}" for name, value in pairs)


def of_domain(told_NK: Tensor, domains_N: Tensor) -> Tensor:
    """[n, K, ...] and int64 [n] in [0, K) -> [n, ...]: of each row what it has for its domain."""
    return told_NK[torch.arange(len(told_NK), device=told_NK.device), domains_N]

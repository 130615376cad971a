"""A model's spaces, ready to give the vectors of stored codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from raypipe.contract import Columns, Method, SearchSpace
from raypipe.errors import WrongUsage
from raypipe.pipeline.binding import binding_of
from raypipe.pipeline.loading import Completed, load_method, methods_of
from raypipe.retrieval.manifest import Binding
from raypipe.retrieval.space import NUMBER_LIMIT, Array
from raypipe.weights import Bundle


@dataclass(frozen=True)
class Spaces:
    """Some spaces of a model's methods; all names are METHOD.SPACE."""

    methods: Mapping[str, Method]
    forms: Mapping[str, SearchSpace]
    bindings: Mapping[str, Binding]

    def columns(self, stored: Sequence[str]) -> list[str]:
        """Which of the stored code columns are needed: the shared inputs, and what the methods themselves added. Of
        pictures nothing is stored but what methods made of them.

        Raises:
            WrongUsage: some are missing.
        """
        needed = {need for method in self.methods.values() for need in method.needs if need != "image"}
        if missing := sorted(needed - set(stored)):
            raise WrongUsage(
                f"the codes have no {', '.join(missing)}, which the spaces {', '.join(self.forms)} need; "
                f"they have: {', '.join(stored) or 'none'}"
            )
        return [name for name in stored if name in needed or name not in ("image", "w_plus")]

    def vectors(self, codes: Mapping[str, npt.NDArray[np.float32]]) -> dict[str, Array]:
        """Of N faces: float32 [N,W] for each space. What a method adds and the dataset lacks is computed, if it
        has what that takes.

        Raises:
            WrongUsage: a column is missing that cannot be computed.
        """
        stored = {name: torch.from_numpy(values) for name, values in codes.items()}
        with torch.no_grad():
            complete: Mapping[str, Columns] = {
                name: Completed(method, stored) if set(method.needs) <= set(stored) else stored
                for name, method in self.methods.items()
            }
            return {
                name: self.methods[bound.method].search_vectors(bound.space, complete[bound.method]).numpy()
                for name, bound in self.bindings.items()
            }

    def comparable_rows(self, vectors: Mapping[str, Array]) -> Array:
        """bool [N]: which rows every space can compare: numbers within its limit, and a length where it needs one."""
        return np.asarray(np.all([self._comparable(name, rows) for name, rows in vectors.items()], axis=0))

    def _comparable(self, name: str, vectors_NW: Array) -> Array:
        good = np.asarray(np.all(np.abs(vectors_NW) <= NUMBER_LIMIT, axis=1))  # false for nan
        return good & np.any(vectors_NW, axis=1) if self.forms[name].metric == "cosine" else good


def open_spaces(bundle: Bundle, asked: Sequence[str]) -> Spaces:
    """The spaces of that name, METHOD.SPACE or SPACE where one method has it; none asked for: all, and first those of
    methods whose attributes can be preferred. The first is what a search without a space means: whole faces, not one
    of their features.

    Raises:
        WrongUsage: no such space, or one that several methods have.
        BadWeights: the model lacks a part.
    """
    methods = {name: load_method(name, bundle, "cpu") for name in methods_of(bundle)}
    ordered = sorted(methods.items(), key=lambda item: not any(form.coordinates for form in item[1].spaces.values()))
    known = {f"{name}.{space}": form for name, method in ordered for space, form in method.spaces.items()}
    if not known:
        raise WrongUsage(f"model {bundle.name!r} has no method, so there is nothing to search by")
    names = [_whole_name(name, list(known)) for name in asked] or list(known)
    bindings = {name: binding_of(bundle, *name.split(".", 1)) for name in dict.fromkeys(names)}
    used = {bound.method: methods[bound.method] for bound in bindings.values()}
    return Spaces(used, {name: known[name] for name in bindings}, bindings)


def _whole_name(asked: str, known: Sequence[str]) -> str:
    found = [name for name in known if asked in (name, name.split(".", 1)[1])]
    if len(found) != 1:
        told = "is in several methods" if found else "is not a space of this model"
        raise WrongUsage(f"{asked!r} {told}; spaces: {', '.join(found or known)}")
    return found[0]

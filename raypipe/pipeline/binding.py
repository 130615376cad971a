"""What the vectors of an index are, told by hashes: a query by another model must not be compared with them."""

from __future__ import annotations

from raypipe import catalog
from raypipe.pipeline.loading import ENCODER
from raypipe.retrieval.manifest import Binding
from raypipe.weights import Bundle


def binding_of(bundle: Bundle, method: str, space: str) -> Binding:
    """A model's vectors in a space: bound to the networks behind them and to the method's own weights.

    Raises:
        WrongUsage: no such method.
        BadWeights: the model lacks a part that it needs.
    """
    of_method = catalog.method_module(method).PARTS
    parts = (*({ENCODER} & set(bundle.parts)), *(part for part in of_method if part != method))
    for part in parts:
        bundle.describe(part)
    own = bundle.describe(method).sha256 if method in of_method else ""
    return Binding(method, space, bundle.fingerprint_of(parts), own)

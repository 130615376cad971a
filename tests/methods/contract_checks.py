"""What must be true of every method. ``check_method`` raises AssertionError where it is not."""

from __future__ import annotations

from types import ModuleType

import torch

from raypipe.contract import Columns, Method, Query


def check_module(module: ModuleType) -> None:
    """A method's folder offers what the catalog promises."""
    recipe = ("Config", "columns", "build_recipe")
    for name in ("PARTS", "load", *(recipe if any(hasattr(module, name) for name in recipe) else ())):
        assert hasattr(module, name), f"{module.__name__} lacks {name}"
    assert (module.__doc__ or "").strip(), f"{module.__name__} has no docstring for `raypipe methods`"


def check_method(method: Method, inputs: Columns) -> None:
    """``inputs``: the shared inputs of a few faces, with at least what the method needs."""
    assert isinstance(method, Method)
    assert set(method.needs) <= set(inputs), f"needs {method.needs}"
    faces = len(next(iter(inputs.values())))
    columns = {**inputs, **method.represent({name: inputs[name] for name in method.needs})}
    for name, column in columns.items():
        assert len(column) == faces, f"column {name} has {len(column)} rows for {faces} faces"
        assert torch.isfinite(column).all(), f"column {name} is not finite"
    _check_spaces(method, columns, faces)
    nothing = Query(adjust={}, prefer={}, references={})
    for what, unchanged in (("edit", method.edit(columns, [])), ("query", method.adjusted(columns, nothing))):
        for name in columns:
            assert torch.equal(unchanged[name], columns[name]), f"a {what} of nothing changed {name}"
    assert method.render(columns, inputs["image"]).shape[:2] == (faces, 3)


def _check_spaces(method: Method, columns: Columns, faces: int) -> None:
    for name, space in method.spaces.items():
        vectors = method.search_vectors(name, columns)
        assert vectors.shape == (faces, space.width), f"space {name}: {tuple(vectors.shape)}"
        assert vectors.dtype == torch.float32
        asked = method.query(name, columns, Query(adjust={}, prefer={}, references={}))
        assert asked.shape == (faces, space.width)
        assert len(space.coordinates) <= space.width

"""Every method in the catalog keeps the contract; the checks themselves can fail."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from raypipe.attributes import Edit
from raypipe.catalog import method_module, method_names
from raypipe.contract import Columns, Query, SearchSpace
from raypipe.errors import WrongUsage
from raypipe.weights import open_bundle
from tests.methods.contract_checks import check_method, check_module


@pytest.mark.parametrize("name", method_names())
def test_every_method_keeps_the_contract(name: str) -> None:
    module = method_module(name)
    check_module(module)
    bundle = open_bundle("small")
    if missing := sorted(set(module.PARTS) - set(bundle.parts)):
        pytest.skip(f"the shipped model has no {', '.join(missing)}")
    shape = (int(bundle.describe("encoder").config["num_layers"]), int(bundle.describe("encoder").config["style_dim"]))
    size = int(bundle.describe("encoder").config["input_size"])
    torch.manual_seed(0)
    method = module.load({part: bundle.read(part) for part in module.PARTS}, "cpu")
    check_method(method, {"image": torch.rand(3, 3, size, size) * 2 - 1, "w_plus": torch.randn(3, *shape)})


def test_an_unknown_method_is_named() -> None:
    with pytest.raises(WrongUsage, match="'nothing' is not a method"):
        method_module("nothing")


class Brightness:
    """The smallest method there could be: one number a face."""

    attributes = ("bright",)
    needs = ("image",)

    @property
    def spaces(self) -> dict[str, SearchSpace]:
        return {"brightness": SearchSpace(1, "l2")}

    def represent(self, inputs: Columns) -> Columns:
        return {"brightness": inputs["image"].mean(dim=(1, 2, 3))[:, None]}

    def search_vectors(self, space: str, columns: Columns) -> Tensor:
        return columns["brightness"].float()

    def query(self, space: str, columns: Columns, query: Query) -> Tensor:
        return columns["brightness"].float() + query.adjust.get("bright", 0.0)

    def adjusted(self, columns: Columns, query: Query) -> Columns:
        return {**columns, "brightness": columns["brightness"] + query.adjust.get("bright", 0.0)}

    def edit(self, columns: Columns, edits: Sequence[Edit]) -> Columns:
        return {**columns, "brightness": columns["brightness"] + sum(edit.strength for edit in edits)}

    def render(self, columns: Columns, source: Tensor) -> Tensor:
        return source - source.mean(dim=(1, 2, 3), keepdim=True) + columns["brightness"][:, :, None, None]


class LosesAFace(Brightness):
    def represent(self, inputs: Columns) -> Columns:
        return {"brightness": inputs["image"].mean(dim=(1, 2, 3))[1:, None]}


class EditsUnasked(Brightness):
    def edit(self, columns: Columns, edits: Sequence[Edit]) -> Columns:
        return {**columns, "brightness": columns["brightness"] + 0.1}


class WrongWidth(Brightness):
    def search_vectors(self, space: str, columns: Columns) -> Tensor:
        return columns["brightness"].repeat(1, 2)


def test_a_method_that_keeps_the_contract_passes() -> None:
    check_method(Brightness(), {"image": torch.rand(3, 3, 4, 4)})


@pytest.mark.parametrize("kind", [LosesAFace, EditsUnasked, WrongWidth])
def test_a_method_that_breaks_it_does_not(kind: type[Brightness]) -> None:
    with pytest.raises(AssertionError):
        check_method(kind(), {"image": torch.rand(3, 3, 4, 4)})

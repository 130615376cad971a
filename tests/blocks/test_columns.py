from __future__ import annotations

import pytest
import torch

from raypipe.blocks.columns import column, finite_column, pictures
from raypipe.errors import WrongUsage


def test_what_fits_is_given_back_as_it_is() -> None:
    columns = {"code": torch.zeros(3, 2, 4), "image": torch.zeros(1, 3, 8, 8)}
    assert column(columns, "code", (2, 4)) is columns["code"]
    assert finite_column(columns, "code", (2, 4)) is columns["code"]
    assert pictures(columns, "image", 8) is columns["image"]


def test_what_does_not_is_named() -> None:
    columns = {"code": torch.zeros(3, 2, 4), "image": torch.zeros(1, 3, 8, 8)}
    with pytest.raises(WrongUsage, match="there is no column 'style'; there are: code, image"):
        column(columns, "style", (4,))
    with pytest.raises(WrongUsage, match="there is no column 'image'; there are: none"):
        pictures({}, "image", 8)
    with pytest.raises(WrongUsage, match=r"code must be \[n, 2, 5\], got \[3, 2, 4\]"):
        finite_column(columns, "code", (2, 5))
    for bad in ((1, 3, 8, 8), (1, 3, 16, 17), (1, 1, 16, 16), (3, 16, 16)):
        with pytest.raises(WrongUsage, match=r"image must be \[n, 3, 16, 16\], or larger squares, got \[") as told:
            pictures({"image": torch.zeros(bad)}, "image", 16)
        assert str(list(bad)) in str(told.value)


def test_larger_pictures_are_shrunk_without_aliases() -> None:
    stripes = torch.tensor([-1.0, 1.0]).repeat(8).expand(2, 3, 16, 16)
    small = pictures({"image": stripes}, "image", 4)
    assert small.shape == (2, 3, 4, 4)
    assert small.abs().max() < 0.1


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_the_first_row_that_is_not_finite_is_named(bad: float) -> None:
    values = torch.zeros(4, 2)
    values[2:, 1] = bad
    assert column({"code": values}, "code", (2,)) is values
    with pytest.raises(WrongUsage, match="code is not finite in row 2"):
        finite_column({"code": values}, "code", (2,))

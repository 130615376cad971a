from __future__ import annotations

import numpy as np
import pytest
import torch

from raypipe import faces
from raypipe.errors import WrongUsage


def test_pixels_survive_the_way_to_signed_and_back() -> None:
    pixels = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    signed = faces.to_signed(torch.from_numpy(pixels))
    assert (signed.min().item(), signed.max().item()) == (-1.0, 1.0)
    np.testing.assert_array_equal(faces.to_pixels(signed), pixels)


def test_codes_survive_arrow_and_are_null_where_not_ok() -> None:
    codes = np.random.default_rng(0).standard_normal((3, 2, 4)).astype(np.float16)
    array = faces.code_array(codes, np.array([True, False, True]))
    assert array.to_pylist()[1] is None
    np.testing.assert_array_equal(np.array(array.to_pylist()[2], np.float16).reshape(2, 4), codes[2])
    assert faces.code_shape(faces.code_field("w_plus", (2, 4))) == (2, 4)


def test_patterns_of_statuses() -> None:
    assert faces.statuses_matching(["fetch_4*", "bomb"]) == {"fetch_404", "bomb"}
    assert faces.OK not in faces.statuses_matching(["*"])
    with pytest.raises(WrongUsage, match="'fecth_\\*' matches no status"):
        faces.statuses_matching(["fecth_*"])

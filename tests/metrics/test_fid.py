from __future__ import annotations

import pytest
import torch
from torch import Tensor

from raypipe.errors import WrongUsage
from raypipe.metrics.fid import feature_statistics, fid


def mean_colour(images: Tensor) -> Tensor:
    return images.mean((2, 3))


def pictures(count: int, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, 4, 4, generator=random) * 2 - 1


def test_the_same_pictures_in_other_batches_have_no_distance() -> None:
    images = pictures(30)
    assert fid([images], images.flip(0).split(7), mean_colour) == pytest.approx(0.0, abs=1e-12)


def test_a_shift_of_all_features_is_its_square() -> None:
    images = pictures(40)
    shift = torch.tensor([0.3, -0.1, 0.2])[:, None, None]
    assert fid([images], (images + shift).split(16), mean_colour) == pytest.approx(0.09 + 0.01 + 0.04, rel=1e-4)


def test_a_scale_of_all_features_is_that_of_their_spread() -> None:
    """tr (a - b)^2 of covariances C and 4 C: tr C, and the square of the means' difference."""
    images = pictures(40)
    statistics = feature_statistics([images], mean_colour)
    expected = statistics.mean.square().sum() + statistics.covariance.trace()
    assert fid([images], [2 * images], mean_colour) == pytest.approx(float(expected), rel=1e-5)


def test_too_few_pictures_are_refused() -> None:
    with pytest.raises(WrongUsage, match="no pictures"):
        fid([], [pictures(3)], mean_colour)
    with pytest.raises(WrongUsage, match="at least 2 rows, got 1"):
        fid([pictures(3)], [pictures(1)], mean_colour)

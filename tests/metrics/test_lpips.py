from __future__ import annotations

import pytest
import torch
from torch import Tensor

from raypipe.errors import WrongUsage
from raypipe.metrics.lpips import diversity


def mean_difference(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).abs().mean((1, 2, 3))


def test_the_mean_over_pairs_of_each_source() -> None:
    """Pictures of brightness 0, 1, 4: pairs at 1, 4 and 3. The other source's are all the same."""
    levels = torch.tensor([[0.0, 1.0, 4.0], [2.0, 2.0, 2.0]])
    images = levels[:, :, None, None, None].expand(2, 3, 3, 4, 4)
    torch.testing.assert_close(diversity(images, mean_difference), torch.tensor([8 / 3, 0.0]))


def test_one_picture_has_no_pairs() -> None:
    with pytest.raises(WrongUsage, match="at least 2 pictures of each source, got 1"):
        diversity(torch.zeros(2, 1, 3, 4, 4), mean_difference)

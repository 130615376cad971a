"""FID: how far the features of made pictures lie from those of real ones. Heusel et al., 2017, equation 6.

Any network's features will do, but only distances by the same network, picture size and number of pictures compare:
a smaller sample has a larger distance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from raypipe.blocks.frechet import GaussianStatistics, frechet_distance
from raypipe.errors import WrongUsage


def feature_statistics(batches: Iterable[Tensor], features: Callable[[Tensor], Tensor]) -> GaussianStatistics:
    """Mean and covariance of ``features`` ([n,3,h,w] in [-1,1] -> [n,d]) over all pictures, one batch at a time.

    Raises:
        WrongUsage: there is no picture.
    """
    statistics: GaussianStatistics | None = None
    with torch.no_grad():
        for images in batches:
            rows = features(images)
            statistics = statistics or GaussianStatistics(rows.shape[1])
            statistics.add(rows)
    if statistics is None:
        raise WrongUsage("the statistics of no pictures were asked for")
    return statistics


def fid(real: Iterable[Tensor], made: Iterable[Tensor], features: Callable[[Tensor], Tensor]) -> float:
    """The distance of two collections of pictures, at least 0; at least two pictures each.

    Raises:
        WrongUsage: fewer pictures.
    """
    return frechet_distance(feature_statistics(real, features), feature_statistics(made, features))

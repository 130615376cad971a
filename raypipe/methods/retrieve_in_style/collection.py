"""What a collection's codes are like: the statistics of their styles, and some codes spread over all of it.

N faces of a batch, C style channels, L layers of a code, D their width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from raypipe.contract import DataFacts, Share
from raypipe.methods.retrieve_in_style.lens import GeneratorView
from raypipe.methods.retrieve_in_style.spaces import StatisticsMeter, StyleStatistics


class CollectionMeter:
    """Goes once over this worker's rows; the result is the same however many workers there are."""

    def __init__(self, view: GeneratorView, data: DataFacts, *, keep: int, share: Share, device: torch.device) -> None:
        """``keep``: about how many codes."""
        self._view, self._share, self._local_rows = view, share, 0
        self._every = max(1, data.rows // keep)
        slots = -(-data.rows // self._every)
        self._kept_SLD = torch.zeros(slots, *data.code_shape, device=device)
        self._is_kept_S = torch.zeros(slots, device=device)
        self._meter = StatisticsMeter(view.layout.channels, device)

    def add(self, w_plus_NLD: Tensor) -> None:
        """The next rows of this worker's share."""
        rows_N = (
            torch.arange(self._local_rows, self._local_rows + len(w_plus_NLD)) * self._share.count + self._share.rank
        )
        is_kept_N = rows_N % self._every == 0
        slots = rows_N[is_kept_N] // self._every
        self._kept_SLD[slots] = w_plus_NLD[is_kept_N].float()
        self._is_kept_S[slots] = 1
        self._meter.add(self._view.styles(w_plus_NLD))
        self._local_rows += len(w_plus_NLD)

    def over_all_workers(self) -> tuple[StyleStatistics, Tensor]:
        """The statistics, and the codes that were kept [n,L,D]."""
        self._share.average([self._kept_SLD, self._is_kept_S])
        codes = self._kept_SLD[self._is_kept_S > 0] * self._share.count
        return self._meter.over_all_workers(self._share), codes

"""Which rows axes and lists are fitted to: some of some parts, so that a look at a large dataset stays a look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from raypipe.contract import SearchSpace
from raypipe.pipeline.index.codes import Codes, ok_rows
from raypipe.retrieval.build import IndexSettings, sample_rows

ROWS_PER_PART = 256


@dataclass(frozen=True)
class Pick:
    """Of a dataset's part, some of the rows that are ok."""

    dataset: int
    part: int
    places: tuple[int, ...]


def sample_picks(datasets: Sequence[Codes], settings: IndexSettings, spaces: Mapping[str, SearchSpace]) -> list[Pick]:
    """At most ``ROWS_PER_PART`` rows of each of as many parts as it takes, by chance, in the datasets' order."""
    random, left = np.random.default_rng(settings.seed), min(sample_rows(settings, space) for space in spaces.values())
    parts = [
        (d, number, count)
        for d, codes in enumerate(datasets)
        for number, part in enumerate(codes.parts)
        if (count := ok_rows(part))
    ]
    if sum(count for *_, count in parts) <= left:
        return [Pick(d, number, tuple(range(count))) for d, number, count in parts]
    picks = []
    for place in random.permutation(len(parts)):
        d, number, count = parts[place]
        some = min(count, left, ROWS_PER_PART)
        picks.append(Pick(d, number, tuple(np.sort(random.choice(count, some, replace=False)).tolist())))
        left -= some
        if not left:
            break
    return sorted(picks, key=lambda pick: (pick.dataset, pick.part))

"""How much of a vector sits in few of its entries. Paper 1, figure 6."""

from __future__ import annotations

from torch import Tensor

from raypipe.errors import WrongUsage


def energy_curves(vectors: Tensor) -> Tensor:
    """The share of each vector's energy (sum of squares) in its largest 1, 2, ..., d entries by magnitude.

    Args:
        vectors: [m,d], none of them zero. Figure 6 shows the mean over the m attributes' directions.

    Returns:
        [m,d] float64, rising to 1.

    Raises:
        WrongUsage: a vector of zeros.
    """
    energies = vectors.double().square().sort(1, descending=True).values.cumsum(1)
    totals = energies[:, -1:]
    if bool((totals == 0).any()):
        raise WrongUsage(f"vector {int((totals == 0).nonzero()[0, 0])} of {len(vectors)} is zero and has no energy")
    return energies / totals


def entries_holding(vectors: Tensor, share: float) -> Tensor:
    """How many of its largest entries hold ``share``, in (0,1], of each vector's energy: [m,d] -> [m] int64.

    Raises:
        WrongUsage: another share, or a vector of zeros.
    """
    if not 0 < share <= 1:
        raise WrongUsage(f"share must be above 0 and at most 1, got {share:g}")
    # A curve reaches its end only but for rounding.
    return (energy_curves(vectors) < share * (1 - 1e-12)).sum(1) + 1

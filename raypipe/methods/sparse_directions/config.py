"""Settings of algorithm 2."""

from __future__ import annotations

from dataclasses import dataclass

from raypipe.config import Range, check_ranges


@dataclass(frozen=True, kw_only=True)
class SparseDirectionsConfig:
    """Defaults are the paper's where it gives a value; where it is silent, see README.md.

    Attributes:
        steps: iterations of algorithm 2.
        batch: rows of the global batch; 0 is the paper's full gradient.
        attributes: which of the data's attributes to learn; empty is all of them.
        sparsity: lambda, the weight of the L1 norm of a direction.
        learning_rate: beta.
        mean_loss: the classification loss is a mean over the rows; off, the sum that the paper prints.
        normalised: codes are centred and divided by one number, their root mean square. That changes no angle between
            directions, so they are orthogonal in the codes' own space too; it makes ``sparsity`` and
            ``learning_rate`` mean the same for every generator.
        balanced: faces with and faces without an attribute weigh the same in its loss, however rare it is.
        initial_length: length of the random first directions.
    """

    steps: int = 2000
    batch: int = 0
    attributes: tuple[str, ...] = ()
    sparsity: float = 5e-3
    learning_rate: float = 1e-2
    mean_loss: bool = True
    normalised: bool = True
    balanced: bool = True
    initial_length: float = 0.1

    def __post_init__(self) -> None:
        ranges = {"steps": Range(least=1)} | dict.fromkeys(("batch", "sparsity"), Range(least=0))
        check_ranges(self, ranges | dict.fromkeys(("learning_rate", "initial_length"), Range(above=0)))

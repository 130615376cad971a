"""Settings of algorithm 2."""

from __future__ import annotations

from dataclasses import dataclass

from raypipe.errors import WrongUsage


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
        problems = [
            f"{name} must be {allowed}, got {value!r}"
            for name, value, allowed, good in (
                ("steps", self.steps, "at least 1", self.steps >= 1),
                ("batch", self.batch, "at least 0", self.batch >= 0),
                ("sparsity", self.sparsity, "at least 0", self.sparsity >= 0),
                ("learning_rate", self.learning_rate, "above 0", self.learning_rate > 0),
                ("initial_length", self.initial_length, "above 0", self.initial_length > 0),
            )
            if not good
        ]
        if problems:
            raise WrongUsage("; ".join(problems))

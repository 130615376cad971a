"""What can go wrong, by whose fault it is. A message names the value and what is allowed."""


class RaypipeError(Exception):
    """The command cannot go on. The command line prints the message and exits with 1."""


class WrongUsage(RaypipeError):
    """A setting, name or combination that cannot be meant. The command line exits with 2."""


class UnknownAttribute(WrongUsage):
    """An edit or a query names an attribute that the method does not have."""


class BadWeights(RaypipeError):
    """A weights file is missing, damaged, of another layout, or tries to run code."""


class ModelMismatch(RaypipeError):
    """Two artefacts were made from different models or settings and must not be mixed."""


class OutputInUse(RaypipeError):
    """Another job is writing to the same output."""


class ImpossibleCluster(RaypipeError):
    """The cluster can never run the job; the message shows the arithmetic."""


class Diverged(RaypipeError):
    """Training gave numbers that are not finite, or beyond its limit; the message names the last good checkpoint."""

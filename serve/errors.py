"""What a server answers beside ``raypipe.errors``. All survive pickling: they may come from another process."""

from __future__ import annotations

from raypipe.errors import RaypipeError, WrongUsage


class NotFound(WrongUsage):
    """No face of that id, no such index version, no such part of the API. 404."""


class Gone(NotFound):
    """The face is in the index, and its picture cannot be read any more. 404."""


class TooLarge(WrongUsage):
    """More bytes or pixels than the limit allows. 413."""


class UnsupportedMedia(WrongUsage):
    """A content type, or a picture format, that is not read here. 415."""


class NotOffered(RaypipeError):
    """No installed method does that. 501."""


class Overloaded(RaypipeError):
    """More questions at once than are answered or may wait. 429, to be asked again after a second."""


class Unavailable(RaypipeError):
    """Something that the answer needs is not there, or did not answer in time. 503, to be asked again."""

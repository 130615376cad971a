"""What a server answers beside ``raypipe.errors``. All survive pickling: they may come from another process."""

from __future__ import annotations

from raypipe.errors import RaypipeError, WrongUsage


class NotFound(WrongUsage):
    """No face of that id, no such index version. 404."""


class Gone(NotFound):
    """The face is in the index, and its picture cannot be read any more. 404."""


class TooLarge(WrongUsage):
    """More bytes or pixels than the limit allows. 413."""


class UnsupportedMedia(WrongUsage):
    """A content type, or a picture format, that is not read here. 415."""


class Malformed(WrongUsage):
    """A body that is not of the form that its content type says. 400."""


class WrongFields(WrongUsage):
    """A question whose fields are missing, unknown or of another type or range. 422."""

    def __init__(self, fields: list[dict[str, str]]) -> None:
        super().__init__(fields)
        self.fields = fields

    def __str__(self) -> str:
        return "; ".join(f"{field['where'] or 'the question'}: {field['what']}" for field in self.fields)


class Unauthenticated(RaypipeError):
    """No token, or one that is not known. 401."""


class Forbidden(RaypipeError):
    """A known token of a role that may not do this, or a request that comes the wrong way. 403."""


class TooSlow(RaypipeError):
    """The body did not arrive in time. 408."""


class NotOffered(RaypipeError):
    """No method of the model does that. 501."""


class Overloaded(RaypipeError):
    """More questions at once than are answered or may wait. 429, to be asked again after a second."""


class Unavailable(RaypipeError):
    """Something that the answer needs is not there, or did not answer in time. 503, to be asked again."""


class Replaced(Unavailable):
    """Who was asked has another configuration; while it is being changed, there are others."""

"""Who may ask: bearer tokens (RFC 6750) of two roles. Off only where nobody but this machine can connect.

A file of tokens has lines ``query TOKEN`` and ``admin TOKEN``; a line may begin with ``#``. Any number of tokens may
have a role, so that one can be replaced while another is still in use; an admin may also query.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from raypipe import storage
from raypipe.errors import WrongUsage
from serve.errors import Forbidden, Unauthenticated
from serve.settings import ApiSettings

Role = Literal["query", "admin"]

ENVIRONMENT: Mapping[str, Role] = {"RAYPIPE_QUERY_TOKEN": "query", "RAYPIPE_ADMIN_TOKEN": "admin"}

SHORTEST = 16
"""Characters of a token."""

SCHEME = HTTPBearer(auto_error=False, scheme_name="token", description="A token from who runs the server.")


@dataclass(frozen=True)
class Tokens:
    """sha256 of each token, and its role. The tokens themselves are not kept, so nothing can show them."""

    roles: tuple[tuple[bytes, Role], ...]

    def role_of(self, token: str) -> Role | None:
        """Compared with every token, in a time that does not depend on any."""
        asked, found = _digest(token), None
        for digest, role in self.roles:
            if hmac.compare_digest(asked, digest):
                found = role
        return found

    def __bool__(self) -> bool:
        return bool(self.roles)


def open_tokens(settings: ApiSettings, environment: Mapping[str, str]) -> Tokens:
    """The tokens of a server.

    Raises:
        WrongUsage: a file that cannot be read as tokens, a token that is too short, or none where others can connect.
    """
    told = [(role, environment[name]) for name, role in ENVIRONMENT.items() if environment.get(name)]
    if settings.tokens:
        told += _of_file(settings.tokens)
    for role, token in told:
        if len(token) < SHORTEST:
            raise WrongUsage(f"a token of role {role} has {len(token)} characters; at least {SHORTEST} are needed")
    if not told and not settings.is_loopback:
        raise WrongUsage(
            f"host {settings.host!r} is open to others: give tokens, in {' and '.join(ENVIRONMENT)} or in a file; "
            f"without tokens only this machine may connect (host 127.0.0.1)"
        )
    return Tokens(tuple((_digest(token), role) for role, token in told))


def guard(tokens: Tokens, role: Role) -> Callable[..., Awaitable[None]]:
    """A dependency that lets through who has the role, or an admin."""

    async def check(
        request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Security(SCHEME)] = None
    ) -> None:
        if not tokens:
            _refuse_other_names(request)
            return
        found = tokens.role_of(given.credentials) if given else None
        if found is None:
            raise Unauthenticated("send a known token in a header: Authorization: Bearer TOKEN")
        if found not in (role, "admin"):
            raise Forbidden(f"this needs a token of role {role}")

    return check


def _refuse_other_names(request: Request) -> None:
    """A page of another site, whose name was made to mean this machine, must not ask in its visitor's name."""
    host = request.headers.get("host", "")
    name = host if host.endswith("]") else host.rsplit(":", 1)[0]
    origin = request.headers.get("origin")
    if not ApiSettings(host=name.lower()).is_loopback or (origin is not None and origin.split("://")[-1] != host):
        raise Forbidden("without tokens, only this machine's own pages and programs may ask")


def _of_file(uri: str) -> Iterable[tuple[Role, str]]:
    try:
        lines = storage.read_bytes(uri).decode().splitlines()
    except (FileNotFoundError, IsADirectoryError, UnicodeDecodeError) as error:
        raise WrongUsage(f"{uri!r} is no file of tokens: {type(error).__name__}") from error
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        roles = [role for role in get_args(Role) if role == words[0]]
        if len(words) != 2 or not roles:
            # The line itself may hold a secret.
            raise WrongUsage(f"{uri}: line {number} must be ROLE TOKEN; roles: {', '.join(get_args(Role))}")
        yield roles[0], words[1]


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()

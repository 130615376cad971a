"""How the HTTP side is set up."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from raypipe.errors import WrongUsage
from raypipe.pipeline.encode.decode_image import MOST_PIXELS
from raypipe.pipeline.search.query import RANK_LIMIT


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a question may be at most, and how many of them at once.

    Attributes:
        body_bytes: of a request, pictures included; ``question_bytes``: of the JSON in it, which is parsed at once.
        pixels: of a picture, counted before they are decoded.
        hits: of a page.
        ids: of a deletion.
        at_once: questions that are answered at the same time; so many threads work in ``LocalBackend``.
        waiting: questions that wait for their turn; beyond that they are refused (429).
        pictures_at_once: pictures of the collection that are read at the same time; eight times as many may wait.
        bodies_at_once: requests whose bodies are being received, which is what memory they take.
        body_s: seconds in which a body has to arrive.
        answer_s: seconds until an answer is given up (503), waiting included.
    """

    body_bytes: int = 16 * 2**20
    question_bytes: int = 4 * 2**20
    pixels: int = 24_000_000
    hits: int = 200
    ids: int = 10_000
    at_once: int = 4
    waiting: int = 16
    pictures_at_once: int = 4
    bodies_at_once: int = 32
    body_s: float = 10.0
    answer_s: float = 30.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value <= 0:
                raise WrongUsage(f"limits: {name}={value!r} must be above 0")
        if self.pixels > MOST_PIXELS or self.hits > RANK_LIMIT:
            raise WrongUsage(f"limits: at most {MOST_PIXELS} pixels and {RANK_LIMIT} hits a page")


@dataclass(frozen=True, kw_only=True)
class ApiSettings:
    """One server.

    Attributes:
        host: the address that it listens at. Beyond this machine's own it must have tokens.
        tokens: a file of lines ``ROLE TOKEN``; more in RAYPIPE_QUERY_TOKEN and RAYPIPE_ADMIN_TOKEN; see ``auth``.
        codes: the folder or URI whose encoded datasets may be appended, by their names there; "": none.
        provenance: whether made pictures say so in their metadata.
        certificate, private_key: PEM files to sign that with, see ``signing``; "": it is not signed.
    """

    host: str = "127.0.0.1"
    tokens: str = ""
    codes: str = ""
    provenance: bool = True
    certificate: str = ""
    private_key: str = ""
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not self.provenance and (self.certificate or self.private_key):
            raise WrongUsage("a certificate signs what made pictures say of themselves: provenance must be on")

    @property
    def is_loopback(self) -> bool:
        """Only this machine can connect."""
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return self.host == "localhost"

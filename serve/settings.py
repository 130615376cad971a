"""How the HTTP side is set up, and what it is deployed as."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from raypipe.errors import WrongUsage
from raypipe.pipeline.encode.decode_image import MOST_PIXELS
from raypipe.pipeline.search.query import RANK_LIMIT, RERANK_LIMIT


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a question may be at most, and how many of them at once.

    Attributes:
        body_bytes: of a request, pictures included; ``question_bytes``: of the JSON in it, which is parsed at once.
        pixels: of a picture, counted before they are decoded.
        hits: of a page.
        rerank: hits of a search that a network looks at again, times the faces that are asked with; 0: none. Times
            ``reranks_at_once`` + ``reranks_waiting``, this is the most that there ever is to be looked at.
        ids: of a deletion.
        at_once: questions that are answered at the same time; so many threads work in ``LocalBackend``.
        waiting: questions that wait for their turn; beyond that they are refused (429).
        reranks_at_once, reranks_waiting: the same of searches that rerank, which take no place of other questions.
        pictures_at_once: pictures of the collection that are read at the same time; eight times as many may wait.
        bodies_at_once: requests whose bodies are being received, which is what memory they take.
        body_s: seconds in which a body has to arrive.
        answer_s: seconds until an answer is given up (503), waiting included.
    """

    body_bytes: int = 16 * 2**20
    question_bytes: int = 4 * 2**20
    pixels: int = 24_000_000
    hits: int = 200
    rerank: int = 100
    ids: int = 10_000
    at_once: int = 4
    waiting: int = 16
    reranks_at_once: int = 1
    reranks_waiting: int = 4
    pictures_at_once: int = 4
    bodies_at_once: int = 32
    body_s: float = 10.0
    answer_s: float = 30.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value <= 0 and name != "rerank":
                raise WrongUsage(f"limits: {name}={value!r} must be above 0")
        if not 0 <= self.rerank <= RERANK_LIMIT:
            raise WrongUsage(f"limits: rerank={self.rerank!r} must be from 0, for none, to {RERANK_LIMIT}")
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


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """How many processes do one thing.

    Attributes:
        least, most: replicas; where they differ, load decides.
        idle_s: seconds of less load after which a replica goes: to read the shards again costs more than to hold them.
        ongoing: questions that a replica is at at the same time.
        cpus, gpus: what a replica takes of its node, for placing it.
        threads: that it computes with.
    """

    least: int = 1
    most: int = 1
    idle_s: float = 300.0
    ongoing: int = 16
    cpus: float = 1.0
    gpus: float = 0.0
    threads: int = 1

    def __post_init__(self) -> None:
        at_least_1, at_least_0 = (self.ongoing, self.threads), (self.cpus, self.gpus, self.idle_s)
        if not 1 <= self.least <= self.most or min(at_least_1) < 1 or min(at_least_0) < 0:
            raise WrongUsage(f"scaling: 1 <= least <= most, at least 1 ongoing and thread, nothing below 0; got {self}")


@dataclass(frozen=True, kw_only=True)
class Batching:
    """``most`` faces at once; the first of them waits ``wait_s`` for others."""

    most: int = 8
    wait_s: float = 0.005

    def __post_init__(self) -> None:
        if self.most < 1 or self.wait_s < 0:
            raise WrongUsage(f"batching: at least 1 face and no negative time, got {self}")


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """An application on Ray Serve.

    Attributes:
        index, model: what is served.
        moved: where encoded datasets of the index are now, if they were moved.
        groups: shard groups; each holds every ``groups``-th shard.
        ingress, shards, encoder, editor: the processes of each kind; ``shards``: of each group.
        queued: questions that wait in one caller for one deployment; beyond that they are refused.
        shard_s: seconds until a shard group, the encoder or the editor is given up, retries on other replicas included.
        partial_s: the same for shard groups where an answer without some is welcome.
        lease_wait_s: seconds that an answer waits to hear which version of the index it may be of.
    """

    index: str
    model: str = "small"
    moved: tuple[str, ...] = ()
    api: ApiSettings = field(default_factory=ApiSettings)
    groups: int = 1
    ingress: Scaling = field(default_factory=lambda: Scaling(ongoing=64))
    shards: Scaling = field(default_factory=Scaling)
    encoder: Scaling = field(default_factory=Scaling)
    editor: Scaling = field(default_factory=Scaling)
    batching: Batching = field(default_factory=Batching)
    queued: int = 64
    shard_s: float = 10.0
    partial_s: float = 1.0
    lease_wait_s: float = 20.0

    def __post_init__(self) -> None:
        if min(self.groups, self.queued, self.shard_s, self.partial_s, self.lease_wait_s) <= 0:
            raise WrongUsage("serve: groups, queued, shard_s, partial_s and lease_wait_s must be above 0")
        if any(each.ongoing < 2 * self.batching.most for each in (self.encoder, self.editor)):
            # A batch holds only what the replica has taken on, and the next one fills while this one computes.
            raise WrongUsage(f"serve: ongoing of encoder and editor must be at least {2 * self.batching.most}")

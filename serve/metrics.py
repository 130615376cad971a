"""What the server counts of itself, as Prometheus reads it at ``/metrics``."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric, generate_latest
from prometheus_client.registry import Collector

from raypipe.pipeline.search.result import SearchResult
from serve.backend import Description

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
ROWS = (10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 1_000_000)


class Metrics:
    """One server's numbers. Each app has its own, so that several can live in a process."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        prefix = "raypipe_serve"
        self.request_seconds = Histogram(
            f"{prefix}_request_seconds", "From a request to the end of its answer.", ["route", "status"],
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self.stage_seconds = Histogram(
            f"{prefix}_stage_seconds", "Where the time went.", ["stage"], buckets=SECONDS, registry=registry
        )
        self.errors = Counter(
            f"{prefix}_errors", "Problems told, by the end of their type.", ["kind"], registry=registry
        )
        self.in_flight = Gauge(f"{prefix}_in_flight", "Questions being answered.", ["gate"], registry=registry)
        self.waiting = Gauge(f"{prefix}_waiting", "Questions waiting for their turn.", ["gate"], registry=registry)
        self.searches = Counter(f"{prefix}_searches", "Answered searches.", ["exact"], registry=registry)
        self.partial = Counter(f"{prefix}_partial", "Searches answered without all shards.", registry=registry)
        self.compared = Histogram(
            f"{prefix}_compared", "Rows of a search compared in full.", buckets=ROWS, registry=registry
        )
        self._rows = Gauge(f"{prefix}_index_rows", "Faces that can be found.", registry=registry)
        self._version = Gauge(f"{prefix}_index_version", "Version of the index that answers.", registry=registry)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Seconds until the block is left, however it is."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.stage_seconds.labels(name).observe(time.perf_counter() - started)

    def count_search(self, result: SearchResult) -> None:
        self.searches.labels(str(result.exact).lower()).inc()
        self.partial.inc(result.covered < 1.0)
        self.compared.observe(result.compared)
        self.stage_seconds.labels("ask").observe(result.ask_ms / 1e3)
        self.stage_seconds.labels("nearest").observe(result.search_ms / 1e3)

    def families(self, description: Description | None) -> list[Metric]:
        """``description``: of what is served now, if anything is."""
        if description is not None:
            self._rows.set(description.rows)
            self._version.set(description.index_version)
        return list(self._registry.collect())


def text(families: Sequence[Metric]) -> bytes:
    """As Prometheus reads them."""
    return generate_latest(_Families(families))


def of_replicas(told: Mapping[str, Sequence[Metric]]) -> list[Metric]:
    """What several servers count, each series with a label that says whose it is. Sums of them would fall when one
    ends, which Prometheus would take for a start from 0."""
    merged: dict[str, Metric] = {}
    for replica, families in told.items():
        for family in families:
            into = merged.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            into.samples += [sample._replace(labels={**sample.labels, "replica": replica}) for sample in family.samples]
    return list(merged.values())


@dataclass(frozen=True)
class _Families(Collector):
    """Looks like a registry to what writes the text."""

    families: Sequence[Metric]

    def collect(self) -> Iterable[Metric]:
        return self.families

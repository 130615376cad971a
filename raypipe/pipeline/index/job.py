"""Building an index, and adding to one, from codes to the published version. Where shards are made is an argument."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from raypipe import storage
from raypipe.errors import OutputInUse, RaypipeError, WrongUsage
from raypipe.pipeline.encode.lease import Lease
from raypipe.pipeline.index.codes import rejected_of
from raypipe.pipeline.index.sampling import Pick, sample_picks
from raypipe.pipeline.index.spaces import Spaces
from raypipe.pipeline.index.stage import ShardReport, Work, finished_shards
from raypipe.pipeline.index.summary import RunRecord, Summary
from raypipe.pipeline.interrupts import told_to_end
from raypipe.retrieval.build import IndexSettings, fit_spaces, publish_new, stage_reductions
from raypipe.retrieval.changes import append_shards, refuse_known_ids, sweep
from raypipe.retrieval.manifest import Manifest, ShardEntry, SpaceEntry, read_manifest, read_space, versions
from raypipe.retrieval.shard_writer import Block

STATE = "_index"
RUN = "run.json"
CHANGE_WAIT_S = 30.0
ROWS_FIRST = "the rows at hand are finished first"


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is to be done. ``is_append``: the shards go into the index that is there, in its form."""

    work: Work
    spaces: Spaces
    settings: IndexSettings
    config: Mapping[str, Any]
    is_append: bool

    @property
    def sources(self) -> dict[str, str]:
        return {codes.hash: codes.uri for codes in self.work.datasets}


class Runner(Protocol):
    """Where vectors are computed and shards are written. ``workers`` says it in words."""

    @property
    def workers(self) -> str: ...

    @property
    def worker_count(self) -> int: ...

    def sample(self, work: Work, picks: Sequence[Pick], check: Callable[[], None]) -> Iterator[Block]:
        """Vectors of the picked rows, in their order. What ``check``, called again and again, raises ends it."""

    def stage(
        self, work: Work, spaces: Mapping[str, SpaceEntry], numbers: Sequence[int], moved: Callable[[int], None]
    ) -> Iterator[ShardReport]:
        """Do these shards, in any order. ``moved`` is told again and again how many rows were worked on since it was
        last told, be it none; what it raises ends it."""

    def facts(self) -> Mapping[str, Any]:
        """Measured on the way, for ``run.json``."""


def run_job(job: Job, runner: Runner, *, say: Callable[[str], None], watch: Callable[[RunRecord], None]) -> Summary:
    """Do the job, or what is left of it.

    Raises:
        OutputInUse: another job is writing there, or another index is there.
        WrongUsage: ids that are there already.
        Interrupted: by Ctrl-C or SIGTERM, where it comes to the main thread, at the next rows, or at once by a second
            one; a version that is being published is published first.
    """
    with told_to_end(say, ROWS_FIRST) as told:
        summary = _run(job, runner, say=say, watch=watch, check=told.check)
        told.check()
    return summary


def _run(
    job: Job,
    runner: Runner,
    *,
    say: Callable[[str], None],
    watch: Callable[[RunRecord], None],
    check: Callable[[], None],
) -> Summary:
    work = job.work
    rejected = rejected_of(work.datasets)
    is_done(job)  # what would be refused leaves no trace
    with Lease(lease_uri(work.out), say) as lease:
        remove_scratch(work.out)
        record = RunRecord(config=job.config, workers=runner.workers, worker_count=runner.worker_count)
        if is_done(job):
            return Summary(
                out=work.out, manifest=read_manifest(work.out), rejected=rejected, run=record.to_json("done")
            )
        if not job.is_append:
            storage.write_bytes(storage.join(work.out, STATE, "plan.json"), json.dumps({"plan": work.plan}).encode())
        state = "failed"
        try:
            entries = _entries(job, runner, record, check)
            reports = _stage_all(job, runner, entries, record, lease, watch, check)
            shards = [entry for number in sorted(reports) if (entry := reports[number].entry)]
            with record.timed("publish"), changing(work.out, say):
                manifest = _append(job, shards) if job.is_append else _publish(job, entries, shards)
            state = "done"
        finally:
            told = {**record.to_json(state), **runner.facts()}
            storage.write_bytes(storage.join(work.out, RUN), json.dumps(told, indent=2).encode())
    return Summary(out=work.out, manifest=manifest, rejected=rejected, run=told)


def lease_uri(out: str) -> str:
    """Whoever makes shards or deletes files holds it."""
    return storage.join(out, STATE, "lease.json")


@contextmanager
def changing(out: str, say: Callable[[str], None]) -> Iterator[None]:
    """Whoever writes the next version works in it: while some read the newest and others delete what no version names,
    what is on its way into the next one would be lost. Most are quick, so they are waited for.

    Raises:
        OutputInUse: one is not.
    """
    deadline = time.monotonic() + CHANGE_WAIT_S
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(Lease(storage.join(out, STATE, "change.json"), say))
                break
            except OutputInUse:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
        yield


def remove_scratch(out: str) -> None:
    """Delete what killed jobs left half written. For the holder of the lease."""
    fs, root = storage.filesystem(out)
    if storage.is_local(out) and fs.exists(root):
        for path in fs.ls(root, detail=False):
            name = str(path).rsplit("/", 1)[-1]
            if name.startswith(".staging-") and not name.startswith(".staging-plan-"):
                fs.rm(path, recursive=True)


def is_done(job: Job) -> bool:
    """An earlier run of the same job came to its end.

    Raises:
        OutputInUse: another index is there.
        WrongUsage: other files are.
    """
    out = job.work.out
    if job.is_append:
        return set(job.sources) <= set(read_manifest(out).sources)
    begun = _begun(out)
    if not versions(out):
        if begun is None:
            _refuse_foreign_files(out)
        return False
    if begun != job.work.plan:
        raise OutputInUse(
            f"{out!r} holds another index already: raypipe index append adds to it; or choose another place"
        )
    return True


def _begun(out: str) -> str | None:
    """The plan of the job that began there."""
    try:
        return str(json.loads(storage.read_bytes(storage.join(out, STATE, "plan.json")))["plan"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise RaypipeError(f"{out}: {STATE}/plan.json is damaged ({error}): delete it") from error


def _refuse_foreign_files(out: str) -> None:
    fs, root = storage.filesystem(out)
    fs.invalidate_cache()
    names = [str(path).rsplit("/", 1)[-1] for path in fs.ls(root, detail=False)] if fs.exists(root) else []
    if found := sorted(name for name in names if name != STATE and not name.startswith(".")):
        more = ", ..." if len(found) > 3 else ""
        raise WrongUsage(f"{out!r} is not empty and no index (it holds {', '.join(found[:3])}{more}); choose another")


def _entries(job: Job, runner: Runner, record: RunRecord, check: Callable[[], None]) -> Mapping[str, SpaceEntry]:
    """How rows are held: as the index has it; of a new one as an earlier run fitted it; else fitted now."""
    if job.is_append:
        return read_manifest(job.work.out).spaces
    uri = storage.join(job.work.staging, "spaces.json")
    try:
        return {name: read_space(tree) for name, tree in json.loads(storage.read_bytes(uri)).items()}
    except FileNotFoundError:
        pass
    with record.timed("sample"):
        picks = sample_picks(job.work.datasets, job.settings, job.spaces.forms)
        blocks = list(runner.sample(job.work, picks, check))
    if not sum(block.rows for block in blocks):
        raise WrongUsage("not one of the sampled faces has a vector that can be searched for")
    with record.timed("fit"):
        fitted = fit_spaces(job.settings, job.spaces.forms, [block for block in blocks if block.rows])
        entries = stage_reductions(job.work.out, fitted, job.spaces.bindings)
    told = {name: dataclasses.asdict(entry) for name, entry in entries.items()}
    storage.write_bytes(uri, json.dumps(told).encode())
    return entries


def _stage_all(
    job: Job,
    runner: Runner,
    entries: Mapping[str, SpaceEntry],
    record: RunRecord,
    lease: Lease,
    watch: Callable[[RunRecord], None],
    check: Callable[[], None],
) -> dict[int, ShardReport]:
    reports = finished_shards(job.work)
    left = [number for number in range(len(job.work.cuts)) if number not in reports]
    record.begin(rows=sum(job.work.cuts[n].last - job.work.cuts[n].first for n in left), before=list(reports.values()))

    def moved(rows: int) -> None:
        check()
        lease.check()
        record.done += rows
        watch(record)

    for report in runner.stage(job.work, entries, left, moved) if left else ():
        reports[report.number] = report
        record.add(report)
    if missing := [number for number in left if number not in reports]:
        raise RaypipeError(f"the job ended without shards {missing[:5]}; run the same command again to do the rest")
    return reports


def _publish(job: Job, entries: Mapping[str, SpaceEntry], shards: Sequence[ShardEntry]) -> Manifest:
    """The first version; then what earlier runs and other plans left is deleted."""
    out = job.work.out
    if len(job.work.datasets) > 1:
        refuse_known_ids(out, (), shards)
    manifest = publish_new(out, entries, shards, recall=job.settings.recall, sources=job.sources)
    storage.remove(job.work.staging, recursive=True)
    sweep(out)
    return manifest


def _append(job: Job, shards: Sequence[ShardEntry]) -> Manifest:
    """The next version."""
    manifest = append_shards(job.work.out, job.spaces.bindings, shards, sources=job.sources)
    storage.remove(job.work.staging, recursive=True)
    return manifest

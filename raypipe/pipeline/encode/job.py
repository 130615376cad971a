"""An encode job from its config to its manifest. Where the chunks run is an argument (``Runner``)."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Protocol

from raypipe import __version__, storage
from raypipe.config import as_dict
from raypipe.errors import RaypipeError, WrongUsage
from raypipe.pipeline.encode.agreement import made_from, refuse_other_plan
from raypipe.pipeline.encode.config import EncodeConfig, commit_rows_for
from raypipe.pipeline.encode.dataset import PLAN, RUN, Dataset, sum_statuses
from raypipe.pipeline.encode.face_model import FaceModel, load_networks, resolve_precision
from raypipe.pipeline.encode.lease import Lease
from raypipe.pipeline.encode.listing import Entry, Listing, open_listing, write_listing
from raypipe.pipeline.encode.sources import no_images, open_source
from raypipe.pipeline.encode.stages import ChunkReport, Work
from raypipe.pipeline.encode.summary import RunRecord, Summary
from raypipe.pipeline.interrupts import told_to_end
from raypipe.weights import Bundle, open_bundle

COMMIT_FIRST = "what is being written is committed first"


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is left to do, and all that is needed to do it. ``chunks`` in ascending order."""

    work: Work
    bundle: Bundle
    chunks: Sequence[int]

    @property
    def rows(self) -> int:
        """Images in ``chunks``; of a retry, also those that are kept."""
        return sum(self.work.listing.rows_in(chunk) for chunk in self.chunks)


class Runner(Protocol):
    """Where a job's chunks are worked on. ``workers`` says it in words."""

    @property
    def device(self) -> str:
        """``cpu`` or ``cuda``."""

    @property
    def workers(self) -> str: ...

    @property
    def model_workers(self) -> int: ...

    def run(self, job: Job, check: Callable[[], None]) -> Generator[ChunkReport, None, None]:
        """Do the chunks, in any order, and tell of each once it is committed. ``check`` is called where the work can
        end in good order, in any thread; what it raises ends it."""

    def facts(self) -> Mapping[str, Any]:
        """Measured on the way, for ``run.json``."""


def encode(
    config: EncodeConfig,
    runner: Runner,
    *,
    restart: bool,
    retry: frozenset[str],
    say: Callable[[str], None],
    watch: Callable[[RunRecord], None],
) -> Summary:
    """Do the job, or what is left of it.

    Args:
        runner: where the chunks are worked on.
        restart: delete what an earlier run left, and begin again.
        retry: statuses whose rows are done again in a finished dataset.
        say, watch: told of events and of progress.

    Raises:
        ModelMismatch: the output was made from another source, model or config.
        OutputInUse: another job is writing there.
        Interrupted: by Ctrl-C or SIGTERM, where it comes to the main thread; once what is being written is committed,
            or at once by a second one.
    """
    dataset = Dataset(config.out)
    with told_to_end(say, COMMIT_FIRST) as told:
        with _lease(dataset, say) as lease:
            dataset.remove_scratch()
            if restart:
                _refuse_hopeless(config)
                dataset.clear()
            job = prepare(config, dataset, device=runner.device, retry=retry, say=say, check=told.check)
            if retry:
                dataset.reopen(job.chunks)
            run = _run(dataset, job, runner, lease=lease, watch=watch, check=told.check)
            summary = _finish(dataset, job, run)
        told.check()
    return summary


def _lease(dataset: Dataset, say: Callable[[str], None]) -> Lease:
    if not storage.exists(storage.join(dataset.uri, *PLAN)):
        dataset.refuse_foreign_files()  # before anything is written or deleted there
    return Lease(dataset.lease_uri, say)


def prepare(
    config: EncodeConfig,
    dataset: Dataset,
    *,
    device: str,
    retry: frozenset[str],
    say: Callable[[str], None],
    check: Callable[[], None],
) -> Job:
    """List the source (or take the listing of an earlier run), agree with what is there, find what is left.

    ``check`` is called for every image that is listed; what it raises ends it.
    """
    bundle = open_bundle(config.model)
    asked = made_from(config, bundle)
    listing = open_listing(dataset.listing_uri)
    plan = dataset.read_json(*PLAN)
    if plan is None or listing is None or not listing.rows:  # nothing was ever encoded
        dataset.refuse_foreign_files()
        plan = _new_plan(config, asked, bundle, device)
        dataset.write_json(plan, *PLAN)
        listing = _list_source(config, dataset, plan["commit_rows"], say, check)
    refuse_other_plan(plan, asked, config.out)
    say(listing.in_words())
    finished = dataset.finished_chunks()
    unfinished = set(range(listing.chunks)) - finished
    chunks = sorted(unfinished | (dataset.chunks_with(retry) if retry else set()))
    face = replace(config.face, align=plan["align"])
    work = Work(
        config=replace(config, commit_rows=plan["commit_rows"], precision=plan["precision"], face=face),
        listing=listing,
        image_size=plan["image_size"],
        image_column=plan["image_column"],
        shapes={name: tuple(shape) for name, shape in plan["shapes"].items()},
        retry=retry,
        receipt=plan,
    )
    return Job(work=work, bundle=bundle, chunks=chunks)


def _run(
    dataset: Dataset,
    job: Job,
    runner: Runner,
    *,
    lease: Lease,
    watch: Callable[[RunRecord], None],
    check: Callable[[], None],
) -> dict[str, Any]:
    """Have the chunks done; what is to be told of it is returned, and written however it ends."""
    record = RunRecord(
        config=as_dict(job.work.config),
        receipt=job.work.receipt,
        device=runner.device,
        workers=runner.workers,
        model_workers=runner.model_workers,
        rows=job.rows,
    )
    state = "failed"
    try:
        with closing(runner.run(job, check)) as reports:
            for report in reports:
                lease.check()
                record.add(report)
                watch(record)
        state = "done"
    finally:
        told = {**record.to_json(state), **runner.facts()}
        dataset.write_json(told, RUN)
    return told


def _refuse_hopeless(config: EncodeConfig) -> None:
    """Nothing is deleted for a job that could not begin."""
    made_from(config, open_bundle(config.model))
    source = open_source(config.source, config.columns)
    if next(source.entries(), None) is None:
        raise no_images(config.source, source)


def _new_plan(config: EncodeConfig, asked: Mapping[str, Any], bundle: Bundle, device: str) -> dict[str, Any]:
    """The choices left open by the config, made once: a later run takes them from here."""
    source = open_source(config.source, config.columns)
    precision = resolve_precision(config.precision, device)
    networks, image_size = load_networks(bundle, config, "cpu")
    shapes = FaceModel(networks, device="cpu", precision="float32", batch_size=1).column_shapes(image_size)
    if taken := sorted({field.name for field in source.labels} & set(shapes)):
        raise WrongUsage(f"{config.source!r} has columns with the names of codes: {', '.join(taken)}; rename them")
    return {
        "raypipe": __version__,
        "made_from": dict(asked),
        "align": source.align if config.face.align == "auto" else config.face.align,
        "precision": precision,
        "commit_rows": commit_rows_for(image_size, config.commit_rows),
        "image_size": image_size,
        "image_column": source.image_column,
        "source_kind": source.kind,
        "shapes": {name: list(shape) for name, shape in shapes.items()},
    }


def _list_source(
    config: EncodeConfig, dataset: Dataset, commit_rows: int, say: Callable[[str], None], check: Callable[[], None]
) -> Listing:
    say(f"listing {config.source}")
    source = open_source(config.source, config.columns)
    entries = _checked(islice(source.entries(), config.limit or None), check)
    listing = write_listing(dataset.listing_uri, entries, source.labels, commit_rows, source.skipped)
    if listing.rows == 0:
        raise no_images(config.source, source)
    return listing


def _checked(entries: Iterable[Entry], check: Callable[[], None]) -> Iterator[Entry]:
    for entry in entries:
        check()
        yield entry


def _finish(dataset: Dataset, job: Job, run: Mapping[str, Any]) -> Summary:
    """Write the manifest, once every input has its row.

    Raises:
        RaypipeError: rows are missing, which would be a defect of the job.
    """
    listing = job.work.listing
    parts = dataset.parts(dataset.finished_chunks())
    rows = sum(part.rows for part in parts)
    if len(parts) != listing.chunks or rows != listing.rows:
        raise RaypipeError(
            f"the job ended with {rows:,} of {listing.rows:,} rows in {len(parts)} of {listing.chunks} parts; "
            f"run the same command again to do the rest"
        )
    if job.chunks or not dataset.is_complete():
        dataset.finish(parts, job.work.receipt)
    return Summary(out=dataset.uri, rows=rows, statuses=dict(sum_statuses(parts)), run=run)

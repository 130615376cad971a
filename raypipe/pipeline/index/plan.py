"""What a build or an append would do and cost, found without writing anything to the index."""

from __future__ import annotations

import itertools
import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from raypipe import __version__, storage
from raypipe.config import as_dict
from raypipe.contract import SearchSpace
from raypipe.errors import RaypipeError, WrongUsage
from raypipe.pipeline.index.codes import Codes, is_searchable, ok_rows, open_codes, rejected_of, require_model
from raypipe.pipeline.index.config import ROWS_PER_SHARD, AppendConfig, IndexConfig
from raypipe.pipeline.index.job import Job, is_done
from raypipe.pipeline.index.sampling import Pick, sample_picks
from raypipe.pipeline.index.spaces import Spaces, open_spaces
from raypipe.pipeline.index.stage import Cut, ShardWorker, Work
from raypipe.pipeline.index.summary import counted
from raypipe.retrieval.build import IndexSettings, fit_spaces
from raypipe.retrieval.manifest import read_manifest
from raypipe.retrieval.scan_rows import column_count
from raypipe.retrieval.shard_writer import BY_ID, LABELS, write_shard
from raypipe.weights import Bundle, open_bundle

TRIAL_ROWS = 2048


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Estimates of a job. Seconds of one worker for each row, timed on ``trial_rows`` of the first part.

    ``memory_bytes``: what the scan rows take wherever the index is searched, at most. ``left_out``: label columns of
    other types than an index takes. ``there``: what the job would find at the output; ``refusal``: why it would not
    begin there, empty where it would.
    """

    out: str
    sources: Mapping[str, int]
    rejected: Mapping[str, int]
    rows: int
    shards: int
    spaces: Mapping[str, Mapping[str, Any]]
    labels: Sequence[str]
    left_out: Sequence[str]
    recall: float
    factory: str
    disk_bytes: int
    memory_bytes: int
    workers: str
    worker_count: int
    seconds: float
    trial_rows: int
    trial_rows_per_s: float
    there: str
    refusal: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def in_words(self) -> str:
        if not self.rows:
            return f"{self.out}: {self.refusal or self.there}: all of these codes are in the index"
        sources = "; ".join(f"{uri}: {counted(rows, 'face')}" for uri, rows in self.sources.items())
        rejected = ", ".join(f"{count:,} {status}" for status, count in sorted(self.rejected.items()))
        recall = "exact and certified" if self.recall == 1 else f"about {self.recall:.0%} of the true hits"
        if self.factory:
            recall = f"by Faiss {self.factory}, compared in full but never certified"
            memory = f"what {self.factory} takes"
        spaces = "; ".join(
            f"{name} ({space['width']} numbers, {space['metric'].replace('_', ' ')}, {space['axes']} axes)"
            for name, space in self.spaces.items()
        )
        each, held = self.disk_bytes / max(1, self.rows), self.memory_bytes / max(1, self.rows)
        memory = f"about {_size(self.memory_bytes)}, {held:,.0f} bytes a row"
        lines = [
            f"codes       {sources}" + (f" (left out: {rejected})" if rejected else ""),
            f"index       {self.out}: {counted(self.shards, 'shard')}; {self.refusal or self.there}",
            f"spaces      {spaces}",
            f"labels      {counted(len(self.labels), 'column')}"
            + (f"; not searchable and left out: {', '.join(self.left_out)}" if self.left_out else ""),
            f"answers     {recall}, unless a query asks for something else",
            f"disk        about {_size(self.disk_bytes)}, {each:,.0f} bytes a row",
            f"memory      {memory} where it is searched",
            f"workers     {self.workers}",
            (
                f"time        about {self.seconds:,.1f} s at {self.trial_rows_per_s:,.0f} rows/s a worker "
                f"(timed here on {self.trial_rows:,} rows)"
            ),
        ]
        return "\n".join(lines)


def build_job(config: IndexConfig) -> Job:
    """A new index.

    Raises:
        WrongUsage: no such space, or codes that are not finished or empty.
        ModelMismatch: codes of another model.
    """
    bundle = open_bundle(config.model)
    spaces = open_spaces(bundle, config.spaces)
    datasets = _open_all(config.codes, bundle, spaces)
    settings = config.settings()
    for space in spaces.forms.values():
        settings.axes_of(space)  # too little memory is told before anything begins
    work = _work(config.out, config.model, bundle, spaces, datasets, config.shards, as_dict(config.settings()))
    return Job(work=work, spaces=spaces, settings=settings, config=as_dict(config), is_append=False)


def append_job(config: AppendConfig) -> Job:
    """New codes into an index that is there; datasets that it has already are left out.

    Raises:
        WrongUsage: no index there, or as ``build_job``.
        ModelMismatch: codes or index are of another model.
    """
    manifest, bundle = read_manifest(config.index), open_bundle(config.model)
    spaces = open_spaces(bundle, list(manifest.spaces))
    manifest.require(spaces.bindings)
    datasets = [codes for codes in _open_all(config.codes, bundle, spaces) if codes.hash not in manifest.sources]
    held = {name: asdict(entry) for name, entry in manifest.spaces.items()}
    work = _work(config.index, config.model, bundle, spaces, datasets, config.shards, held)
    first = next(iter(manifest.spaces.values()))
    settings = IndexSettings(recall=manifest.recall, precision=first.precision, factory=first.factory)
    return Job(work=work, spaces=spaces, settings=settings, config=as_dict(config), is_append=True)


def plan_job(job: Job, *, workers: str, worker_count: int) -> Plan:
    """Look at the output, and try the job on some rows of the first part."""
    work, settings = job.work, job.settings
    trial = _try(job)
    spaces = {
        name: {"width": space.width, "metric": space.metric, "axes": settings.axes_of(space)}
        for name, space in job.spaces.forms.items()
    }
    vector_bytes = sum(_disk_bytes(space, settings) for space in job.spaces.forms.values())
    memory = sum(_memory_bytes(space, settings) for space in job.spaces.forms.values())
    labels = {name: kind for codes in work.datasets for name, kind in codes.label_types().items()}
    there, refusal = _there(job)
    each_s = trial.seconds / max(1, trial.rows)
    at_once = max(1, min(worker_count, len(work.cuts)))
    return Plan(
        out=work.out,
        sources={codes.uri: codes.rows for codes in work.datasets},
        rejected=rejected_of(work.datasets),
        rows=work.rows,
        shards=len(work.cuts),
        spaces=spaces,
        labels=[name for name, kind in labels.items() if is_searchable(kind)],
        left_out=[f"{name} ({kind})" for name, kind in labels.items() if not is_searchable(kind)],
        recall=settings.recall,
        factory=settings.factory,
        disk_bytes=int(work.rows * (vector_bytes + trial.label_bytes / max(1, trial.rows))),
        memory_bytes=work.rows * memory,
        workers=workers,
        worker_count=worker_count,
        seconds=round(work.rows * each_s / at_once + trial.fit_s_per_row * _sampled(job), 1),
        trial_rows=trial.rows,
        trial_rows_per_s=round(1 / each_s, 1) if each_s else 0.0,
        there=there,
        refusal=refusal,
    )


@dataclass(frozen=True)
class _Trial:
    rows: int = 0
    seconds: float = 0.0
    fit_s_per_row: float = 0.0
    label_bytes: int = 0


def _try(job: Job) -> _Trial:
    """A shard of some rows, written to a scratch folder: the second time, as first times load libraries."""
    dataset = next((d for d, codes in enumerate(job.work.datasets) if codes.rows), None)
    if dataset is None:
        return _Trial()
    codes = job.work.datasets[dataset]
    number = next(n for n, part in enumerate(codes.parts) if ok_rows(part))
    pick = Pick(dataset, number, tuple(range(min(TRIAL_ROWS, ok_rows(codes.parts[number])))))
    settings = replace(job.settings, factory="")  # one may need more rows than a trial has
    worker = ShardWorker(job.work, job.spaces)
    block = worker.sample(pick)
    for _ in range(2):
        started = time.perf_counter()
        forms = fit_spaces(settings, job.spaces.forms, [block] if block.rows else [])
        fitted = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            info = write_shard(Path(folder) / "shard", [worker.sample(pick)], forms)
            fit_s, seconds = fitted - started, time.perf_counter() - fitted
    labels = sum(file.bytes for file in info.files if file.name in (LABELS, BY_ID))
    rows = max(1, block.rows)
    return _Trial(block.rows, seconds, 0.0 if job.is_append else fit_s / rows, labels)


def _sampled(job: Job) -> int:
    return sum(len(pick.places) for pick in sample_picks(job.work.datasets, job.settings, job.spaces.forms))


def _there(job: Job) -> tuple[str, str]:
    try:
        done = is_done(job)
    except RaypipeError as error:
        return "", str(error)
    return ("nothing is left to do" if done else "the job would begin or go on there"), ""


def _open_all(uris: Sequence[str], bundle: Bundle, spaces: Spaces) -> list[Codes]:
    datasets = [open_codes(uri) for uri in dict.fromkeys(map(storage.absolute, uris))]
    for codes in datasets:
        require_model(codes, bundle, spaces.methods)
        spaces.columns(list(codes.shapes))
        if not codes.rows:
            raise WrongUsage(f"{codes.uri!r} has no row with status 'ok'")
    return datasets


def _work(
    out: str,
    model: str,
    bundle: Bundle,
    spaces: Spaces,
    datasets: Sequence[Codes],
    shards: int,
    held: Mapping[str, Any],
) -> Work:
    cuts = cut_rows([codes.rows for codes in datasets], shards)
    told = {
        "raypipe": __version__,
        "codes": [codes.hash for codes in datasets],
        "bindings": {name: vars(binding) for name, binding in spaces.bindings.items()},
        "cuts": [vars(cut) for cut in cuts],
        "held": held,
    }
    return Work(
        out=storage.absolute(out),
        plan=storage.sha256(json.dumps(told, sort_keys=True).encode()),
        model=model,
        model_fingerprint=bundle.fingerprint,
        spaces=tuple(spaces.bindings),
        datasets=tuple(datasets),
        cuts=cuts,
    )


def cut_rows(rows: Sequence[int], shards: int) -> tuple[Cut, ...]:
    """Each dataset's rows in so many shards of nearly the same size; 0: of ``ROWS_PER_SHARD`` at most.

    A shard is of one dataset, so there are at least as many as datasets; and none is empty.
    """
    total, cuts = sum(rows), []
    for dataset, count in enumerate(rows):
        asked = round(shards * count / total) if shards else -(-count // ROWS_PER_SHARD)
        pieces = max(1, min(asked, count))
        bounds = np.linspace(0, count, pieces + 1).astype(int).tolist()
        cuts += [Cut(dataset, first, last) for first, last in itertools.pairwise(bounds)]
    return tuple(cuts)


def _disk_bytes(space: SearchSpace, settings: IndexSettings) -> int:
    """Of a row: its full vector, its scan row, and its place in each attribute's order."""
    attributes = len(space.coordinates)
    rest = (space.width - attributes) * np.dtype(settings.precision).itemsize
    return 4 * attributes + rest + 8 * attributes + _memory_bytes(space, settings)


def _memory_bytes(space: SearchSpace, settings: IndexSettings) -> int:
    return 2 * column_count(settings.axes_of(space), len(space.coordinates)) + 8


def _size(count: float) -> str:
    return f"{count / 2**30:,.2f} GiB" if count >= 2**30 else f"{count / 2**20:,.1f} MiB"

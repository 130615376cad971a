"""What a job would do and cost, found without writing anything: ``--dry-run``."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np

from raypipe.config import as_dict
from raypipe.pipeline.encode.config import EncodeConfig, commit_rows_for
from raypipe.pipeline.encode.face_model import FaceModel, load_networks, resolve_precision
from raypipe.pipeline.encode.output_state import OutputState, look_at_output
from raypipe.pipeline.encode.sources import no_images, open_source
from raypipe.weights import open_bundle

STORED_SHARE = 0.93
"""float16 codes hardly compress: what zstd leaves of them, measured on codes of real faces."""

ROW_BYTES = 120
"""The other columns of a row, compressed: mostly the sha256."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Estimates of a job. ``model_rows_per_s`` is one worker's, measured on blank images on this machine."""

    config: Mapping[str, Any]
    source_kind: str
    rows: int
    parts: int
    commit_rows: int
    batch_size: int
    columns: Mapping[str, tuple[int, ...]]
    bytes_out: int
    model_rows_per_s: float
    model_workers: int
    workers: str
    seconds: float
    found: OutputState

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def in_words(self) -> str:
        columns = ", ".join(f"{name} {'x'.join(map(str, shape))} float16" for name, shape in self.columns.items())
        lost = min(self.rows, self.commit_rows * self.model_workers)
        lost_s = lost / max(self.model_rows_per_s * self.model_workers, 1e-9)
        size, rate = f"about {self.bytes_out / 2**20:,.1f} MiB", f"{self.model_rows_per_s:,.0f}"
        return "\n".join(
            [
                f"source      {self.config['source']} ({self.source_kind}): {self.rows:,} images",
                f"output      {self.config['out']}: {self.parts:,} parts of {self.commit_rows:,} rows, {size}",
                f"there now   {self.found.in_words()}",
                f"columns     {columns}",
                f"model       {self.config['model']}, batches of up to {self.batch_size}",
                f"workers     {self.workers}",
                f"time        about {self.seconds:,.0f} s at {rate} images/s a model worker (timed on blanks here)",
                f"a crash     costs at most one part a worker: {lost:,} images, {lost_s:,.1f} s of work",
            ]
        )


def plan_job(config: EncodeConfig, *, device: str, model_workers: int, workers: str, restart: bool) -> Plan:
    """Look at the output, list the source, load the model, time it. Writes nothing."""
    bundle = open_bundle(config.model)
    found = look_at_output(config, bundle, restart=restart)
    source = open_source(config.source, config.columns)
    rows = sum(1 for _ in islice(source.entries(), config.limit or None))
    if not rows:
        raise no_images(config.source, source)
    networks, image_size = load_networks(bundle, config, device)
    precision = resolve_precision(config.precision, device)
    model = FaceModel(networks, device=device, precision=precision, batch_size=config.batch_size)
    columns = model.column_shapes(image_size)
    commit_rows = commit_rows_for(image_size, config.commit_rows)
    rate = _rows_per_s(model, image_size, min(model.batch_size, commit_rows, rows))
    code_bytes = 2 * sum(int(np.prod(shape)) for shape in columns.values())
    return Plan(
        config=as_dict(config),
        source_kind=source.kind,
        rows=rows,
        parts=-(-rows // commit_rows),
        commit_rows=commit_rows,
        batch_size=model.batch_size,
        columns=columns,
        bytes_out=int(rows * (code_bytes * STORED_SHARE + ROW_BYTES)),
        model_rows_per_s=round(rate, 1),
        model_workers=model_workers,
        workers=workers,
        seconds=round(max(0, rows - found.rows_done) / (rate * model_workers), 1),
        found=found,
    )


def _rows_per_s(model: FaceModel, image_size: int, batch_size: int) -> float:
    blank = np.zeros((batch_size, image_size, image_size, 3), np.uint8)
    model(blank)
    started, batches = time.perf_counter(), 0
    while time.perf_counter() - started < 1.0:
        model(blank)
        batches += 1
    return batches * len(blank) / (time.perf_counter() - started)

"""What a file, folder or URI is, told from what lies there: a dataset, an index, a model, a training, or images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow.parquet as pq

from raypipe import faces, storage
from raypipe.pipeline.encode.config import SourceConfig
from raypipe.pipeline.encode.dataset import PLAN, RUN, STATE, Dataset, Part, sum_statuses
from raypipe.pipeline.encode.sources import no_images, open_source
from raypipe.pipeline.train.checkpoints import Checkpoints
from raypipe.weights import MODEL_FILE, Bundle, open_bundle, shipped_models

EXAMPLES = 3


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """An encoded dataset. ``examples``: status -> some rows' ids and errors."""

    uri: str
    complete: bool
    rows: int
    rows_done: int
    parts: int
    bytes: int
    statuses: Mapping[str, int]
    examples: Mapping[str, list[dict[str, str]]]
    plan: Mapping[str, Any]
    run: Mapping[str, Any]


def dataset_info(uri: str) -> DatasetInfo:
    """Counts by status with examples, from the part files' own records."""
    dataset = Dataset(uri)
    plan = dataset.read_json(*PLAN) or {}
    listing = dataset.read_json(STATE, "listing", "listing.json") or {}
    chunks = sorted(dataset.finished_chunks())
    parts = dataset.parts(chunks)
    statuses = sum_statuses(parts)
    return DatasetInfo(
        uri=uri,
        complete=dataset.is_complete(),
        rows=listing.get("rows", 0),
        rows_done=sum(part.rows for part in parts),
        parts=len(parts),
        bytes=sum(part.bytes for part in parts),
        statuses=dict(statuses.most_common()),
        examples={status: _examples(dataset, status, parts) for status in sorted(statuses) if status != faces.OK},
        plan=plan,
        run=dataset.read_json(RUN) or {},
    )


def describe(uri: str) -> tuple[str, dict[str, Any]]:
    """What lies at ``uri``, in words and as plain values.

    Raises:
        WrongUsage: nothing that raypipe knows.
    """
    if uri in shipped_models() or storage.exists(storage.join(uri, MODEL_FILE)):
        bundle = open_bundle(uri)
        return _model_words(bundle), {"kind": "model", **asdict(bundle), "fingerprint": bundle.fingerprint}
    plan = Dataset(uri).read_json(*PLAN)
    if plan is not None and "recipe" in plan:
        return _training(uri, plan["recipe"])
    if plan is not None:
        dataset = dataset_info(uri)
        return _dataset_words(dataset), {"kind": "dataset", **asdict(dataset)}
    if any(name.startswith("manifest-") for name in storage.list_names(uri)):
        from raypipe.pipeline.index.info import index_info  # faiss is not needed for all else here

        index = index_info(uri)
        return index.in_short(), {"kind": "index", **index.to_json()}
    source = open_source(uri, SourceConfig())
    labels = [field.name for field in source.labels]
    rows = sum(1 for _ in source.entries())
    if not rows:
        raise no_images(uri, source)
    words = f"{uri}: {rows:,} images ({source.kind}); labels: {', '.join(labels) or 'none'}"
    return words, {"kind": source.kind, "uri": uri, "rows": rows, "labels": labels, "skipped": dict(source.skipped)}


def _training(uri: str, recipe: str) -> tuple[str, dict[str, Any]]:
    """A run that has not written its model yet."""
    steps = Checkpoints(uri, keep=0).steps()
    done = steps[-1] if steps else 0
    words = f"{uri}: training of {recipe}, {done:,} steps done, not complete: run the same train command again to go on"
    return words, {"kind": "training", "uri": uri, "recipe": recipe, "steps_done": done}


def _dataset_words(info: DatasetInfo) -> str:
    state = "complete" if info.complete else "not complete: run the same encode command again to go on"
    columns = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in info.plan.get("shapes", {}).items())
    made_from = info.plan.get("made_from", {})
    fingerprint = str(made_from.get("model_fingerprint"))
    lines = [
        f"{info.uri}: encoded dataset, {state}",
        f"  {info.rows_done:,} of {info.rows:,} rows in {info.parts:,} parts, {info.bytes / 2**20:,.1f} MiB",
        f"  codes: {columns} (float16)",
        f"  from {made_from.get('source')} by model {made_from.get('model')} ({fingerprint[:12]})",
    ]
    if info.run:
        lines.append(
            f"  last run: {info.run['state']}, {info.run['images_per_s']:,.1f} images/s on {info.run['device']}"
        )
    for status, count in info.statuses.items():
        lines.append(f"  {count:>12,}  {status}: {faces.STATUSES.get(status, '')}")
        told = [": ".join(filter(None, (row["image_id"], row["error"]))) for row in info.examples.get(status, [])]
        lines += [f"{'':>16}{line}" for line in told]
    return "\n".join(lines)


def _model_words(bundle: Bundle) -> str:
    lines = [f"{bundle.uri}: model {bundle.name}, fingerprint {bundle.fingerprint[:12]}"]
    for name, part in bundle.parts.items():
        lines.append(f"  {name:<14} {part.kind:<12} {bundle.size((name,)) / 2**20:6.1f} MiB  sha256 {part.sha256[:12]}")
    return "\n".join(lines)


def _examples(dataset: Dataset, status: str, parts: list[Part]) -> list[dict[str, str]]:
    """The first rows with a status; only parts that have one are opened."""
    found: list[dict[str, str]] = []
    for part in parts:
        if status not in part.statuses:
            continue
        columns = ["image_id", "uri", "error"]
        table = pq.read_table(dataset.open_part(part), columns=[*columns, "status"], filters=[("status", "=", status)])
        found += table.select(columns).to_pylist()
        if len(found) >= EXAMPLES:
            break
    return found[:EXAMPLES]

"""The encode job on Ray Data: a chunk is a block from end to end.

Ray reads numbers of chunks; tasks fetch and decode, an autoscaling pool of actors computes codes, tasks commit part
files. What is finished is decided by the part files alone (``pipeline.encode.dataset``), so tasks and actors may
die and be tried again at any moment: the worst is a chunk done twice, with the same result.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from typing import Any

import pyarrow as pa
import ray
import ray.data
import torch
from ray.data import ExecutionResources
from ray.data.block import BlockMetadata
from ray.data.datasource import Datasource, ReadTask
from ray.data.exceptions import ExecutionTimeoutError
from ray.exceptions import RayError
from ray.util.metrics import Counter

from raypipe.errors import ModelMismatch, RaypipeError
from raypipe.on_ray.cluster import cause_of, cluster_nodes
from raypipe.on_ray.layout import CHUNKS_IN_STORE, Layout, lay_out
from raypipe.on_ray.settings import RaySettings
from raypipe.pipeline.encode.beside import Beside
from raypipe.pipeline.encode.config import EncodeConfig, commit_rows_for
from raypipe.pipeline.encode.face_model import FaceModel, load_networks
from raypipe.pipeline.encode.job import Job
from raypipe.pipeline.encode.stages import ChunkReport, CommitPart, EncodeFaces, ReadFaces, Work
from raypipe.pipeline.loading import picture_size
from raypipe.weights import open_bundle

ACTOR_BYTES = 2**30


def layout_for(config: EncodeConfig, settings: RaySettings, *, require_gpu: bool) -> Layout:
    """The layout of a job on the cluster that is connected.

    Raises:
        ImpossibleCluster: it could never run there.
    """
    bundle = open_bundle(config.model)
    image_size = picture_size(bundle)
    return lay_out(
        cluster_nodes(),
        settings,
        require_gpu=require_gpu,
        actor_bytes=ACTOR_BYTES + 2 * bundle.size(config.parts_of(bundle)),
        chunk_bytes=3 * image_size**2 * commit_rows_for(image_size, config.commit_rows),
    )


@dataclass(frozen=True)
class RunOnRay:
    """A runner (``pipeline.encode.job.Runner``) for the cluster that is connected."""

    layout: Layout
    settings: RaySettings

    @property
    def device(self) -> str:
        return self.layout.device

    @property
    def workers(self) -> str:
        return self.layout.in_words()

    @property
    def model_workers(self) -> int:
        return self.layout.actors

    def facts(self) -> Mapping[str, Any]:
        """Bytes that the object stores had to spill to disk since the cluster started: 0 when all is well."""
        return {"spilled_bytes": spilled_bytes()}

    def run(self, job: Job, check: Callable[[], None]) -> Generator[ChunkReport, None, None]:
        """Do the chunks, in any order, as many at once as the layout allows.

        What ``check`` raises ends it at once; the cluster ends with the next chunk, or with this process.

        Raises:
            RaypipeError: a stage failed, workers died more often than the settings allow, or nothing moved for too
                long. What is committed stays.
        """
        if not job.chunks:
            return
        _configure(self.settings, self._store_bytes(job))
        reports = Beside(self._reports(job), "encode-on-ray", daemon=True)
        try:
            for report in reports:
                check()
                if report is not None:
                    yield report
        except (RayError, ExecutionTimeoutError) as error:
            raise RaypipeError(f"the cluster did not finish the job: {cause_of(error)}") from error
        finally:
            reports.leave()

    def _reports(self, job: Job) -> Generator[ChunkReport, None, None]:
        for row in self._dataset(job).iter_rows():
            yield ChunkReport(**json.loads(row["report"]))

    def _store_bytes(self, job: Job) -> int:
        """What chunks of pixels may hold of the object stores: enough that nobody waits, however slow the model is."""
        chunk_bytes = 3 * job.work.image_size**2 * job.work.config.commit_rows
        return chunk_bytes * (CHUNKS_IN_STORE + 3 * self.layout.actors + 2 * self.layout.decoders)

    def _dataset(self, job: Job) -> ray.data.Dataset:
        layout, work = self.layout, job.work
        whole_blocks: dict[str, Any] = {"batch_size": None, "batch_format": "pyarrow"}
        return (
            ray.data.read_datasource(
                _Chunks(job),
                override_num_blocks=len(job.chunks),
                num_cpus=layout.decode_cpus,
            )
            .map_batches(
                _EncodeActor,
                fn_constructor_args=(work, layout.device, layout.threads),
                compute=ray.data.ActorPoolStrategy(min_size=1, max_size=layout.actors, max_tasks_in_flight_per_actor=3),
                num_cpus=layout.actor_cpus,
                num_gpus=layout.actor_gpus,
                max_restarts=self.settings.actor_restarts,
                # A node that just died refuses calls many times over before Ray knows; the restarts are the limit.
                max_task_retries=-1,
                **whole_blocks,
            )
            .map_batches(_commit_chunk, fn_kwargs={"work": work}, num_cpus=layout.write_cpus, **whole_blocks)
        )


class _EncodeActor:
    """``EncodeFaces`` in an actor of its own: weights are loaded once."""

    def __init__(self, work: Work, device: str, threads: int) -> None:
        torch.set_num_threads(threads)
        bundle = open_bundle(work.config.model)
        expected = work.receipt["made_from"]["model_fingerprint"]
        if bundle.fingerprint_of(work.config.parts_of(bundle)) != expected:
            raise ModelMismatch(f"the model at {work.config.model!r} is another one on this node than on the driver's")
        networks, _ = load_networks(bundle, work.config, device)
        config = work.config
        model = FaceModel(networks, device=device, precision=config.precision, batch_size=config.batch_size)
        self._encode = EncodeFaces(work, model)

    def __call__(self, table: pa.Table) -> pa.Table:
        return self._encode(table)


class _Chunks(Datasource):  # type: ignore[misc]
    """A read task a chunk, which fetches and decodes it. Read tasks take the CPUs that the job gives them; those of
    ``ray.data.range`` always want a whole one, which a small cluster full of model workers never has."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self._job = job

    def get_name(self) -> str:
        return "Faces"

    def estimate_inmemory_data_size(self) -> int:
        return self._job.rows * 3 * self._job.work.image_size**2

    def get_read_tasks(self, parallelism: int, *_: Any, **__: Any) -> list[ReadTask]:
        work = ray.put(self._job.work)
        listing, row_bytes = self._job.work.listing, 3 * self._job.work.image_size**2
        return [
            ReadTask(
                partial(_read_chunk, chunk, work),
                BlockMetadata(
                    num_rows=listing.rows_in(chunk),
                    size_bytes=listing.rows_in(chunk) * row_bytes,
                    input_files=None,
                    exec_stats=None,
                ),
            )
            for chunk in self._job.chunks
        ]


def _read_chunk(chunk: int, work: ray.ObjectRef) -> Iterator[pa.Table]:
    yield _reader(_AsKey(ray.get(work)))(chunk)


def _commit_chunk(table: pa.Table, *, work: Work) -> pa.Table:
    report = CommitPart(work)(table)
    images = Counter("raypipe_encode_images", "Images that an encode job has written.", tag_keys=("status",))
    for status, count in report.statuses.items():
        images.inc(count, {"status": status})
    busy = Counter("raypipe_encode_stage_seconds", "Seconds that the stages of encode jobs took.", tag_keys=("stage",))
    for stage, seconds in report.seconds.items():
        busy.inc(seconds, {"stage": stage})
    return pa.table({"report": [json.dumps(asdict(report))]})


class _AsKey:
    """A job's work as a key: one reader, with its decoding process, serves all tasks of a job in a worker process."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self._text = json.dumps(asdict(work), sort_keys=True, default=sorted)

    def __hash__(self) -> int:
        return hash(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _AsKey) and self._text == other._text


@lru_cache(maxsize=1)
def _reader(key: _AsKey) -> ReadFaces:
    return ReadFaces(key.work)


def _configure(settings: RaySettings, store_bytes: int) -> None:
    context = ray.data.DataContext.get_current()
    context.execution_options.resource_limits = ExecutionResources.for_limits(object_store_memory=store_bytes)
    context.target_max_block_size = None  # a chunk must stay one block
    context.execution_no_progress_timeout_s = settings.no_progress_timeout_s
    context.max_errored_blocks = 0  # rows carry their own errors: a lost block is a defect
    context.enable_progress_bars = False
    context.issue_detectors_config.detectors = []
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    # max_restarts has no other way in yet
    warnings.filterwarnings("ignore", message="`ray_remote_args` is deprecated", category=DeprecationWarning)
    context.print_on_execution_start = False
    context.execution_options.preserve_order = False


def spilled_bytes() -> int:
    """What the object stores of all nodes have spilled so far."""
    from ray._private.internal_api import get_memory_info_reply, get_state_from_address

    reply = get_memory_info_reply(get_state_from_address(ray.get_runtime_context().gcs_address))
    return int(reply.store_stats.spilled_bytes_total)

"""An encode job in this process: reading ahead, the model, and writing behind, in a thread each."""

from __future__ import annotations

import resource
from collections import deque
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch

from raypipe.pipeline.encode.beside import Beside
from raypipe.pipeline.encode.face_model import FaceModel, load_networks
from raypipe.pipeline.encode.job import Job
from raypipe.pipeline.encode.stages import ChunkReport, CommitPart, EncodeFaces, ReadFaces
from raypipe.pipeline.interrupts import Interrupted

CHUNKS_AHEAD = 2


@dataclass(frozen=True)
class RunLocally:
    """A runner (``job.Runner``) that needs nothing but this process."""

    device: str
    model_workers: int = 1

    @property
    def workers(self) -> str:
        return f"this process, {torch.get_num_threads()} threads"

    def run(self, job: Job, check: Callable[[], None]) -> Generator[ChunkReport, None, None]:
        """Do the chunks in order. At most ``CHUNKS_AHEAD`` chunks of pixels wait on either side of the model.

        ``check`` is called between images and between batches, by the threads that work on them.
        """
        if not job.chunks:
            return
        reports = Beside(_run(job, self.device, check), "encode", daemon=False)
        try:
            yield from (report for report in reports if report is not None)
        except GeneratorExit:  # whoever asked for it has failed: nothing may be written after that
            reports.leave()
            reports.join()
            raise
        finally:
            reports.leave()

    def facts(self) -> Mapping[str, Any]:
        """The most memory this process has held, in bytes."""
        return {"peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def _run(job: Job, device: str, check: Callable[[], None]) -> Generator[ChunkReport, None, None]:
    config = job.work.config
    networks, _ = load_networks(job.bundle, config, device)
    model = FaceModel(networks, device=device, precision=config.precision, batch_size=config.batch_size, check=check)
    read, encode, commit = ReadFaces(job.work, check), EncodeFaces(job.work, model), CommitPart(job.work)
    chunks = iter(job.chunks)
    with ThreadPoolExecutor(1, "read") as reading, ThreadPoolExecutor(1, "write") as writing:
        try:
            written: deque[Future[ChunkReport]] = deque()
            waiting = deque(reading.submit(read, chunk) for chunk in islice(chunks, CHUNKS_AHEAD))
            while waiting:
                table = encode(waiting.popleft().result())
                waiting.extend(reading.submit(read, chunk) for chunk in islice(chunks, 1))
                written.append(writing.submit(commit, table))
                while written and (written[0].done() or len(written) > CHUNKS_AHEAD or not waiting):
                    yield written.popleft().result()
        except Interrupted:
            yield from (report.result() for report in written)
            raise
        finally:
            reading.shutdown(cancel_futures=True)
            read.close()

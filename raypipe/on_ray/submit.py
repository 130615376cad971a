"""Any command as a Ray job: start it or find it running, follow its log, start it again when its machine is lost.

A job runs once and dies with its cluster, so retries are the submitter's work. The name of a job follows from its
command; its attempts are ``name``, ``name-2``, ``name-3``, ...
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobErrorType, JobStatus

import raypipe
from raypipe.errors import RaypipeError, WrongUsage
from raypipe.on_ray.job_client import TROUBLE, JobClient, connect

QUIET_S = 60.0  # a log silent for so long is asked for anew: a connection cut on the way looks just the same
RETRY_S = 1.0
STOP_GRACE_S = 30  # between SIGTERM and SIGKILL; Ray's own 3 s are too short to write what is finished

LOST = (
    JobErrorType.JOB_SUPERVISOR_ACTOR_DIED,
    JobErrorType.JOB_SUPERVISOR_ACTOR_START_FAILURE,
    JobErrorType.JOB_SUPERVISOR_ACTOR_UNKNOWN_FAILURE,
)


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What to run, and where.

    Args:
        address: the cluster: ``http://host:8265``, ``ray://host:10001``, or ``auto`` on one of its machines.
        name: submission id of the first attempt; equal names are the same work.
        entrypoint: shell command of the first attempt.
        resume_entrypoint: shell command of the attempts after it, which goes on where the last one was lost.
        working_dir: uploaded and made the job's current directory; None for an empty one.
        entrypoint_memory: bytes to reserve for the driver, which may then run on any machine; 0 leaves it on the head.
        max_resubmits: how often lost work is started again.
        reconnect_s: how long a cluster that does not answer, or takes no jobs, is asked again.
    """

    address: str
    name: str
    entrypoint: str
    resume_entrypoint: str
    working_dir: Path | None = None
    entrypoint_memory: int = 0
    max_resubmits: int = 3
    reconnect_s: float = 300.0


class ClusterJob:
    """One submission through all its attempts. ``say`` takes lines about the job, ``show`` pieces of its log."""

    def __init__(self, submission: Submission, say: Callable[[str], None], show: Callable[[str], None]) -> None:
        """Connect.

        Raises:
            RaypipeError: no cluster answers there, or it refuses the token.
        """
        self._submission = submission
        self._say = say
        self._show = show
        self._client = connect(submission.address)
        self._attempt = 1
        self._log = _Log(show)
        self._loop = _loop_in_background()

    @property
    def address(self) -> str:
        """Of the cluster's job server, as found: ``http://host:port``."""
        return str(self._client.get_address())

    @property
    def submission_id(self) -> str:
        """The attempt that is running, or was the last to run."""
        name = self._submission.name
        return name if self._attempt == 1 else f"{name}-{self._attempt}"

    def start(self) -> None:
        """Attach to the attempt that is running; begin a new one if none is.

        Raises:
            WrongUsage: another command is running under this name.
            RaypipeError: the cluster does not take the job.
        """
        try:
            self._start(self._submission.entrypoint)
        except TROUBLE as error:
            raise RaypipeError(f"the cluster did not take job {self.submission_id}: {error}") from error

    def follow(self) -> int:
        """Show the log until the job ends by itself, resubmitting lost attempts.

        Returns:
            The job's own exit code; 1 if it was stopped or lost for good.

        Raises:
            RaypipeError: the cluster was unreachable for ``reconnect_s``; the job may be running all the same.
        """
        for left in range(self._submission.max_resubmits, -1, -1):
            details = self._watch()
            loss = _loss(details)
            if loss is None:
                return self._report(details)
            self._say(f"job {self.submission_id} was lost: {loss}")
            if left:
                self._resubmit()
        self._say(f"giving up after {self._submission.max_resubmits} resubmissions")
        return 1

    def stop(self) -> None:
        """Stop the job and show its last words. Nothing happens if it has not started.

        Raises:
            RaypipeError: the cluster cannot be reached.
        """
        try:
            if self._find() is None:
                return
            self._client.stop_job(self.submission_id)
            while (details := self._find()) and not details.status.is_terminal():
                time.sleep(RETRY_S)
        except TROUBLE as error:
            raise RaypipeError(f"could not stop job {self.submission_id}: {error}") from error
        if details:
            self._show_rest()
            self._report(details)

    def _resubmit(self) -> None:
        # A head that has just come back answers questions some seconds before it takes jobs.
        lost = time.monotonic()
        self._attempt += 1
        while True:
            try:
                self._start(self._submission.resume_entrypoint)
                return
            except TROUBLE as error:
                self._give_up_if_late(lost, error)
            time.sleep(RETRY_S)

    def _start(self, entrypoint: str) -> None:
        if self._attach():
            return
        try:
            self._submit(entrypoint)
        except TROUBLE:
            # Someone else may have been faster, or the answer was lost on its way back.
            if not self._attach():
                raise

    def _attach(self) -> bool:
        """Go to the attempt that has not ended; False if there is none, and the next one is free."""
        while details := self._find():
            if not details.status.is_terminal():
                self._check_is_ours(details)
                self._say(f"attached to job {self.submission_id}, which is {str(details.status).lower()}")
                return True
            self._attempt += 1
        return False

    def _submit(self, entrypoint: str) -> None:
        self._client.submit_job(
            entrypoint=entrypoint,
            submission_id=self.submission_id,
            runtime_env=_runtime_env(self._submission.working_dir),
            entrypoint_memory=self._submission.entrypoint_memory,
        )
        self._say(f"submitted job {self.submission_id}")

    def _check_is_ours(self, details: JobDetails) -> None:
        if details.entrypoint not in (self._submission.entrypoint, self._submission.resume_entrypoint):
            raise WrongUsage(
                f"job {self.submission_id} is already running another command: {details.entrypoint!r}; "
                "choose another --submission-id"
            )

    def _watch(self) -> JobDetails | None:
        """Show this attempt's log to its end. None if the cluster no longer knows the attempt."""
        self._log = _Log(self._show)
        reached = time.monotonic()
        while True:
            with contextlib.suppress(*TROUBLE):
                self._tail()
            try:
                details = self._find()
                reached = time.monotonic()
                if details is None or details.status.is_terminal():
                    self._show_rest()
                    return details
            except TROUBLE as error:
                self._give_up_if_late(reached, error)
            time.sleep(RETRY_S)

    def _tail(self) -> None:
        # An interrupt raised inside an event loop can get lost in a callback of C code, so this thread only waits.
        tail = asyncio.run_coroutine_threadsafe(_tail(self._client, self.submission_id, self._log), self._loop)
        try:
            tail.result()
        finally:
            tail.cancel()

    def _give_up_if_late(self, since: float, error: Exception) -> None:
        waited_s = time.monotonic() - since
        if waited_s > self._submission.reconnect_s:
            raise RaypipeError(
                f"{self.address} has been of no use for {waited_s:.0f} s ({error}); "
                f"job {self.submission_id} may still be running"
            ) from error

    def _show_rest(self) -> None:
        # The stream also ends without an error when only the way to it broke.
        try:
            self._log.add(0, self._client.get_job_logs(self.submission_id))
        except TROUBLE:
            self._say("the end of the log went down with its machine")

    def _find(self) -> JobDetails | None:
        try:
            return self._client.get_job_info(self.submission_id)
        except RuntimeError as error:
            if "status code 404" in str(error):
                return None
            raise
        except AuthenticationError as error:
            raise RaypipeError(f"{self.address} has a new token since the job was submitted: {error}") from error

    def _report(self, details: JobDetails) -> int:
        if details.status == JobStatus.SUCCEEDED:
            self._say(f"job {self.submission_id} succeeded")
            return 0
        if details.status == JobStatus.STOPPED:
            self._say(f"job {self.submission_id} was stopped")
            return 1
        if details.driver_exit_code is None:
            self._say(f"job {self.submission_id} did not start: {details.message}")
            return 1
        self._say(f"job {self.submission_id} failed with exit code {details.driver_exit_code}")
        return int(details.driver_exit_code)


class _Log:
    """Shows every character once: each new connection begins again at the first one. For several threads."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self._shown = 0
        self._lock = threading.Lock()

    def add(self, position: int, text: str) -> None:
        """Show what is new in ``text``, which begins ``position`` characters into the log."""
        with self._lock:
            new = text[max(0, self._shown - position) :]
            if new:
                # Counted first: an interrupt while it is being shown must not show it again.
                self._shown = position + len(text)
                self._show(new)


def _loop_in_background() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="job-log", daemon=True).start()
    return loop


async def _tail(client: JobClient, submission_id: str, log: _Log) -> None:
    """Add to ``log`` until the server ends the stream.

    Raises:
        TimeoutError: nothing came for QUIET_S.
    """
    position = 0
    async with contextlib.aclosing(client.tail_job_logs(submission_id)) as pieces:
        while (piece := await asyncio.wait_for(anext(pieces, None), QUIET_S)) is not None:
            log.add(position, piece)
            position += len(piece)


def _loss(details: JobDetails | None) -> str | None:
    """Why the attempt ended without having failed by itself; None if it did, or succeeded, or was stopped."""
    if details is None:
        return "the cluster was started anew and no longer knows it"
    if details.status != JobStatus.FAILED:
        return None
    code = details.driver_exit_code
    if code is None:
        return str(details.message) if details.error_type in LOST else None
    # A shell reports its command's death by signal N as 128 + N; without a shell between it is -N.
    number = -code if code < 0 else code - 128
    name = signal.strsignal(number) if 0 < number < signal.NSIG else None
    return f"killed by signal {number} ({name})" if name else None


def _runtime_env(working_dir: Path | None) -> dict[str, Any]:
    """This very package, so that the cluster runs what was tried here; its dependencies are in the image."""
    runtime_env: dict[str, Any] = {
        "py_modules": [str(Path(raypipe.__file__).parent)],
        "excludes": ["__pycache__", "*.pyc"],
        "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_GRACE_S)},
    }
    if working_dir is not None:
        runtime_env["working_dir"] = str(working_dir)
    return runtime_env

"""``raypipe submit``: the same command as a job on a Ray cluster."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from typer.core import TyperGroup

from raypipe.cli.lazy import loaded
from raypipe.errors import WrongUsage
from raypipe.pipeline.interrupts import Interrupted

if TYPE_CHECKING:
    from raypipe.on_ray.submit import ClusterJob

SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}

app = typer.Typer(add_completion=False)


@app.command(context_settings={"allow_interspersed_args": False})  # the options behind COMMAND are the command's own
def submit(
    context: typer.Context,
    words: Annotated[list[str], typer.Argument(metavar="COMMAND...", help="Any raypipe command, with its options.")],
    address: Annotated[
        str, typer.Option(envvar=["RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"], help="The cluster, as in http://HEAD:8265.")
    ] = "",
    submission_id: Annotated[str, typer.Option(help="Name of the job; made from the command if absent.")] = "",
    entrypoint_memory: Annotated[str, typer.Option(help="Reserve this much for the driver, as in 4G.")] = "0",
    max_resubmits: Annotated[int, typer.Option(min=0, help="Restarts of a job that died with its machine.")] = 3,
    working_dir: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Upload this folder; the job starts in it.")
    ] = None,
    stop_on_interrupt: Annotated[bool, typer.Option("--stop-on-interrupt", help="Ctrl-C also stops the job.")] = False,
    no_follow: Annotated[
        bool, typer.Option("--no-follow", help="Do not wait; then nobody restarts a lost job.")
    ] = False,
) -> None:
    """Run a raypipe command as a job on a Ray cluster and follow it; the exit code is the job's own.

    Submitting the same command again while it runs follows the running job.
    """
    try:
        # Ray is optional, and slow to import for all the commands that do without it.
        from raypipe.on_ray.submit import ClusterJob, Submission
    except ModuleNotFoundError as error:
        raise WrongUsage(f"raypipe submit needs Ray ({error}): pip install 'raypipe[ray]'") from error
    if not address:
        raise WrongUsage("no cluster given: pass --address http://HEAD:8265 or set RAY_ADDRESS")
    submission = Submission(
        address=address,
        name=submission_id or _name(words),
        entrypoint=_entrypoint(words),
        resume_entrypoint=_entrypoint(_resumed(context, words)),
        working_dir=working_dir,
        entrypoint_memory=_bytes(entrypoint_memory),
        max_resubmits=max_resubmits,
    )
    job = ClusterJob(submission, say=_say, show=_show)
    named = ["--submission-id", submission_id] if submission_id else []
    again = shlex.join(["raypipe", "submit", "--address", address, *named, "--", *words])
    with _interrupts():
        try:
            job.start()
            code = _leave(job, again) if no_follow else job.follow()
        except Interrupted as interrupt:
            code = 128 + interrupt.signum
            if stop_on_interrupt:
                job.stop()
            else:
                _leave(job, again)
    raise typer.Exit(code)


def _resumed(context: typer.Context, words: Sequence[str]) -> list[str]:
    """The command that goes on where ``words`` was cut off: with ``--resume``, if it is one that has it.

    Raises:
        WrongUsage: there is no such command, or it is ``submit`` itself.
    """
    command, depth = context.find_root().command, 0
    while isinstance(command, TyperGroup) and depth < len(words) and not words[depth].startswith("-"):
        if words[depth] not in command.commands:
            known = ", ".join(sorted(command.commands))
            raise WrongUsage(f"{shlex.join(words[: depth + 1])!r} is not a raypipe command; known here: {known}")
        command = loaded(command.commands[words[depth]])
        depth += 1
    if command is context.command:
        raise WrongUsage("raypipe submit cannot submit itself")
    if not any("--resume" in (*parameter.opts, *parameter.secondary_opts) for parameter in command.params):
        return list(words)
    return [*words[:depth], "--resume", *(word for word in words[depth:] if word not in ("--resume", "--restart"))]


def _entrypoint(words: Sequence[str]) -> str:
    # exec: without a shell in between, the command itself gets the signals, and its death is reported as it was.
    return shlex.join(["exec", "python", "-m", "raypipe", *words])


def _name(words: Sequence[str]) -> str:
    digest = hashlib.sha256(json.dumps(list(words)).encode()).hexdigest()
    return "-".join(["raypipe", *(word for word in words[:1] if word.isalnum()), digest[:10]])


def _bytes(size: str) -> int:
    match = SIZE.fullmatch(size.strip())
    if match is None:
        raise WrongUsage(f"{size!r} is not a size; write bytes, or 512M, or 4G")
    return int(float(match[1]) * UNITS[match[2].upper()])


@contextlib.contextmanager
def _interrupts() -> Iterator[None]:
    def interrupt(signum: int, frame: FrameType | None) -> NoReturn:
        raise Interrupted(signum)

    before = {signum: signal.signal(signum, interrupt) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _leave(job: ClusterJob, again: str) -> int:
    _say(f"leaving job {job.submission_id} to the cluster")
    _say(f"  follow: {again}")
    _say(f"  stop:   {shlex.join(['ray', 'job', 'stop', '--address', job.address, job.submission_id])}")
    return 0


def _say(line: str) -> None:
    print(f"raypipe: {line}", file=sys.stderr, flush=True)


def _show(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()

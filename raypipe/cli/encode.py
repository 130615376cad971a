"""``raypipe encode``."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from signal import SIGINT
from typing import Annotated

import typer

from raypipe import faces
from raypipe.cli.console import ProgressLine, say
from raypipe.config import as_dict, read_config
from raypipe.errors import WrongUsage
from raypipe.on_ray.settings import RaySettings
from raypipe.pipeline.encode.config import EncodeConfig
from raypipe.pipeline.encode.face_model import pick_device
from raypipe.pipeline.encode.job import Runner, encode
from raypipe.pipeline.encode.local import RunLocally
from raypipe.pipeline.encode.plan import plan_job
from raypipe.pipeline.encode.summary import RunRecord, Summary
from raypipe.pipeline.interrupts import Interrupted

REJECTED = 3


@dataclass(frozen=True, kw_only=True)
class EncodeJob:
    """All that ``raypipe encode`` and ``jobs/encode.py`` can be told. Only ``encode`` decides values in the output."""

    encode: EncodeConfig
    ray: RaySettings = field(default_factory=RaySettings)
    local: bool = False
    require_gpu: bool = False
    restart: bool = False
    retry: tuple[str, ...] = ()
    max_rejected: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.max_rejected <= 1.0:
            raise WrongUsage(f"max_rejected is a share from 0 to 1, got {self.max_rejected}")
        if self.restart and self.retry:
            raise WrongUsage("--restart begins again and --retry goes on: give one of them")


def encode_command(
    source: Annotated[
        str, typer.Argument(help="Folder or glob of images, Parquet, .tar shards, or CelebA layout; any fsspec URI.")
    ],
    out: Annotated[str, typer.Option(help="Where the Parquet dataset goes: a folder or any fsspec URI.")],
    model: Annotated[str, typer.Option(help="A model bundle: directory, URI, or the name of a shipped one.")] = "small",
    methods: Annotated[str, typer.Option(help="Methods whose columns to add, by name, comma-separated.")] = "",
    limit: Annotated[int, typer.Option(help="Only the first N images; 0: all.")] = 0,
    restart: Annotated[
        bool, typer.Option("--restart/--resume", help="Delete what is there and begin again, or go on.")
    ] = False,
    local: Annotated[bool, typer.Option("--local", help="In this process, without Ray.")] = False,
    retry: Annotated[str, typer.Option(help="Do the rows with these statuses again: fetch_*,decode_timeout say.")] = "",
    max_rejected: Annotated[float, typer.Option(help="Exit with 3 if a larger share of the rows is not ok.")] = 1.0,
    require_gpu: Annotated[bool, typer.Option("--require-gpu", help="Fail where there is no GPU.")] = False,
    align: Annotated[str, typer.Option(help="auto, none, center, celeba or ffhq: how a face is cut out.")] = "auto",
    detector: Annotated[
        str, typer.Option(help="MTCNN weights (pnet.pt, rnet.pt, onet.pt): finds landmarks for ffhq.")
    ] = "",
    commit_rows: Annotated[
        int, typer.Option(help="Images a part file, which is the unit of restart; 0: 32 MiB of pixels.")
    ] = 0,
    batch_size: Annotated[int, typer.Option(help="Images a batch of the model; 0: as memory allows.")] = 0,
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    id_column: Annotated[str, typer.Option(help="Parquet: the column of ids.")] = "",
    image_column: Annotated[str, typer.Option(help="Parquet: the column of image bytes.")] = "",
    uri_column: Annotated[str, typer.Option(help="Parquet: the column of addresses.")] = "",
    address: Annotated[str, typer.Option(help="Ray cluster; empty: RAY_ADDRESS, or Ray on this machine.")] = "",
    actors: Annotated[int, typer.Option(help="Model workers at most; 0: as many as fit.")] = 0,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Any setting: encode.fetch.threads=64, ray.decode_cpus=2.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and its cost; write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The result as JSON on standard output.")] = False,
) -> None:
    """Encode images to latent codes in Parquet: one row per image, restartable at any moment.

    Run the same command again after a crash or Ctrl-C: finished images are neither fetched nor computed again.
    """
    tree = {
        "encode": {
            "source": source,
            "out": out,
            "model": model,
            "methods": _words(methods),
            "limit": limit,
            "commit_rows": commit_rows,
            "batch_size": batch_size,
            "precision": precision,
            "face": {"align": align, "detector": detector},
            "columns": {"id_column": id_column, "image_column": image_column, "uri_column": uri_column},
        },
        "ray": {"address": address, "actors": actors},
        "local": local,
        "require_gpu": require_gpu,
        "restart": restart,
        "retry": _words(retry),
        "max_rejected": max_rejected,
    }
    job = read_config(EncodeJob, tree, settings or ())
    raise typer.Exit(print_plan(job, as_json=as_json) if dry_run else run(job, as_json=as_json))


def run(job: EncodeJob, *, as_json: bool = False) -> int:
    """Do the job, print its summary; returns the exit code: 1 after Ctrl-C, and after SIGTERM, which a machine that is
    taken away gets, that of one killed by it."""
    retry = faces.statuses_matching(job.retry)
    runner = runner_for(job)
    say(f"model on {runner.device}: {runner.workers}")
    line = ProgressLine("encode")

    def watch(record: RunRecord) -> None:
        line.update(record.done, record.rows)

    try:
        with line:
            summary = encode(job.encode, runner, restart=job.restart, retry=retry, say=say, watch=watch)
    except Interrupted as interrupt:
        say("stopped; what is committed stays: run the same command again to go on")
        return 1 if interrupt.signum == SIGINT else 128 + interrupt.signum
    if as_json:
        typer.echo(json.dumps(vars(summary), indent=2))
    else:
        typer.echo(summary.in_words())
    return _exit_code(summary, job.max_rejected)


def print_plan(job: EncodeJob, *, as_json: bool) -> int:
    """Print what the job would do; returns the exit code: 1 where the output would refuse it."""
    runner = runner_for(job)
    plan = plan_job(
        job.encode,
        device=runner.device,
        model_workers=runner.model_workers,
        workers=runner.workers,
        restart=job.restart,
    )
    if as_json:
        typer.echo(json.dumps({"job": as_dict(job), "plan": plan.to_json()}, indent=2))
    else:
        typer.echo(plan.in_words())
    return 1 if plan.found.refusal else 0


def runner_for(job: EncodeJob) -> Runner:
    """Where the job is to be done; Ray is started where there is none.

    Raises:
        WrongUsage: Ray is not installed, or the job can never run there.
        RaypipeError: no cluster answers.
    """
    if job.local:
        return RunLocally(pick_device(job.require_gpu))
    try:
        from raypipe.on_ray.cluster import connect
        from raypipe.on_ray.encode import RunOnRay, layout_for
    except ImportError as error:
        raise WrongUsage(f"Ray is not installed ({error}): pip install raypipe[ray], or use --local") from error
    connect(job.ray.address)
    return RunOnRay(layout_for(job.encode, job.ray, require_gpu=job.require_gpu), job.ray)


def _exit_code(summary: Summary, max_rejected: float) -> int:
    if faces.OK not in summary.statuses:
        say("none of the images could be encoded")
        return REJECTED
    if summary.rejected_share <= max_rejected:
        return 0
    say(f"{summary.rejected_share:.2%} of the rows are not ok; --max-rejected allows {max_rejected:.2%}")
    return REJECTED


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]

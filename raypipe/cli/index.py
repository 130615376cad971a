"""``raypipe index build`` and ``append``; the other commands of the group are in ``index_upkeep``."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from signal import SIGINT
from typing import Annotated

import typer

from raypipe.cli import index_upkeep
from raypipe.cli.console import ProgressLine, say
from raypipe.config import as_dict, read_config
from raypipe.errors import WrongUsage
from raypipe.on_ray.settings import IndexOnRay
from raypipe.pipeline.index.config import AppendConfig, IndexConfig
from raypipe.pipeline.index.job import Job, Runner, is_done, run_job
from raypipe.pipeline.index.local import RunLocally
from raypipe.pipeline.index.plan import append_job, build_job, plan_job
from raypipe.pipeline.index.summary import RunRecord
from raypipe.pipeline.interrupts import Interrupted

app = typer.Typer(help="Encoded faces, made searchable, and kept so.", add_completion=False, no_args_is_help=True)


@dataclass(frozen=True, kw_only=True)
class IndexJob:
    """All that ``raypipe index build`` and ``jobs/index.py`` can be told. Only ``index`` decides what is in it."""

    index: IndexConfig
    ray: IndexOnRay = field(default_factory=IndexOnRay)
    local: bool = False


@dataclass(frozen=True, kw_only=True)
class AppendJob:
    """All that ``raypipe index append`` can be told."""

    append: AppendConfig
    ray: IndexOnRay = field(default_factory=IndexOnRay)
    local: bool = False


Codes = Annotated[list[str], typer.Argument(metavar="CODES...", help="Outputs of raypipe encode, by one model.")]
Model = Annotated[str, typer.Option(help="The model that encoded them: directory, URI, or the name of a shipped one.")]
Shards = Annotated[int, typer.Option(help="Into so many; 0: one for each million rows.")]
Local = Annotated[bool, typer.Option("--local", help="In this process, without Ray.")]
Address = Annotated[str, typer.Option(help="Ray cluster; empty: RAY_ADDRESS, or Ray on this machine.")]
Workers = Annotated[int, typer.Option(help="Shards made at once on Ray, at most; 0: as many as fit.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and its cost; write nothing.")]
AsJson = Annotated[bool, typer.Option("--json", help="The result as JSON on standard output.")]


@app.command("build")
def build_command(
    codes: Codes,
    out: Annotated[str, typer.Option(help="Where the index goes: a folder or any fsspec URI.")],
    model: Model = "small",
    shards: Shards = 0,
    spaces: Annotated[str, typer.Option(help="By name, comma-separated; empty: all of the model's methods.")] = "",
    recall: Annotated[
        str, typer.Option(help="What a query gets that asks for none: exact (and certified), 0.99, 0.9, ...")
    ] = "exact",
    memory_per_row: Annotated[
        int, typer.Option(help="Bytes in memory for a row of a space; 0: a tenth of its vector in float16.")
    ] = 0,
    factory: Annotated[
        str, typer.Option(help="For experts: a Faiss factory string in place of the scanned rows; never certified.")
    ] = "",
    precision: Annotated[str, typer.Option(help="Of the full vectors on disk: float32, or float16.")] = "float32",
    local: Local = False,
    address: Address = "",
    workers: Workers = 0,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Any setting: index.axes=64, index.lists=512, ray.worker_cpus=2.")
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Make an index of encoded faces, in shards that are searched together.

    Run the same command again after a crash or Ctrl-C: finished shards are not made again.
    """
    tree = {
        "index": {
            "codes": codes,
            "out": out,
            "model": model,
            "shards": shards,
            "spaces": [word.strip() for word in spaces.split(",") if word.strip()],
            "recall": _share(recall),
            "memory_per_row": memory_per_row,
            "factory": factory,
            "precision": precision,
        },
        "ray": {"address": address, "workers": workers},
        "local": local,
    }
    order = read_config(IndexJob, tree, settings or ())
    raise typer.Exit(print_plan(order, as_json=as_json) if dry_run else run(order, as_json=as_json))


@app.command("append")
def append_command(
    index: Annotated[str, typer.Argument(help="The index: a folder or any fsspec URI.")],
    codes: Codes,
    model: Model = "small",
    shards: Shards = 0,
    local: Local = False,
    address: Address = "",
    workers: Workers = 0,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Make more encoded faces searchable; nothing that is there is made again.

    Run the same command again after a crash or Ctrl-C: finished shards are not made again.
    """
    tree = {
        "append": {"index": index, "codes": codes, "model": model, "shards": shards},
        "ray": {"address": address, "workers": workers},
        "local": local,
    }
    order = read_config(AppendJob, tree)
    raise typer.Exit(print_plan(order, as_json=as_json) if dry_run else run(order, as_json=as_json))


def run(order: IndexJob | AppendJob, *, as_json: bool = False) -> int:
    """Print the plan, do the job, print its summary; returns the exit code."""
    job, runner = _job(order), _runner(order)
    if not is_done(job):
        say(plan_job(job, workers=runner.workers, worker_count=runner.worker_count).in_words())
    line = ProgressLine("index")

    def watch(record: RunRecord) -> None:
        line.update(record.done, record.rows)

    try:
        with line:
            summary = run_job(job, runner, say=say, watch=watch)
    except Interrupted as interrupt:
        say("stopped; finished shards stay: run the same command again to go on")
        return 1 if interrupt.signum == SIGINT else 128 + interrupt.signum
    typer.echo(json.dumps(summary.to_json(), indent=2) if as_json else summary.in_words())
    return 0


def print_plan(order: IndexJob | AppendJob, *, as_json: bool) -> int:
    """Print what the job would do; returns the exit code: 1 where the output would refuse it."""
    runner = _runner(order)
    plan = plan_job(_job(order), workers=runner.workers, worker_count=runner.worker_count)
    typer.echo(json.dumps({"job": as_dict(order), "plan": plan.to_json()}, indent=2) if as_json else plan.in_words())
    return 1 if plan.refusal else 0


def _job(order: IndexJob | AppendJob) -> Job:
    return build_job(order.index) if isinstance(order, IndexJob) else append_job(order.append)


def _runner(order: IndexJob | AppendJob) -> Runner:
    if order.local:
        return RunLocally()
    try:
        from raypipe.on_ray.cluster import connect
        from raypipe.on_ray.index import RunOnRay, workers_on_cluster
    except ImportError as error:
        raise WrongUsage(f"Ray is not installed ({error}): pip install raypipe[ray], or use --local") from error
    connect(order.ray.address)
    return RunOnRay(workers_on_cluster(order.ray), order.ray)


def _share(recall: str) -> float:
    if recall == "exact":
        return 1.0
    try:
        return float(recall)
    except ValueError as error:
        raise WrongUsage(f"recall {recall!r} is neither exact nor a number above 0 and at most 1") from error


index_upkeep.add_to(app)

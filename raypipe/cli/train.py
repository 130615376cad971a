"""``raypipe train``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any

import torch
import typer

from raypipe import catalog
from raypipe.cli.console import ProgressLine, say
from raypipe.config import as_dict, read_config
from raypipe.errors import WrongUsage
from raypipe.on_ray.settings import TrainOnRay
from raypipe.pipeline.encode.face_model import pick_device
from raypipe.pipeline.train.config import TrainConfig, TrainJob
from raypipe.pipeline.train.job import train_locally
from raypipe.pipeline.train.loop import Progress
from raypipe.pipeline.train.plan import plan_run
from raypipe.pipeline.train.summary import Outcome

OF_THE_RUN = ("run.", "data.", "ray.")


@dataclass(frozen=True, kw_only=True)
class Order:
    """All that ``raypipe train`` and ``jobs/train.py`` can be told, the recipe's own settings apart."""

    run: TrainConfig
    ray: TrainOnRay
    local: bool = False
    require_gpu: bool = False
    restart: bool = False


def train_command(
    recipe: Annotated[str, typer.Argument(help="What to train: raypipe methods lists them.")],
    data: Annotated[
        str, typer.Option(help="Images as for raypipe encode, its output for recipes on codes, or synthfaces.")
    ],
    out: Annotated[str, typer.Option(help="Where checkpoints, logs and the model go: a folder or any fsspec URI.")],
    model: Annotated[
        list[str] | None, typer.Option(help="Bundles whose parts the recipe builds on; they go into the result.")
    ] = None,
    size: Annotated[int, typer.Option(help="Width and height of the images in pixels.")] = 64,
    attributes: Annotated[str, typer.Option(help="Label columns, comma-separated; all usable ones if empty.")] = "",
    labels: Annotated[
        str,
        typer.Option(help="A file with the attributes by image_id, in place of the data's: CSV, Parquet, CelebA's."),
    ] = "",
    seed: Annotated[int, typer.Option(help="The same seed, the same weights.")] = 0,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of the recipe: batch=32; run.*, data.*, ray.* for what is around it."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Ray Train workers that share every batch.")] = 1,
    local: Annotated[bool, typer.Option("--local", help="In this process, without Ray.")] = False,
    restart: Annotated[
        bool, typer.Option("--restart/--resume", help="Delete what is there and begin again, or go on.")
    ] = False,
    require_gpu: Annotated[bool, typer.Option("--require-gpu", help="Fail where there is no GPU.")] = False,
    address: Annotated[str, typer.Option(help="Ray cluster; empty: RAY_ADDRESS, or Ray on this machine.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and its cost; write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The result as JSON on standard output.")] = False,
) -> None:
    """Train a network or fit attribute directions; the result is a model that other commands take with --model.

    Run the same command again after a crash or Ctrl-C: it goes on from the last checkpoint, to the same result.
    """
    tree = {
        "run": {
            "recipe": recipe,
            "out": out,
            "data": {
                "uri": data,
                "size": size,
                "attributes": [name for name in attributes.split(",") if name],
                "labels": labels,
            },
            "models": model or [],
            "seed": seed,
        },
        "ray": {"address": address, "workers": workers},
        "local": local,
        "require_gpu": require_gpu,
        "restart": restart,
    }
    order, job = read_order(tree, settings or ())
    raise typer.Exit(print_plan(order, job, as_json=as_json) if dry_run else run(order, job, as_json=as_json))


def read_order(tree: dict[str, Any], settings: list[str] | tuple[str, ...]) -> tuple[Order, TrainJob]:
    """What to do, with ``key=value`` settings: those of the recipe have no prefix.

    Raises:
        WrongUsage: an unknown recipe, or settings that neither has.
    """
    around = [setting for setting in settings if setting.startswith(OF_THE_RUN)]
    around = [f"run.{setting}" if setting.startswith("data.") else setting for setting in around]
    own = [setting for setting in settings if not setting.startswith(OF_THE_RUN)]
    recipe_settings = tree.pop("recipe", {})
    order = read_config(Order, tree, around)
    module = catalog.recipe_module(order.run.recipe)
    return order, TrainJob(config=order.run, recipe=read_config(module.Config, recipe_settings, own))


def run(order: Order, job: TrainJob, *, as_json: bool = False) -> int:
    """Do it, print its summary; returns the exit code."""
    line = ProgressLine("train", "images")

    def watch(progress: Progress) -> None:
        line.update(progress.images, progress.images_in_all)

    with line:
        outcome = _train(order, job, watch)
    typer.echo(json.dumps(outcome.run, indent=2) if as_json else outcome.in_words())
    return 0 if outcome.is_done else 1


def print_plan(order: Order, job: TrainJob, *, as_json: bool) -> int:
    """Print what the run would do; returns the exit code: 1 where the output would refuse it."""
    device, workers = pick_device(order.require_gpu and order.local), 1 if order.local else order.ray.workers
    where = f"this process, on {device}" if order.local else _layout_in_words(order)
    plan = plan_run(job, device=torch.device(device), workers=workers, where=where, restart=order.restart)
    if as_json:
        tree = {"order": as_dict(order), "recipe": as_dict(job.recipe), "plan": plan.to_json()}
        typer.echo(json.dumps(tree, indent=2))
    else:
        typer.echo(plan.in_words())
    return 1 if plan.found.refusal else 0


def _train(order: Order, job: TrainJob, watch: Any) -> Outcome:
    if order.local:
        device = pick_device(order.require_gpu)
        say(f"training on {device}")
        return train_locally(job, device=torch.device(device), restart=order.restart, say=say, watch=watch)
    try:
        from raypipe.on_ray.train import train_on_ray
    except ImportError as error:
        raise _without_ray(error) from error
    return train_on_ray(job, order.ray, require_gpu=order.require_gpu, restart=order.restart, say=say, watch=watch)


def _layout_in_words(order: Order) -> str:
    try:
        from raypipe.on_ray.cluster import cluster_nodes, connect
        from raypipe.on_ray.train_layout import lay_out_training
    except ImportError as error:
        raise _without_ray(error) from error
    connect(order.ray.address)
    return lay_out_training(cluster_nodes(), order.ray, require_gpu=order.require_gpu).in_words()


def _without_ray(error: ImportError) -> WrongUsage:
    return WrongUsage(f"Ray is not installed ({error}): pip install raypipe[ray], or use --local")

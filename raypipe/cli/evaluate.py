"""``raypipe evaluate``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.table import Table as RichTable

from raypipe.cli.console import ProgressLine, say
from raypipe.config import as_dict, read_config
from raypipe.pipeline.encode.face_model import pick_device
from raypipe.pipeline.evaluate.config import EvaluateConfig
from raypipe.pipeline.evaluate.job import Evaluated, EvaluateJob, evaluate_method, method_to_evaluate
from raypipe.pipeline.evaluate.plain import as_plain
from raypipe.pipeline.train.made_up_reader import MADE_UP
from raypipe.report import Cell, Report, Table

AROUND = ("run.", "data.")
WIDTH = 160
"""Columns of text where standard output is no terminal."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """All that ``raypipe evaluate`` can be told, the method's own settings apart."""

    run: EvaluateConfig


def evaluate_command(
    method: Annotated[str, typer.Argument(help="The method: raypipe methods lists them.")],
    data: Annotated[
        str, typer.Option(help="Images with labels, as for raypipe encode. Empty: made-up faces, drawn on the spot.")
    ] = "",
    labels: Annotated[
        str,
        typer.Option(help="A file with the attributes by image_id, in place of the data's: CSV, Parquet, CelebA's."),
    ] = "",
    model: Annotated[
        list[str] | None,
        typer.Option(help="Models with an encoder and an identity network; several times: the last that has a part."),
    ] = None,
    rival: Annotated[
        list[str] | None,
        typer.Option(help="Compare edits with another's: NAME=MODEL:METHOD, or NAME=MODEL:METHOD@STRENGTH."),
    ] = None,
    out: Annotated[str, typer.Option(help="For report.json, run.json and curves: a folder or any fsspec URI.")] = "",
    limit: Annotated[int, typer.Option(min=0, help="At most so many faces in all; 0 = no limit.")] = 0,
    seed: Annotated[int, typer.Option(help="Which faces are fitted with, and which are searched.")] = 0,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of the method's evaluation: queries=500; run.*, data.* around it."),
    ] = None,
    require_gpu: Annotated[bool, typer.Option("--require-gpu", help="Fail where there is no GPU.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the settings; do nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON on standard output.")] = False,
) -> None:
    """A paper's tables and figures on your faces, beside the paper's own numbers, and which of its claims hold."""
    run = {
        "method": method,
        "data": {"labels": labels} | ({"uri": data} if data else {"uri": MADE_UP, "correlated": True}),
        "models": model or ["small"],
        "rivals": rival or [],
        "out": out,
        "limit": limit,
        "seed": seed,
    }
    job = read_job({"run": run}, settings or ())
    if dry_run:
        typer.echo(json.dumps({"run": as_dict(job.config), "method": as_dict(job.method)}, indent=2))
        return
    evaluate_and_print(job, require_gpu=require_gpu, as_json=as_json)


def read_job(tree: dict[str, Any], settings: Sequence[str]) -> EvaluateJob:
    """What to do, with ``key=value`` settings: those of the method's evaluation have no prefix.

    Raises:
        WrongUsage: a method without an evaluation, or settings that neither has.
    """
    around = [setting.replace("data.", "run.data.", 1) for setting in settings if setting.startswith(AROUND)]
    own = [setting for setting in settings if not setting.startswith(AROUND)]
    method_settings = tree.pop("method", {})
    config = read_config(Order, tree, around).run
    module = method_to_evaluate(config.method)
    return EvaluateJob(config=config, method=read_config(module.EvaluationConfig, method_settings, own))


def evaluate_and_print(job: EvaluateJob, *, require_gpu: bool = False, as_json: bool = False) -> None:
    """Do it; the report goes to standard output."""
    with ProgressLine("faces") as line:
        evaluated = evaluate_method(job, device=torch.device(pick_device(require_gpu)), say=say, watch=line.update)
    if as_json:
        typer.echo(json.dumps({"report": as_plain(evaluated.report), "run": evaluated.run}, indent=2))
        return
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    print_report(evaluated.report, console)
    console.print(_closing(job, evaluated), markup=False, soft_wrap=True)


def print_report(report: Report, console: Console) -> None:
    """Choices, tables with the paper's numbers under ours, claims."""
    for choice in report.choices:
        console.print(f"- {choice}", markup=False)
    for table in report.tables:
        console.print()
        console.print(_rich_table(table))
        if table.note:
            console.print(table.note, markup=False)
    console.print()
    for claim in report.claims:
        console.print(f"{'holds' if claim.holds else 'does not hold'}: {claim.statement}", markup=False)
        console.print(f"    {claim.evidence}", markup=False)


def _rich_table(table: Table) -> RichTable:
    shown = RichTable(title=table.title, title_justify="left")
    for place, name in enumerate(table.columns):
        is_number = all(not isinstance(row[place], str) for row in table.rows)
        shown.add_column(name, justify="right" if is_number else "left")
    for row in table.rows:
        shown.add_row(*(_text(cell) for cell in row))
    if table.paper:
        shown.add_section()
        shown.add_row("In the paper", style="italic")
        for row in table.paper:
            shown.add_row(*(_text(cell) for cell in row), style="dim")
    return shown


def _text(cell: Cell) -> str:
    if isinstance(cell, float):
        return f"{cell:.3f}"
    return "" if cell is None else f"{cell:,}" if isinstance(cell, int) else cell


def _closing(job: EvaluateJob, evaluated: Evaluated) -> str:
    seconds = evaluated.run["seconds"]
    held = sum(claim.holds for claim in evaluated.report.claims)
    told = (
        f"{held} of {len(evaluated.report.claims)} claims hold; {seconds['faces']:,} s for the faces, "
        f"{seconds['evaluation']:,} s for the evaluation"
    )
    return f"{told}; {job.config.out}: {', '.join(evaluated.files)}" if evaluated.files else told

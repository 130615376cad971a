"""An evaluation from its config to its report and files.

A method that can be evaluated offers in its folder

- ``EvaluationConfig``: a frozen dataclass,
- ``EVALUATION_NEEDS``: the columns of ``contract.Faces`` that it looks at,
- ``evaluate(config, faces, parts, device) -> Report``; ``parts``: all parts of the models, by name,
- or, if it compares its edits with those of others, ``evaluate_beside(config, faces, parts, rivals, device)``;
  ``rivals``: ``contract.Rival`` by name.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch

from raypipe import __version__, catalog, storage
from raypipe.config import as_dict
from raypipe.errors import WrongUsage
from raypipe.pipeline.evaluate.charts import chart_png
from raypipe.pipeline.evaluate.config import EvaluateConfig
from raypipe.pipeline.evaluate.faces import Watch, gather_faces
from raypipe.pipeline.evaluate.plain import as_plain, file_name
from raypipe.pipeline.evaluate.rivals import open_rivals
from raypipe.pipeline.evaluate.sheets import sheet_png
from raypipe.pipeline.grid import grid_png
from raypipe.report import Report
from raypipe.weights import Bundle, open_bundle

REPORT, RUN = "report.json", "run.json"

BESIDE = "evaluate_beside"

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class EvaluateJob:
    """An evaluation's config and its method's."""

    config: EvaluateConfig
    method: Any


@dataclass(frozen=True)
class Evaluated:
    """What was found, and what ``run.json`` says of how. ``files``: what was written, by name."""

    report: Report
    run: Mapping[str, Any]
    files: tuple[str, ...]


def method_to_evaluate(name: str) -> ModuleType:
    """The folder of a method that can be evaluated.

    Raises:
        WrongUsage: there is no such method, or it has no evaluation.
    """
    module = catalog.method_module(name)
    if not _has_evaluation(module):
        able = [other for other in catalog.method_names() if _has_evaluation(catalog.method_module(other))]
        raise WrongUsage(f"method {name!r} has no evaluation; those that have: {', '.join(able) or 'none'}")
    return module


def evaluate_method(job: EvaluateJob, *, device: torch.device, say: Say, watch: Watch) -> Evaluated:
    """Do it, and write ``report.json``, ``run.json`` and pictures below ``out``, if that is given.

    Raises:
        WrongUsage: the data or the settings do not fit the method.
        BadWeights: no model has a network that is needed.
    """
    config, module = job.config, method_to_evaluate(job.config.method)
    bundles, rivals = _bundles(config.models), open_rivals(config.rivals, device)
    if rivals and not hasattr(module, BESIDE):
        raise WrongUsage(f"the evaluation of {config.method!r} has baselines of its own: no rivals, got {len(rivals)}")
    started = time.monotonic()
    say(f"reading and encoding faces of {config.data.uri}")
    faces = gather_faces(config, module.EVALUATION_NEEDS, bundles, device=device, watch=watch)
    gathered = time.monotonic()
    counts = {name: len(next(iter(getattr(faces, name).values()))) for name in ("train", "validation", "test")}
    say(f"evaluating {config.method} with {', '.join(f'{count:,} {name}' for name, count in counts.items())} faces")
    parts = {name: bundle.read(name) for name, bundle in bundles.items()}
    if hasattr(module, BESIDE):
        report: Report = module.evaluate_beside(job.method, faces, parts, rivals, device)
    else:
        report = module.evaluate(job.method, faces, parts, device)
    run = {
        "config": as_dict(config),
        "method": as_dict(job.method),
        "faces": counts,
        "models": {
            name: {"model": bundle.uri, "sha256": bundle.parts[name].sha256} for name, bundle in bundles.items()
        },
        "device": str(device),
        "seconds": {"faces": round(gathered - started, 1), "evaluation": round(time.monotonic() - gathered, 1)},
        "versions": {"raypipe": __version__, "torch": torch.__version__, "python": platform.python_version()},
    }
    return Evaluated(report, run, _write(config.out, report, run, say) if config.out else ())


def _has_evaluation(module: ModuleType) -> bool:
    return hasattr(module, "evaluate") or hasattr(module, BESIDE)


def _bundles(models: tuple[str, ...]) -> dict[str, Bundle]:
    """Part -> the last model that has it."""
    opened = [open_bundle(model) for model in models]
    return {name: bundle for bundle in opened for name in bundle.parts}


def _write(out: str, report: Report, run: Mapping[str, Any], say: Say) -> tuple[str, ...]:
    files = {f"{name}.png": grid_png(pictures) for name, pictures in report.pictures.items() if len(pictures)}
    files |= {f"{name}.png": sheet_png(sheet) for name, sheet in report.sheets.items()}
    try:
        files |= {f"{file_name(plot.title)}.png": chart_png(plot) for plot in report.plots}
    except WrongUsage as error:
        say(f"no charts are drawn, their numbers are in {REPORT}: {error}")
    files[REPORT] = json.dumps(as_plain(report), indent=2).encode()
    files[RUN] = json.dumps(run, indent=2).encode()
    for name, content in files.items():
        storage.write_bytes(storage.join(out, name), content)
    return tuple(files)

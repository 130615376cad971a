"""What an output was made from, and whether a job may go on in it: rows of two models or settings never meet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raypipe import catalog, storage
from raypipe.backbones.mtcnn.weights import FILES as DETECTOR_FILES
from raypipe.config import as_dict
from raypipe.errors import ModelMismatch, RaypipeError, WrongUsage
from raypipe.pipeline.encode.config import EncodeConfig
from raypipe.pipeline.loading import ENCODER
from raypipe.weights import Bundle

_PLAN_KEYS = {"made_from", "align", "precision", "commit_rows", "image_size", "image_column", "shapes"}


def made_from(config: EncodeConfig, bundle: Bundle) -> dict[str, Any]:
    """What decides the values of the output: two runs that differ in any of it may not share an output.

    Raises:
        WrongUsage: an unknown method, or no detector at its address.
    """
    for name in config.methods:
        catalog.method_module(name)  # an unknown one is told with the names of those that there are
    parts = config.parts_of(bundle)
    return {
        "source": storage.absolute(config.source),
        "model": bundle.name,
        "weights": {name: bundle.describe(name).sha256 for name in parts},
        "model_fingerprint": bundle.fingerprint_of(parts),
        "detector_weights": _detector_hashes(config.face.detector),
        **{
            name: value
            for name, value in as_dict(config).items()
            if name in ("methods", "limit", "commit_rows", "precision", "face", "columns", "refine")
        },
    }


def refuse_other_plan(plan: Mapping[str, Any], now: Mapping[str, Any], out: str) -> None:
    """Compare the plan of an output with what a job would make it from.

    Raises:
        ModelMismatch: they differ; names every difference.
        RaypipeError: the plan is not whole.
    """
    if missing := _PLAN_KEYS - set(plan):
        raise RaypipeError(f"{out}: plan.json lacks {', '.join(sorted(missing))}; start again with --restart")
    before = plan["made_from"]
    changed = [f"  {name}: {before.get(name)} -> {now[name]}" for name in now if before.get(name) != now[name]]
    if changed:
        raise ModelMismatch(
            f"{out} was made with other settings, and rows of both must not be mixed:\n"
            + "\n".join(changed)
            + "\nTo go on, give the earlier settings; else choose another output, or --restart to begin again here."
        )


def require_w_plus(uri: str, plan: Mapping[str, Any], bundle: Bundle) -> None:
    """Codes in W+ at ``uri``, and by the model's encoder.

    Raises:
        WrongUsage: there are none.
        BadWeights: the model has no encoder.
        ModelMismatch: they are another encoder's.
    """
    made_by, encoder = plan["made_from"]["weights"].get(ENCODER), bundle.describe(ENCODER).sha256
    if made_by is None:
        raise WrongUsage(f"{uri} has no codes in W+: the model that encoded it has no encoder")
    if made_by != encoder:
        raise ModelMismatch(f"{uri} was encoded by encoder {made_by[:12]}; model {bundle.name!r} has {encoder[:12]}")


def _detector_hashes(detector: str) -> dict[str, str]:
    if not detector:
        return {}
    try:
        return {name: storage.sha256(storage.read_bytes(storage.join(detector, name))) for name in DETECTOR_FILES}
    except FileNotFoundError as error:
        raise WrongUsage(f"no detector at {detector!r}: it must hold {', '.join(DETECTOR_FILES)}") from error

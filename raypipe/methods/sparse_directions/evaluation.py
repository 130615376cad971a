"""The evaluation of paper 1 (section 4): tables 1 and 2, figures 5 and 6, beside the paper's own numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from raypipe.config import Range, check_ranges
from raypipe.contract import Columns, Faces
from raypipe.methods.sparse_directions.config import SparseDirectionsConfig
from raypipe.methods.sparse_directions.evaluation_axes import (
    Axes,
    alone,
    axes_of,
    fit_interfacegan_boundaries,
    fit_one_by_one,
    fit_ours,
    in_turn,
    with_attributes,
)
from raypipe.methods.sparse_directions.evaluation_choices import choices
from raypipe.methods.sparse_directions.evaluation_claims import claims
from raypipe.methods.sparse_directions.evaluation_plots import plots
from raypipe.methods.sparse_directions.evaluation_results import INTERFACEGAN, ONE_BY_ONE, Results, not_orthogonal
from raypipe.methods.sparse_directions.evaluation_search import (
    LONGEST,
    Trial,
    draw_queries,
    prepare,
    search,
    unadjusted,
)
from raypipe.methods.sparse_directions.evaluation_tables import tables
from raypipe.methods.sparse_directions.sweep import PAPER_SPARSITIES
from raypipe.report import Report
from raypipe.weights import Part

EVALUATION_NEEDS = ("w_plus", "labels", "embedding")


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """What the paper fixes has its value as default.

    Attributes:
        queries: different faces of the test set; the whole test set is the gallery.
        preferences: how many values of the adjusted attribute's preference, evenly from ``least_preference`` to
            ``most_preference`` on a logarithmic scale; 0 and 1 are tried beside them.
        identity_tolerance: by how much the identity similarity of a list may be below that of the list without any
            adjustment, where identity is constrained.
        sparsities: lambda; "ours" is the one with the highest nDCG among the validation faces.
        least_faces: an attribute is used if so many training faces and so many test faces have it, and lack it.
        interfacegan_share: how many of the training faces its boundaries see of each kind; its own code has 0.02.
        resamples: of the bootstrap over queries.
        steps, batch, learning_rate: of algorithm 2, see ``SparseDirectionsConfig``. Small batches reach the validation
            error of full ones in a fifth of the time.
    """

    queries: int = 1000
    preferences: int = 25
    least_preference: float = 0.1
    most_preference: float = 1000.0
    identity_tolerance: float = 0.05
    sparsities: tuple[float, ...] = PAPER_SPARSITIES
    least_faces: int = LONGEST
    interfacegan_share: float = 0.02
    resamples: int = 1000
    seed: int = 0
    steps: int = 2000
    batch: int = 512
    learning_rate: float = 1e-2

    def __post_init__(self) -> None:
        others = []
        if 0.0 not in self.sparsities or len(set(self.sparsities)) < 2:
            others.append(f"sparsities must be 0 and at least one other, got {self.sparsities}")
        ranges = dict.fromkeys(("queries", "preferences", "least_faces"), Range(least=2)) | {
            "least_preference": Range(above=0, below=1),
            "most_preference": Range(above=1),
            "identity_tolerance": Range(least=0),
            "interfacegan_share": Range(above=0, most=0.5),
            "resamples": Range(least=100),
        }
        check_ranges(self, ranges, others)

    @property
    def directions(self) -> SparseDirectionsConfig:
        """Algorithm 2's settings but for lambda."""
        return SparseDirectionsConfig(steps=self.steps, batch=self.batch, learning_rate=self.learning_rate)

    @property
    def grid(self) -> tuple[float, ...]:
        """All preferences that are tried, ascending."""
        ends = math.log10(self.least_preference), math.log10(self.most_preference)
        spread = torch.logspace(*ends, self.preferences, dtype=torch.float64)
        return tuple(sorted({0.0, 1.0, *spread.tolist()}))


def evaluate(config: EvaluationConfig, faces: Faces, parts: Mapping[str, Part], device: torch.device) -> Report:
    """Fit on ``faces.train``, choose lambda on ``faces.validation``, search in ``faces.test``.

    Args:
        parts: of the model; not looked at, for the directions that are compared are fitted here.

    Raises:
        WrongUsage: too few faces for the queries, or no attribute with enough faces of both kinds.
    """
    return report_of(measure(config, with_attributes(faces, config.least_faces), device))


def report_of(results: Results) -> Report:
    """Tables, curves, claims and choices of what was measured."""
    return Report(tables=tables(results), plots=plots(results), claims=claims(results), choices=choices(results))


def measure(config: EvaluationConfig, faces: Faces, device: torch.device) -> Results:
    """Everything that the report is made of."""
    trial = _trial(config, faces.test, config.queries)
    rehearsal = _trial(config, faces.validation, min(config.queries, len(faces.validation["labels"])))
    fits = fit_ours(config.directions, faces, config.sparsities, device, config.seed)
    ours = {sparsity: axes_of(fit) for sparsity, fit in fits.items()}
    baselines = _baselines(config, faces)
    return Results(
        grid=config.grid,
        tolerance=config.identity_tolerance,
        resamples=config.resamples,
        seed=config.seed,
        attributes=faces.attributes,
        faces=(len(faces.train["labels"]), len(faces.validation["labels"]), len(faces.test["labels"])),
        interfacegan_share=config.interfacegan_share,
        queries=trial.queries,
        unadjusted=unadjusted(trial),
        ours={sparsity: search(trial, axes, config.grid) for sparsity, axes in ours.items()},
        baselines={name: search(trial, axes, config.grid) for name, axes in baselines.items()},
        rehearsals={sparsity: search(rehearsal, axes, config.grid) for sparsity, axes in ours.items()},
        rehearsal_unadjusted=unadjusted(rehearsal),
        errors={sparsity: fit.scores["error"] for sparsity, fit in fits.items()},
        vectors={sparsity: axes.vectors for sparsity, axes in ours.items()},
        baseline_vectors=baselines[INTERFACEGAN].vectors,
    )


def _baselines(config: EvaluationConfig, faces: Faces) -> dict[str, Axes]:
    boundaries_AP = fit_interfacegan_boundaries(faces, share=config.interfacegan_share, seed=config.seed)
    separate_AP = fit_one_by_one(config.directions, faces, seed=config.seed)
    return {
        INTERFACEGAN: in_turn(boundaries_AP, faces),
        not_orthogonal(INTERFACEGAN): alone(boundaries_AP, faces),
        ONE_BY_ONE: in_turn(separate_AP, faces),
        not_orthogonal(ONE_BY_ONE): alone(separate_AP, faces),
    }


def _trial(config: EvaluationConfig, gallery: Columns, count: int) -> Trial:
    return prepare(gallery, draw_queries(gallery["labels"], count, seed=config.seed))

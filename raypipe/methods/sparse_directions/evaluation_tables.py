"""Measurements -> tables. Columns nDCG@k and identity@k are means over the queries."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from raypipe.methods.sparse_directions.evaluation_results import (
    BEST,
    CONSTRAINED,
    INTERFACEGAN,
    NO_PREFERENCE,
    OURS,
    SETTINGS,
    Chosen,
    Results,
    constrained,
)
from raypipe.methods.sparse_directions.evaluation_search import DEPTHS, Measured
from raypipe.methods.sparse_directions.scores import ENERGY_SHARE, mean_entries
from raypipe.report import Cell, Table

BOTH = tuple(f"{what}@{depth}" for depth in DEPTHS for what in ("nDCG", "identity"))
TOP_OF_ALL = tuple(f"{setting}: {what}" for setting in SETTINGS for what in ("nDCG", "identity"))
TOLERANCES = (0.0, 0.02, 0.05, 0.1, 0.2)

PAPER_TABLE_1: tuple[tuple[Cell, ...], ...] = (
    ("TIRG++ (best of text and image)", "Not applicable", 0.822, 0.830, 0.813, 0.827, 0.814, 0.824),
    (INTERFACEGAN, NO_PREFERENCE, 0.568, 0.838, 0.570, 0.835, 0.571, 0.832),
    (INTERFACEGAN, CONSTRAINED, 0.822, 0.859, 0.813, 0.849, 0.801, 0.841),
    (INTERFACEGAN, BEST, 0.905, 0.824, 0.893, 0.820, 0.881, 0.817),
    (OURS, NO_PREFERENCE, 0.595, 0.849, 0.586, 0.845, 0.583, 0.841),
    (OURS, CONSTRAINED, 0.858, 0.864, 0.847, 0.855, 0.835, 0.846),
    (OURS, BEST, 0.923, 0.848, 0.917, 0.827, 0.909, 0.833),
)
"""Zaeemzadeh et al., CVPR 2021, on CelebA with FFHQ StyleGAN2, pSp and FaceNet: method, preference assignment, then
nDCG and identity similarity of the top 5, 10 and 20."""

PAPER_TABLE_2: tuple[tuple[float, float, float], ...] = (
    (0.0, 0.826, 0.863),
    (1e-3, 0.847, 0.863),
    (5e-3, 0.858, 0.864),
    (1e-2, 0.849, 0.866),
)
"""Lambda, nDCG and identity similarity of the top 5, with identity constrained."""

PAPER_OURS, PAPER_INTERFACEGAN, PAPER_ENTRIES = 1_000, 5_000, 9_216
"""Figure 6: about how many of the largest entries hold 95 % of a direction's energy, and how many there are."""


def tables(results: Results) -> Sequence[Table]:
    """The paper's two, then what its open questions make of them."""
    return [
        table_1(results),
        table_2(results),
        differences(results),
        constraints(results),
        baselines(results),
        agreement(results),
        changes(results),
    ]


def table_1(results: Results) -> Table:
    """InterFaceGAN and ours under the three settings."""
    rows: list[tuple[Cell, ...]] = [
        ("No adjustment", "Not applicable", *_numbers(results.under(BEST, results.unadjusted)))
    ]
    rows += [
        (name, setting, *_numbers(results.under(setting, measured)))
        for name, measured in results.compared.items()
        for setting in SETTINGS
    ]
    return Table(
        title="Table 1: adjusting one attribute",
        columns=("Method", "Preference", *BOTH),
        rows=rows,
        paper=PAPER_TABLE_1,
        note=f"Ours: lambda = {results.chosen_sparsity:g}, which finds most among the validation faces. The paper's "
        "numbers are of other faces, codes and embeddings: compare the order of rows, not the numbers.",
    )


def table_2(results: Results) -> Table:
    """The regularisation parameter."""
    rows: list[tuple[Cell, ...]] = [
        (
            f"{sparsity:g}",
            *_numbers(results.under(CONSTRAINED, measured))[:2],
            results.rehearsed[sparsity],
            results.errors[sparsity],
            round(mean_entries(results.vectors[sparsity])),
        )
        for sparsity, measured in results.ours.items()
    ]
    baseline = _numbers(results.under(CONSTRAINED, results.baselines[INTERFACEGAN]))[:2]
    rows.append((INTERFACEGAN, *baseline, None, None, round(mean_entries(results.baseline_vectors))))
    width = results.baseline_vectors.shape[1]
    return Table(
        title="Table 2: sparsity",
        columns=("lambda", "nDCG@5", "identity@5", "nDCG@5, validation", "error, validation", "entries"),
        rows=rows,
        paper=[(f"{sparsity:g}", ndcg, identity, None, None, None) for sparsity, ndcg, identity in PAPER_TABLE_2],
        note=f"Identity constrained. Error: of the directions as classifiers. Entries: how many of {width:,} hold "
        f"{ENERGY_SHARE:.0%} of the energy; in the paper, of {PAPER_ENTRIES:,}, about {PAPER_OURS:,} with "
        f"lambda = 0.005 and over {PAPER_INTERFACEGAN:,} with InterFaceGAN.",
    )


def differences(results: Results) -> Table:
    """Ours minus InterFaceGAN, query by query."""
    rows = []
    for setting in SETTINGS:
        baseline, ours = (results.under(setting, measured) for measured in results.compared.values())
        for place, depth in enumerate(DEPTHS):
            ndcg = results.interval(ours.ndcg[place] - baseline.ndcg[place])
            identity = results.interval(ours.identity[place] - baseline.identity[place])
            rows.append((setting, depth, str(ndcg), str(identity)))
    return Table(
        title="Ours minus InterFaceGAN",
        columns=("Preference", "top", "nDCG", "identity"),
        rows=rows,
        note="Means and 95 % intervals of a bootstrap over queries; both methods are fitted once.",
    )


def constraints(results: Results) -> Table:
    """The identity constraint, more and less strict."""
    rows = []
    for tolerance in TOLERANCES:
        least_KQ = results.least_identity(tolerance)
        for name, measured in results.compared.items():
            chosen = constrained(measured, least_KQ)
            reached = float((chosen.identity[0] >= least_KQ[0]).double().mean())
            rows.append((f"{tolerance:g}", name, *_numbers(chosen)[:2], reached))
    return Table(
        title="Identity constrained, by tolerance",
        columns=("tolerance", "Method", "nDCG@5", "identity@5", "queries that reach it"),
        rows=rows,
        note="How far identity similarity may be below that of the list without adjustment. A query that reaches that "
        "at no preference takes the list with the highest identity similarity.",
    )


def baselines(results: Results) -> Table:
    """What of ours helps: more faces, orthogonality, sparsity."""
    several = {
        **results.baselines,
        **{f"{OURS}, lambda = {sparsity:g}": results.ours[sparsity] for sparsity in (0.0, results.chosen_above_zero)},
    }
    return Table(
        title="Other directions (top 5)",
        columns=("Directions", *TOP_OF_ALL),
        rows=[(name, *_top_numbers(results, measured)) for name, measured in several.items()],
        note="InterFaceGAN sees few faces, all others all. One by one: algorithm 2 with lambda = 0 and without its "
        "orthogonal step; each direction then has those before it projected away. Not orthogonal: it has not, and "
        "adjusting one attribute needs no more.",
    )


def agreement(results: Results) -> Table:
    """Another gain in nDCG."""
    rows: list[tuple[Cell, ...]] = [
        ("No adjustment", "Not applicable", *_numbers(results.under(BEST, results.unadjusted.by_agreement)))
    ]
    rows += [
        (name, setting, *_numbers(results.under(setting, measured.by_agreement)))
        for name, measured in results.compared.items()
        for setting in SETTINGS
    ]
    return Table(
        title="Table 1 with the share of agreeing attributes as gain",
        columns=("Method", "Preference", *BOTH),
        rows=rows,
        note="The gain of a face is the share of all attributes that are as wanted after the adjustment.",
    )


def changes(results: Results) -> Table:
    """Attributes that appear and attributes that go away."""
    is_added = results.queries.wanted == 1
    rows = [
        (change, int(are_meant.sum()), name, *_top_numbers(results, measured, are_meant))
        for change, are_meant in (("to have it", is_added), ("to lose it", ~is_added))
        for name, measured in results.compared.items()
    ]
    return Table(
        title="By the change that is asked for (top 5)",
        columns=("change", "queries", "Method", *TOP_OF_ALL),
        rows=rows,
    )


def _numbers(chosen: Chosen) -> tuple[float | None, ...]:
    """nDCG and identity of every list length."""
    return tuple(_mean(part[place]) for place in range(len(DEPTHS)) for part in (chosen.ndcg, chosen.identity))


def _top_numbers(results: Results, measured: Measured, are_meant: Tensor | None = None) -> list[float | None]:
    """nDCG and identity of the shortest lists under every setting; of some queries [Q] only, if they are given."""
    meant = slice(None) if are_meant is None else are_meant
    every = [results.under(setting, measured) for setting in SETTINGS]
    return [_mean(part[0][meant]) for chosen in every for part in (chosen.ndcg, chosen.identity)]


def _mean(values: Tensor) -> float | None:
    return float(values.mean()) if len(values) else None

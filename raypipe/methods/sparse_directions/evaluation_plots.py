"""Measurements -> curves: figures 5 and 6, and what identity similarity the nDCG costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from raypipe.methods.sparse_directions.evaluation_results import INTERFACEGAN, OURS, Results
from raypipe.methods.sparse_directions.evaluation_search import DEPTHS, Measured
from raypipe.metrics.energy import energy_curves
from raypipe.report import Line, Plot

POINTS = 200
DEPTH = DEPTHS[0]


def plots(results: Results) -> Sequence[Plot]:
    """In the order of the paper's figures. InterFaceGAN's line is the first, and so of one colour, in all."""
    return [_ndcg(results), _identity(results), _trade(results), _energy(results)]


def _ndcg(results: Results) -> Plot:
    return _over_preferences(
        results,
        f"Figure 5: nDCG@{DEPTH} over a fixed preference",
        f"nDCG@{DEPTH}",
        {name: measured.ndcg[0] for name, measured in results.compared.items()},
    )


def _identity(results: Results) -> Plot:
    return _over_preferences(
        results,
        f"Figure 5: identity similarity@{DEPTH} over a fixed preference",
        f"identity similarity@{DEPTH}",
        {name: measured.identity[0] for name, measured in results.compared.items()},
    )


def _over_preferences(results: Results, title: str, y_label: str, curves: Mapping[str, Tensor]) -> Plot:
    """``curves``: [Q,R] each. Preference 0 has no place on a logarithmic axis."""
    shown = [place for place, preference in enumerate(results.grid) if preference > 0]
    return Plot(
        title=title,
        x_label="preference of the adjusted attribute",
        y_label=f"{y_label} (band: two standard errors)",
        is_log_x=True,
        lines=[
            Line(
                name=_named(results, name),
                x=[results.grid[place] for place in shown],
                y=values_QR.mean(0)[shown].tolist(),
                spread=_two_errors(values_QR)[shown].tolist(),
            )
            for name, values_QR in curves.items()
        ],
    )


def _trade(results: Results) -> Plot:
    """Both of figure 5's curves as one for each method: the higher, the better at equal identity similarity."""
    several = {
        **{_named(results, name): measured for name, measured in results.compared.items()},
        f"{OURS}, lambda = 0": results.ours[0.0],
        **results.baselines,
    }
    return Plot(
        title="What nDCG costs in identity similarity (fixed preferences)",
        x_label=f"identity similarity@{DEPTH}",
        y_label=f"nDCG@{DEPTH}",
        lines=[_trade_line(name, measured) for name, measured in several.items()],
    )


def _trade_line(name: str, measured: Measured) -> Line:
    return Line(name=name, x=measured.identity[0].mean(0).tolist(), y=measured.ndcg[0].mean(0).tolist())


def _energy(results: Results) -> Plot:
    several = {INTERFACEGAN: results.baseline_vectors}
    several |= {f"{OURS}, lambda = {sparsity:g}": vectors for sparsity, vectors in results.vectors.items()}
    return Plot(
        title="Figure 6: energy in a direction's largest entries",
        x_label="largest entries",
        y_label="share of energy, mean over attributes",
        is_log_x=True,
        lines=[_energy_line(name, vectors) for name, vectors in several.items()],
    )


def _energy_line(name: str, vectors_AP: Tensor) -> Line:
    width = vectors_AP.shape[1]
    spread = torch.logspace(0, math.log10(width), POINTS).round().long().clamp(1, width)
    entries = sorted(set(spread.tolist()))
    curve_P = energy_curves(vectors_AP).mean(0)
    return Line(name=name, x=entries, y=[float(curve_P[count - 1]) for count in entries])


def _two_errors(values_QR: Tensor) -> Tensor:
    """[R] two standard errors of the mean over queries."""
    errors_R: Tensor = 2 * values_QR.std(0) / len(values_QR) ** 0.5
    return errors_R


def _named(results: Results, name: str) -> str:
    return f"{name}, lambda = {results.chosen_sparsity:g}" if name == OURS else name

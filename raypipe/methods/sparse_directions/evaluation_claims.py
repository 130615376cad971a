"""The paper's claims about retrieval, and whether they hold for these faces.

A difference holds where the 95 % interval of its mean over queries (bootstrap) leaves out zero.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from raypipe.methods.sparse_directions.evaluation_results import (
    CONSTRAINED,
    INTERFACEGAN,
    ONE_BY_ONE,
    SETTINGS,
    Interval,
    Results,
    not_orthogonal,
)
from raypipe.methods.sparse_directions.evaluation_search import DEPTHS, Measured
from raypipe.methods.sparse_directions.scores import ENERGY_SHARE, mean_entries
from raypipe.report import Claim

PAPER_SPARSITY = 5e-3
TOP = f"@{DEPTHS[0]}"


def claims(results: Results) -> Sequence[Claim]:
    """In the paper's order."""
    return [
        *(_beats_interfacegan(results, setting) for setting in SETTINGS),
        _beats_by_agreement(results),
        _beats_one_by_one(results),
        _preference_trades(results),
        _orthogonality_alone(results),
        _sparsity_helps(results),
        _paper_sparsity_is_best(results),
        _energy_concentrates(results),
    ]


def _beats_interfacegan(results: Results, setting: str) -> Claim:
    ours, baseline = results.ours[results.chosen_sparsity], results.baselines[INTERFACEGAN]
    ndcg, identity = _difference(results, setting, ours, baseline)
    return Claim(
        statement=f"{setting}: our directions reach a higher nDCG{TOP} than InterFaceGAN's, and no less identity "
        "similarity (table 1)",
        holds=ndcg.is_above_zero and not identity.is_below_zero,
        evidence=f"ours (lambda = {results.chosen_sparsity:g}) minus InterFaceGAN: nDCG {ndcg}, identity {identity}",
    )


def _beats_by_agreement(results: Results) -> Claim:
    ours, baseline = results.ours[results.chosen_sparsity], results.baselines[INTERFACEGAN]
    ndcg, identity = _difference(results, CONSTRAINED, ours.by_agreement, baseline.by_agreement)
    return Claim(
        statement=f"{CONSTRAINED}, if nDCG's gain is the share of all attributes that agree: our directions reach a "
        f"higher nDCG{TOP} than InterFaceGAN's, and no less identity similarity",
        holds=ndcg.is_above_zero and not identity.is_below_zero,
        evidence=f"ours (lambda = {results.chosen_sparsity:g}) minus InterFaceGAN: nDCG {ndcg}, identity {identity}",
    )


def _beats_one_by_one(results: Results) -> Claim:
    ours, baselines = results.ours[results.chosen_sparsity], results.baselines
    ndcg, identity = _difference(results, CONSTRAINED, ours, baselines[ONE_BY_ONE])
    alone_ndcg, alone_identity = _difference(results, CONSTRAINED, ours, baselines[not_orthogonal(ONE_BY_ONE)])
    return Claim(
        statement="Directions learned together beat those learned one by one from as many faces and then projected in "
        "turn (sections 2 and 3.1)",
        holds=ndcg.is_above_zero and not identity.is_below_zero,
        evidence=f"identity constrained, ours minus one by one: nDCG{TOP} {ndcg}, identity{TOP} {identity}; minus "
        f"the same without projection, which one adjustment does not need: nDCG{TOP} {alone_ndcg}, identity{TOP} "
        f"{alone_identity}",
    )


def _preference_trades(results: Results) -> Claim:
    measured = results.ours[results.chosen_sparsity]
    one = results.grid.index(1.0)
    ndcg = results.interval(measured.ndcg[0, :, -1] - measured.ndcg[0, :, one])
    identity = results.interval(measured.identity[0, :, -1] - measured.identity[0, :, one])
    return Claim(
        statement="A larger preference of the adjusted attribute raises nDCG, lowers identity similarity (figure 5)",
        holds=ndcg.is_above_zero and identity.is_below_zero,
        evidence=f"from preference 1 to {results.grid[-1]:g}: nDCG{TOP} {ndcg}, identity{TOP} {identity}",
    )


def _orthogonality_alone(results: Results) -> Claim:
    ndcg, identity = _difference(results, CONSTRAINED, results.ours[0.0], results.baselines[INTERFACEGAN])
    return Claim(
        statement="Orthogonality alone (lambda = 0) keeps InterFaceGAN's nDCG with more identity similarity (table 2)",
        holds=not ndcg.is_below_zero and identity.is_above_zero,
        evidence=f"identity constrained, lambda = 0 minus InterFaceGAN: nDCG{TOP} {ndcg}, identity{TOP} {identity}",
    )


def _sparsity_helps(results: Results) -> Claim:
    sparsity = results.chosen_above_zero
    ndcg, identity = _difference(results, CONSTRAINED, results.ours[sparsity], results.ours[0.0])
    return Claim(
        statement="Sparsity raises nDCG over orthogonality alone and keeps the identity similarity (table 2)",
        holds=ndcg.is_above_zero and not identity.is_below_zero,
        evidence=f"identity constrained, lambda = {sparsity:g} minus 0: nDCG{TOP} {ndcg}, identity{TOP} {identity}",
    )


def _paper_sparsity_is_best(results: Results) -> Claim:
    means = {
        sparsity: float(results.under(CONSTRAINED, measured).ndcg[0].mean())
        for sparsity, measured in results.ours.items()
    }
    best = max(means, key=lambda sparsity: means[sparsity])
    return Claim(
        statement=f"lambda = {PAPER_SPARSITY:g} is best on the validation and on the test faces (section 4)",
        holds=results.chosen_sparsity == best == PAPER_SPARSITY,
        evidence=f"nDCG{TOP}, identity constrained: validation {_told(results.rehearsed)}; test {_told(means)}",
    )


def _energy_concentrates(results: Results) -> Claim:
    entries = {sparsity: mean_entries(vectors) for sparsity, vectors in sorted(results.vectors.items())}
    baseline = mean_entries(results.baseline_vectors)
    return Claim(
        statement="The larger lambda, the fewer entries hold a direction's energy; always fewer than InterFaceGAN's "
        "for lambda above 0 (figure 6)",
        holds=_falls(list(entries.values())) and all(count < baseline for key, count in entries.items() if key),
        evidence=f"entries with {ENERGY_SHARE:.0%} of the energy, of {results.baseline_vectors.shape[1]:,}: "
        f"{_told(entries)}; InterFaceGAN {baseline:.4g}",
    )


def _difference(results: Results, setting: str, first: Measured, second: Measured) -> tuple[Interval, Interval]:
    """nDCG and identity similarity of the shortest list."""
    minuend, subtrahend = results.under(setting, first), results.under(setting, second)
    return (
        results.interval(minuend.ndcg[0] - subtrahend.ndcg[0]),
        results.interval(minuend.identity[0] - subtrahend.identity[0]),
    )


def _falls(values: Sequence[float]) -> bool:
    return all(later < earlier for earlier, later in itertools.pairwise(values))


def _told(numbers: Mapping[float, float]) -> str:
    return ", ".join(f"lambda {sparsity:g}: {number:.4g}" for sparsity, number in numbers.items())

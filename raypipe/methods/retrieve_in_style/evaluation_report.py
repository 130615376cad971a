"""What the evaluation found as tables, a plot, claims and choices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from scipy.stats import wilcoxon
from torch import Tensor

from raypipe.methods.retrieve_in_style.evaluation_search import Kept
from raypipe.methods.retrieve_in_style.evaluation_systems import EIS, RIS
from raypipe.methods.retrieve_in_style.evaluation_transfers import Change
from raypipe.report import BoxPlot, Cell, Claim, Line, Plot, Report, Sheet, Table

PAPER_SCORES: Mapping[str, Mapping[str, float]] = {
    "RIS": {"eyes": 96.3, "nose": 100.0, "mouth": 81.1, "hair": 97.5},
    "EIS": {"eyes": 95.4, "nose": 100.0, "mouth": 75.8, "hair": 97.1},
}

PEOPLE = "TRSI-IoU of all queries and pairs of features (figure 8)"
SIGNIFICANT = 0.05


@dataclass(frozen=True, eq=False, kw_only=True)
class Results:
    """Outer keys are systems, where there are two.

    Attributes:
        stored: numbers that are stored of a face for each feature.
        scores: attribute matching of every query, [Q] by feature.
        chance: the score of any other faces.
        same_person: the share of results that are other pictures of the query's person, by feature.
        people: TRSI-IoU of all queries and pairs of features.
        changes: of transfers, by feature.
        fid: of transfers, and without any; empty where no network was there.
        kept: what stored vectors find of what whole ones do.
        ratios: of channels that all clusters of faces share, by feature and number of clusters.
        eis_channels: of each feature.
        strips: transfers to look at, [features, columns, 3, h, w].
        sheets: searches to look at, by the names of their pages.
    """

    features: tuple[str, ...]
    people_results: int
    stored: int
    scores: Mapping[str, Mapping[str, Tensor]]
    chance: Mapping[str, float]
    same_person: Mapping[str, Mapping[str, float]]
    people: Mapping[str, Tensor]
    changes: Mapping[str, Mapping[str, Change]]
    fid: Mapping[str, float]
    kept: Mapping[str, Kept]
    ratios: Mapping[str, Mapping[int, float]]
    eis_channels: Mapping[str, int]
    strips: Tensor
    sheets: Mapping[str, Sheet]


def report_of(results: Results) -> Report:
    """Everything for the reader."""
    return Report(
        tables=[
            _scores(results),
            _same_person(results),
            _people(results),
            _changes(results),
            *([_fid(results)] if results.fid else []),
            _kept(results),
        ],
        plots=[_ratios(results), _boxes(results)],
        claims=[
            *_score_claims(results),
            *_person_claims(results),
            *_people_claims(results),
            *_change_claims(results),
        ],
        pictures={"transfers": results.strips},
        sheets=results.sheets,
        choices=_choices(results),
    )


def _scores(results: Results) -> Table:
    rows: list[list[Cell]] = [
        [name, *(_percent(some[feature]) for feature in results.features)] for name, some in results.scores.items()
    ]
    rows.append(["any other faces", *(round(100 * results.chance[feature], 2) for feature in results.features)])
    return Table(
        title="Attribute matching score in percent (table 2)",
        columns=["", *results.features],
        rows=rows,
        paper=[[name, *(some[feature] for feature in results.features)] for name, some in PAPER_SCORES.items()],
    )


def _same_person(results: Results) -> Table:
    rows: list[list[Cell]] = [
        [name, *(round(100 * some[feature], 2) for feature in results.features)]
        for name, some in results.same_person.items()
    ]
    return Table(
        title="Results that are other pictures of the query's person, in percent (figure 7)",
        columns=["", *results.features],
        rows=rows,
    )


def _people(results: Results) -> Table:
    rows: list[list[Cell]] = []
    for name, values in results.people.items():
        quartiles = torch.quantile(values, torch.tensor([0.25, 0.5, 0.75], dtype=values.dtype)).tolist()
        rows.append([name, *(round(value, 4) for value in [*quartiles, float(values.mean())])])
    columns = ["", "lower quartile", "median", "upper quartile", "mean"]
    return Table(title=PEOPLE, columns=columns, rows=rows)


def _boxes(results: Results) -> BoxPlot:
    groups = {name: values.tolist() for name, values in results.people.items()}
    return BoxPlot(title=PEOPLE, y_label="TRSI-IoU", groups=groups)


def _changes(results: Results) -> Table:
    return Table(
        title="Where transfers of strength 1 change made-up faces: inside and outside the feature's part",
        columns=["", *results.features],
        rows=[
            [name, *(f"{change.inside:.3f}, {change.outside:.3f}" for change in some.values())]
            for name, some in results.changes.items()
        ],
        note="Mean absolute change of pixels, of 2; inside is where either face has the part.",
    )


def _fid(results: Results) -> Table:
    return Table(
        title="FID of faces with transferred features (table 1)",
        columns=["", "to the faces' own pictures"],
        rows=[[name, round(value, 3)] for name, value in results.fid.items()],
        note="By the features of the model's own attribute network: not comparable with other networks' FID. The "
        "paper, by Inception features of generated pictures: StyleGAN2 2.44, EIS 3.47, RIS 3.73.",
    )


def _kept(results: Results) -> Table:
    count = results.people_results
    return Table(
        title=f"The {count} results by whole vectors: how many {results.stored} stored numbers find",
        columns=["", *results.features],
        rows=[
            [f"among their first {count}", *(round(results.kept[name].same, 3) for name in results.features)],
            [
                f"among their first {5 * count}",
                *(round(results.kept[name].among_five_times, 3) for name in results.features),
            ],
        ],
    )


def _ratios(results: Results) -> Plot:
    lines = [
        Line(name=name, x=[float(count) for count in some], y=list(some.values()))
        for name, some in results.ratios.items()
    ]
    return Plot(
        title="Channels that all clusters of faces share (figure 9)",
        x_label="clusters",
        y_label="intersection ratio",
        lines=lines,
        is_log_x=True,
    )


def _score_claims(results: Results) -> list[Claim]:
    ours, theirs = results.scores[RIS], results.scores[EIS]
    return [
        Claim(
            statement=f"RIS matches attributes of {feature} at least as well as EIS",
            holds=bool(ours[feature].mean() >= theirs[feature].mean()),
            evidence=f"{_percent(ours[feature])} % against {_percent(theirs[feature])} %",
        )
        for feature in results.features
    ]


def _person_claims(results: Results) -> list[Claim]:
    ours, theirs = results.same_person[RIS], results.same_person[EIS]
    return [
        Claim(
            statement=f"By {feature} EIS finds the same person more often than RIS does",
            holds=theirs[feature] > ours[feature],
            evidence=f"{100 * theirs[feature]:.2f} % against {100 * ours[feature]:.2f} %",
        )
        for feature in results.features
    ]


def _people_claims(results: Results) -> list[Claim]:
    ours, theirs = results.people[RIS], results.people[EIS]
    if not len(ours) or torch.equal(ours, theirs):
        return []
    probability = float(wilcoxon(ours.numpy(), theirs.numpy(), alternative="less").pvalue)
    return [
        Claim(
            statement="RIS finds other people by other features more than EIS does: lower TRSI-IoU, with significance",
            holds=probability < SIGNIFICANT,
            evidence=f"means {ours.mean():.4f} and {theirs.mean():.4f}, one-sided Wilcoxon p = {probability:.2g}",
        )
    ]


def _change_claims(results: Results) -> list[Claim]:
    return [
        Claim(
            statement=f"Transfer of {feature} changes {feature} more than the rest of the picture",
            holds=change.inside > change.outside,
            evidence=f"{change.inside:.4f} inside, {change.outside:.4f} outside",
        )
        for feature, change in results.changes[RIS].items()
    ]


def _choices(results: Results) -> list[str]:
    taken = ", ".join(f"{count} channels of {name}" for name, count in results.eis_channels.items())
    return [
        "The query itself is no result; other pictures of the same person may be.",
        "Labels are the data's own, not a classifier's.",
        f"TRSI-IoU: {results.people_results} results a query.",
        f"Editing in Style takes {taken}.",
    ]


def _percent(values: Tensor) -> float:
    return round(100 * float(values.mean()), 2)

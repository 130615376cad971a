"""Reports as plain values."""

from __future__ import annotations

import json

import torch

from raypipe.pipeline.evaluate.plain import as_plain, file_name
from raypipe.report import BoxPlot, Claim, Line, Plot, Report, Sheet, Table


def test_a_report_is_json_without_nan() -> None:
    report = Report(
        tables=[Table(title="T", columns=("a", "b"), rows=[("x", float("nan"))], paper=[("x", 0.5)], note="n")],
        plots=[
            Plot(title="P", x_label="x", y_label="y", lines=[Line(name="l", x=[1], y=[float("inf")])]),
            BoxPlot(title="B", y_label="y", groups={"g": [1.0, float("nan")]}),
        ],
        claims=[Claim(statement="s", holds=False, evidence="e")],
        pictures={"faces": torch.zeros(1, 1, 3, 4, 4)},
        sheets={"page": Sheet(title="S", note="", columns=("a",), rows=())},
        choices=("c",),
    )
    told = json.loads(json.dumps(as_plain(report), allow_nan=False))
    assert told["tables"] == [
        {"title": "T", "columns": ["a", "b"], "rows": [["x", None]], "paper": [["x", 0.5]], "note": "n"}
    ]
    assert told["plots"][0]["lines"] == [{"name": "l", "x": [1], "y": [None], "spread": []}]
    assert told["plots"][1] == {"title": "B", "y_label": "y", "groups": {"g": [1.0, None]}}
    assert told["claims"] == [{"statement": "s", "holds": False, "evidence": "e"}]
    assert (told["pictures"], told["choices"]) == (["faces", "page"], ["c"])


def test_titles_become_file_names() -> None:
    assert file_name("Figure 5: nDCG@5 over a fixed preference") == "figure-5-ndcg-5-over-a-fixed-preference"

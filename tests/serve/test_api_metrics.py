from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.pipeline.search.small_collection import NAMES, SmallCollection
from tests.serve.api_server import ApiServer, until

REPOSITORY = Path(__file__).parents[2]


Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]
"""Name and labels -> value."""


def samples(api: ApiServer) -> Samples:
    """As Prometheus reads them."""
    text = api.client.get("/metrics").text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def grown(api: ApiServer, before: Samples, name: str, **labels: str) -> float:
    key = (f"raypipe_serve_{name}", tuple(sorted(labels.items())))
    return samples(api).get(key, 0.0) - before.get(key, 0.0)


def test_what_happened_is_counted(api: ApiServer, collection: SmallCollection) -> None:
    before = samples(api)
    face = {"id": collection.id(2)}
    compared = [
        api.client.post("/v1/search", json={"face": face, "prefer": {NAMES[0]: weight}}).json()["compared"]
        for weight in (1, 10, 100)
    ]
    api.client.post("/v1/search", json={"face": face, "k": 0})
    api.client.get("/v1/images/nobody")
    api.client.get("/wp-login.php")
    until(lambda: grown(api, before, "request_seconds_count", route="other", status="404") == 1)
    assert grown(api, before, "searches_total", exact="true") == 3
    assert grown(api, before, "compared_count") == 3
    assert grown(api, before, "compared_sum") == sum(compared)
    assert grown(api, before, "request_seconds_count", route="/v1/search", status="200") == 3
    assert grown(api, before, "request_seconds_count", route="/v1/search", status="422") == 1
    assert grown(api, before, "errors_total", kind="wrong-fields") == 1
    assert grown(api, before, "errors_total", kind="not-found") == 2
    for stage in ("search", "ask", "nearest"):
        assert grown(api, before, "stage_seconds_count", stage=stage) == 3
    assert grown(api, before, "stage_seconds_count", stage="receive") == 4


def test_nothing_is_in_flight_when_nothing_is_asked(api: ApiServer) -> None:
    def gauges() -> list[float]:
        return [value for (name, _), value in samples(api).items() if name.endswith(("in_flight", "waiting"))]

    until(lambda: set(gauges()) == {0.0})
    assert len(gauges()) >= 4


def test_what_answers_is_told(api: ApiServer) -> None:
    told = samples(api)
    assert (told["raypipe_serve_index_rows", ()], told["raypipe_serve_index_version", ()]) == (40, 1)


def test_a_name_of_the_callers_is_no_label(api: ApiServer) -> None:
    """Who asks for many addresses must not make the server remember them."""
    before = len(samples(api))
    for i in range(20):
        api.client.get(f"/v1/nothing/{i}")
        api.client.get(f"/v1/images/nobody-{i}")
        api.client.request(f"VERB{i}", "/v1/methods")
    assert len(samples(api)) - before < 60


@pytest.mark.parametrize("file", ["deploy/grafana/serve.json", "docs/metrics.md"])
def test_dashboard_and_documentation_name_what_is_there(api: ApiServer, file: str) -> None:
    api.client.get("/v1/nothing")
    text = (REPOSITORY / file).read_text()
    named = {
        re.sub(r"_(bucket|sum|count|total)$", "", name) for name in re.findall(r"(?<!ray_)raypipe_serve_\w+", text)
    }
    there = {
        family.name
        for family in text_string_to_metric_families(api.client.get("/metrics").text)
        if not family.name.endswith("_created")
    }
    assert named == there


def test_the_dashboard_asks_for_labels_that_there_are(api: ApiServer) -> None:
    dashboard = json.loads((REPOSITORY / "deploy/grafana/serve.json").read_text())
    labels = {
        (family.name, label)
        for family in text_string_to_metric_families(api.client.get("/metrics").text)
        for sample in family.samples
        for label in sample.labels
    }
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            for names, metric in re.findall(r"by \(([^)]*)\) \((?:rate\()?(raypipe_serve_\w+)", target["expr"]):
                family = re.sub(r"_(bucket|sum|count|total)$", "", metric)
                assert {(family, name.strip()) for name in names.split(",")} <= labels, target["expr"]

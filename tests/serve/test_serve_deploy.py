"""``serve deploy serve/config.yaml`` to a real cluster, with several replicas: under load, while the configuration and
the index change and processes are killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

import serve
from raypipe.config import read_config
from serve.ray_server import environment
from serve.settings import ServeSettings
from tests.pipeline.search.small_collection import FACES, SmallCollection
from tests.serve.more_codes import IDS, MORE, changeable
from tests.serve.ray_cluster import RayCluster, ray_cluster
from tests.serve.ray_server import Load

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]

PATIENT = {"shard_s": 100, "lease_wait_s": 100}
"""A new configuration starts nine processes at once: on a machine of two cores that takes longer than anywhere else."""

TOKEN = "a-token-of-the-administrator"

EVERYBODY = {"face": {"id": "face-01"}, "exclude_own": False, "k": FACES + MORE}


@dataclass(frozen=True)
class Deployed:
    """The project's own configuration, filled in, on a cluster; two replicas of everything but encoder and editor."""

    cluster: RayCluster
    config: dict[str, Any]

    @property
    def settings(self) -> dict[str, Any]:
        """Of the application, to be changed; in effect after ``deploy``."""
        settings: dict[str, Any] = self.config["applications"][0]["args"]
        return settings

    def deploy(self) -> None:
        self.cluster.deploy(self.config)

    def post(self, path: str, question: Mapping[str, Any]) -> dict[str, Any]:
        answer = self.cluster.client.post(f"/v1/{path}", json=question)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def found(self) -> tuple[int, frozenset[str]]:
        """The version of an answer, and its ids: of all faces."""
        told = self.post("search", EVERYBODY)
        assert told["covered"] == 1
        return told["index_version"], frozenset(hit["id"] for hit in told["hits"])

    def count(self, deployment: str) -> int:
        """Running replicas, as the cluster sees them."""
        return _running(self.cluster.application(), deployment)


@pytest.fixture(scope="module")
def deployed(collection: SmallCollection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    folder = tmp_path_factory.mktemp("deployed")
    index, codes = changeable(folder, collection)
    config = yaml.safe_load((Path(serve.__file__).parent / "config.yaml").read_text())
    settings = config["applications"][0]["args"]
    settings |= {"index": str(index), "model": str(collection.model), "groups": 2, **PATIENT}
    settings["api"]["limits"] |= {"answer_s": 110}
    settings["api"] |= {"codes": str(codes), "host": "127.0.0.1"}
    for name in ("encoder", "editor"):
        settings[name]["gpus"] = 0
    for name in ("ingress", "shards"):
        settings[name]["most"] = settings[name]["least"]
    started_with = {**environment(read_config(ServeSettings, settings)), "RAYPIPE_ADMIN_TOKEN": TOKEN}
    with ray_cluster(folder, {**started_with, "OMP_NUM_THREADS": "1"}) as cluster:
        config["http_options"] = {"host": "127.0.0.1", "port": cluster.port}
        cluster.client.headers["Authorization"] = f"Bearer {TOKEN}"
        running = Deployed(cluster, config)
        running.deploy()
        yield running


def test_it_is_what_the_configuration_says(deployed: Deployed) -> None:
    assert {name: deployed.count(name) for name in ("Ingress", "ShardGroup-0", "ShardGroup-1", "Decider")} == {
        "Ingress": 2, "ShardGroup-0": 2, "ShardGroup-1": 2, "Decider": 1,
    }  # fmt: skip
    assert len(deployed.found()[1]) == FACES
    assert deployed.cluster.client.get("/v1/index", headers={"Authorization": "Bearer nobody"}).status_code == 401


def test_one_scrape_tells_of_all_ingresses(deployed: Deployed) -> None:
    """Whichever of them it comes to."""
    before = searches(deployed)
    for _ in range(20):
        deployed.found()
    after = searches(deployed)
    assert len(after) == 2
    assert sum(after.values()) - sum(before.values()) == 20


def test_a_change_is_in_effect_at_every_ingress_once_its_call_returns(deployed: Deployed) -> None:
    everybody = deployed.found()[1] | IDS
    expected = {1: everybody - IDS, 2: everybody, 3: everybody - {"face-07"}}
    ask = asking(deployed, lambda version: expected[version])
    with Load(ask, askers=3) as load:
        load.wait_for(10)
        for verb, question, version in (
            ("append", {"codes": "new"}, 2),
            ("activate", {"version": 1}, 1),
            ("activate", {"version": None}, 2),
            ("delete", {"ids": ["face-07"]}, 3),
        ):
            before = searches(deployed)
            assert deployed.post(f"admin/{verb}", question)["index_version"] == version
            while set(before) != {replica for replica, count in searches(deployed).items() if count > before[replica]}:
                assert deployed.found()[0] == version
            load.wait_for(5)
    assert load.failures == []


def test_an_ingress_and_a_group_s_replica_die_and_only_who_was_asked_just_then_notices(deployed: Deployed) -> None:
    version, everybody = deployed.found()
    with Load(asking(deployed, lambda _: everybody), askers=3) as load:
        load.wait_for(10)
        deployed.cluster.replicas("ShardGroup-0")[0].kill()
        deployed.cluster.replicas("Decider")[0].kill()
        load.wait_for(20)
        assert load.failures == []
        deployed.cluster.replicas("Ingress")[0].kill()
        load.wait_for(20)
    assert len(load.failures) <= 3, load.failures
    deployed.deploy()  # the same, so that it ends when everybody is back
    assert deployed.found() == (version, everybody)


def test_another_configuration_comes_and_no_question_fails(deployed: Deployed) -> None:
    version, everybody = deployed.found()
    with Load(asking(deployed, lambda _: everybody)) as load:
        load.wait_for(10)
        deployed.settings["api"]["limits"] |= {"hits": 60}
        deployed.settings["shards"] |= {"least": 1, "most": 1}
        deployed.settings["groups"] = 3
        deployed.deploy()
        load.wait_for(10)
    assert load.failures == []
    assert deployed.cluster.client.get("/v1/index").json()["limits"]["hits"] == 60
    assert [deployed.count(f"ShardGroup-{number}") for number in range(3)] == [1, 1, 1]
    assert deployed.found()[0] == version


def test_load_brings_replicas_and_idleness_takes_them_away(deployed: Deployed) -> None:
    deployed.settings["shards"] |= {"least": 1, "most": 2, "ongoing": 2, "idle_s": 1.0}
    deployed.deploy()
    _, everybody = deployed.found()
    with Load(asking(deployed, lambda _: everybody), askers=8) as load:
        deployed.cluster.wait_until(lambda state: _running(state, "ShardGroup-0") == 2)
    deployed.cluster.wait_until(lambda state: _running(state, "ShardGroup-0") == 1)
    assert load.failures == []
    assert len(deployed.found()[1]) == len(everybody)


def asking(deployed: Deployed, expected: Callable[[int], frozenset[str]]) -> Callable[[], None]:
    """A question whose answer must be of one version: ``expected``, its ids."""

    def ask() -> None:
        version, ids = deployed.found()
        assert ids == expected(version)

    return ask


def searches(deployed: Deployed) -> dict[str, float]:
    """Answered by each ingress."""
    counted: dict[str, float] = {}
    for family in text_string_to_metric_families(deployed.cluster.client.get("/metrics").text):
        for sample in family.samples:
            if sample.name == "raypipe_serve_index_version":
                counted.setdefault(sample.labels["replica"], 0.0)
            if sample.name == "raypipe_serve_searches_total":
                replica = sample.labels["replica"]
                counted[replica] = counted.get(replica, 0.0) + sample.value
    return counted


def _running(state: Mapping[str, Any], deployment: str) -> int:
    return sum(replica["state"] == "RUNNING" for replica in state["deployments"][deployment]["replicas"])

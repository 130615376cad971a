"""The files that describe clusters: as valid as can be said without a cloud, and agreeing with each other."""

from __future__ import annotations

import re
import shlex
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from raypipe.cli import app
from raypipe.cli.lazy import loaded

ROOT = Path(__file__).resolve().parents[1]
LOCK = (ROOT / "requirements.lock").read_text()


@pytest.fixture(scope="module")
def cluster() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "cluster.yaml").read_text()))


@pytest.fixture(scope="module")
def job() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "deploy" / "rayjob-encode.yaml").read_text()))


def test_ray_accepts_the_cluster_file_as_written_and_with_its_defaults(cluster: dict[str, Any]) -> None:
    util = pytest.importorskip("ray.autoscaler._private.util")
    util.validate_config(cluster)
    filled = util.prepare_config(cluster)
    util.validate_config(filled)
    assert set(filled["available_node_types"]) == {"head", "cpu", "gpu"}, "Ray's own node types are not mixed in"
    assert filled["setup_commands"] == filled["head_setup_commands"] == filled["worker_setup_commands"] == []


def test_an_idle_cluster_is_a_head_that_does_no_work(cluster: dict[str, Any]) -> None:
    kinds = dict(cluster["available_node_types"])
    head = kinds.pop(cluster["head_node_type"])
    assert head["resources"] == {"CPU": 0, "GPU": 0}
    assert "InstanceMarketOptions" not in head["node_config"], "the head must not be taken away"
    for kind in kinds.values():
        assert kind["min_workers"] == 0
        assert kind["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
        assert kind["node_config"]["IamInstanceProfile"], "Ray gives a role to the head only: workers could not read S3"
    assert cluster["max_workers"] == sum(kind["max_workers"] for kind in kinds.values())


def test_the_cluster_asks_for_a_token_and_hides_its_job_server(cluster: dict[str, Any]) -> None:
    assert "--env RAY_AUTH_MODE=token" in cluster["docker"]["run_options"]
    assert list(cluster["file_mounts"].values()) == ["~/.ray/auth_token"], "nothing else is copied from a laptop"
    assert any("--dashboard-host=127.0.0.1" in command for command in cluster["head_start_ray_commands"])


def test_the_job_resource_has_what_its_operator_needs(job: dict[str, Any]) -> None:
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec = job["spec"]
    assert spec["submissionMode"] in ("K8sJobMode", "HTTPMode", "SidecarMode")
    assert spec["backoffLimit"] > 0
    # The operator refuses a time to live without the shutdown.
    assert spec["ttlSecondsAfterFinished"] > 0
    assert spec["shutdownAfterJobFinishes"] is True
    ray_cluster = spec["rayClusterSpec"]
    assert ray_cluster["authOptions"] == {"mode": "token"}
    assert ray_cluster["enableInTreeAutoscaling"] is True
    assert ray_cluster["autoscalerOptions"]["version"] == "v2"
    assert ray_cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    for group in ray_cluster["workerGroupSpecs"]:
        assert group["replicas"] == group["minReplicas"] == 0 < group["maxReplicas"]
    for group in _groups(job):
        assert all(isinstance(value, str) for value in group["rayStartParams"].values()), "a Go map of strings"
        for container in group["template"]["spec"]["containers"]:
            resources = container["resources"]
            assert resources["requests"]["memory"] == resources["limits"]["memory"]
            mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
            assert mounted == {volume["name"] for volume in group["template"]["spec"].get("volumes", [])}
    assert [group["groupName"] for group in ray_cluster["workerGroupSpecs"] if _gpus(group)] == ["gpu"]


def test_one_image_and_one_ray_everywhere(cluster: dict[str, Any], job: dict[str, Any]) -> None:
    images = {c["image"] for group in _groups(job) for c in group["template"]["spec"]["containers"]}
    assert images == {cluster["docker"]["image"]}
    [ray_version] = re.findall(r"^ray==(.*)$", LOCK, re.MULTILINE)
    assert job["spec"]["rayClusterSpec"]["rayVersion"] == ray_version
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    assert re.findall(r"^FROM (.*)$", dockerfile, re.MULTILINE) == ["python:3.11-slim-bookworm"]
    assert "requirements.lock" in dockerfile
    # The image's tag is the version of the package in it.
    [version] = re.findall(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert images == {f"registry.example.com/raypipe:{version}"}


def test_idle_workers_are_kept_everywhere_as_on_one_machine(cluster: dict[str, Any], job: dict[str, Any]) -> None:
    name = "RAY_idle_worker_killing_time_threshold_ms"
    [kept] = re.findall(rf'"{name}", "(\d+)"', (ROOT / "raypipe" / "on_ray" / "cluster.py").read_text())
    assert f"--env {name}={kept}" in cluster["docker"]["run_options"]
    assert f"{name}={kept}" in (ROOT / "deploy" / "Dockerfile").read_text().split()
    for group in _groups(job):
        for container in group["template"]["spec"]["containers"]:
            assert {"name": name, "value": kept} in container["env"]


def test_the_image_can_set_up_workers_and_answer_probes() -> None:
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()
    assert {"openssh-client", "rsync", "wget"} <= set(dockerfile.split())
    # The launcher talks to EC2 from inside the head's container.
    assert re.search(r"^boto3==", LOCK, re.MULTILINE)


def test_the_job_resource_runs_a_command_that_exists(job: dict[str, Any]) -> None:
    interpreter, flag, package, *words = shlex.split(job["spec"]["entrypoint"])
    assert (interpreter, flag, package) == ("python", "-m", "raypipe")
    command = loaded(app.commands[words[0]])
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in words if word.startswith("--")} <= known


def test_nobody_s_account_is_in_the_files() -> None:
    for path in [ROOT / "cluster.yaml", *filter(Path.is_file, (ROOT / "deploy").rglob("*"))]:
        text = path.read_text()
        assert not re.search(r"AKIA|\b\d{12}\b|arn:aws|subnet-[0-9a-f]|sg-[0-9a-f]{8}", text), path.name
        assert set(re.findall(r"ami-[0-9a-f]+", text)) <= {"ami-" + "0" * 17}, path.name


def test_the_working_directory_of_a_job_is_small(tmp_path: Path) -> None:
    """What `ray job submit --working-dir .` uploads, packed by Ray itself; Ray's own limit is 512 MiB."""
    packaging = pytest.importorskip("ray._private.runtime_env.packaging")
    constants = pytest.importorskip("ray._private.ray_constants")
    package = tmp_path / "package.zip"
    excludes = constants.get_runtime_env_default_excludes()
    packaging.create_package(str(ROOT), package, include_gitignore=True, excludes=excludes)
    names = zipfile.ZipFile(package).namelist()
    assert {"raypipe/__init__.py", "raypipe/on_ray/submit.py", "jobs/__init__.py", "pyproject.toml"} <= set(names)
    top = {name.split("/")[0] for name in names}
    assert top.isdisjoint({".git", ".venv", ".scratch", "tests", "docs", "benchmarks"})
    assert not any(name.endswith(".pyc") for name in names)
    assert package.stat().st_size < 64 * 2**20


def _groups(job: dict[str, Any]) -> list[dict[str, Any]]:
    ray_cluster = job["spec"]["rayClusterSpec"]
    return [ray_cluster["headGroupSpec"], *ray_cluster["workerGroupSpecs"]]


def _gpus(group: dict[str, Any]) -> bool:
    return any("nvidia.com/gpu" in c["resources"]["limits"] for c in group["template"]["spec"]["containers"])

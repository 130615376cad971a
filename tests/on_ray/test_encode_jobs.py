"""Encode as a cluster job, submitted by ``raypipe submit`` and by ``ray job submit``, on one real head."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.on_ray.faults import wait_until
from tests.on_ray.ray_head import RayHead, ray_head
from tests.pictures import fill_folder
from tests.pipeline.encode.test_job import config_for, encode_locally, part_bytes, rows_of

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

REPOSITORY = Path(__file__).parents[2]
IMAGES, COMMIT_ROWS = 40, 4
STATUSES = {"ok": IMAGES, "decode_not_an_image": 1}
JOB_TIMEOUT_S = 240


@pytest.fixture(scope="module")
def head() -> Iterator[RayHead]:
    with ray_head() as started:
        yield started


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = fill_folder(tmp_path_factory.mktemp("faces") / "in", IMAGES)
    (folder / "broken.jpg").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def expected(source: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The part files of a run in one process."""
    out = tmp_path_factory.mktemp("local") / "out"
    encode_locally(config_for(source, out, model, commit_rows=COMMIT_ROWS))
    return part_bytes(out)


@pytest.fixture(scope="module")
def first_out(head: RayHead, source: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of the first encode job of the head."""
    out = tmp_path_factory.mktemp("submitted") / "out"
    done = run(submit(head, "first", encode(source, out, model)), head)
    assert done.returncode == 0, done.stderr
    return out


def test_a_submitted_job_gives_the_rows_of_a_local_run(first_out: Path, expected: dict[str, bytes]) -> None:
    assert part_bytes(first_out) == expected
    assert json.loads((first_out / "manifest.json").read_text())["statuses"] == STATUSES


def test_prometheus_can_read_how_many_images_had_which_status(head: RayHead, first_out: Path) -> None:
    wait_until(lambda: images_counted(head).total() >= IMAGES + 1)
    assert images_counted(head) == STATUSES


def test_too_many_rejected_images_are_exit_code_3_and_no_reason_to_go_on(
    head: RayHead, model: Path, tmp_path: Path
) -> None:
    folder = fill_folder(tmp_path / "in", 2)
    for name in "abcd":
        (folder / f"{name}.jpg").write_bytes(b"no image")
    # --local: the workers are not what this is about.
    words = [*encode(folder, tmp_path / "out", model), "--max-rejected", "0.1", "--local"]
    done = run(submit(head, tmp_path.name, words), head)
    assert done.returncode == 3, done.stderr
    assert "66.67% of the rows are not ok; --max-rejected allows 10.00%" in done.stdout
    assert "failed with exit code 3" in done.stderr
    assert head.job(f"{tmp_path.name}-2") is None
    assert len(rows_of(tmp_path / "out")) == 6
    assert (tmp_path / "out" / "_SUCCESS").exists(), "all is written, and the exit code says what it is worth"


def test_the_repository_runs_as_a_ray_job(
    head: RayHead, source: Path, model: Path, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    out = tmp_path / "out"
    settings = {"encode.source": source, "encode.out": out, "encode.model": model, "encode.commit_rows": COMMIT_ROWS}
    done = run(ray_job(head, tmp_path.name, [f"{key}={value}" for key, value in settings.items()]), head)
    assert done.returncode == 0, done.stdout + done.stderr
    assert part_bytes(out) == expected


def test_a_ray_job_with_wrong_settings_names_them_all(head: RayHead, tmp_path: Path) -> None:
    settings = ["encode.sauce=x", "encode.limit=many", "encode.face.align=3", "ray.actors=two", "nonsense"]
    done = run(ray_job(head, tmp_path.name, settings), head)
    assert done.returncode != 0
    for problem in (
        "'nonsense' is not of the form key=value",
        "unknown key 'encode.sauce'",
        "'encode.limit' must be int, got 'many'",
        "'encode.face.align' must be str, got 3",
        "'ray.actors' must be int, got 'two'",
    ):
        assert problem in done.stdout
    job = head.job(tmp_path.name)
    assert job is not None
    assert job["driver_exit_code"] == 2


def test_a_killed_driver_is_started_again_and_no_part_is_written_twice(
    head: RayHead, source: Path, model: Path, tmp_path: Path, expected: dict[str, bytes]
) -> None:
    name, out = tmp_path.name, tmp_path / "out"
    process = subprocess.Popen(
        submit(head, name, encode(source, out, model)),
        env=head.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while len(finished := written(out)) < 3:
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        os.kill(json.loads((out / "_raypipe" / "lease.json").read_text())["process"], signal.SIGKILL)
        output, messages = process.communicate(timeout=JOB_TIMEOUT_S)
    finally:
        process.kill()
    assert process.returncode == 0, messages
    assert f"job {name} was lost: killed by signal 9" in messages
    assert f"job {name}-2 succeeded" in messages
    assert "taking over from a job that died" in output
    assert part_bytes(out) == expected
    assert (out / "_SUCCESS").exists()
    assert {path: time_ns for path, time_ns in written(out).items() if path in finished} == finished
    assert 0 < json.loads((out / "run.json").read_text())["images"] <= IMAGES + 1 - COMMIT_ROWS * (len(finished) - 1)


def encode(source: Path, out: Path, model: Path) -> list[str]:
    return ["encode", str(source), "--out", str(out), "--model", str(model), "--commit-rows", str(COMMIT_ROWS)]


def submit(head: RayHead, name: str, words: list[str]) -> list[str]:
    options = ["--address", head.address, "--submission-id", name]
    return [sys.executable, "-m", "raypipe", "submit", *options, "--", *words]


def ray_job(head: RayHead, name: str, settings: list[str]) -> list[str]:
    options = ["--address", head.address, "--submission-id", name, "--working-dir", "."]
    return ["ray", "job", "submit", *options, "--", "python", "jobs/encode.py", "jobs/configs/encode.yaml", *settings]


def run(command: list[str], head: RayHead) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=REPOSITORY,
        env=head.environment,
        capture_output=True,
        text=True,
        timeout=JOB_TIMEOUT_S,
        check=False,
    )


def written(out: Path) -> dict[Path, int]:
    """The part files, and when each was written."""
    return {path: path.stat().st_mtime_ns for path in out.glob("part-*.parquet")}


def images_counted(head: RayHead) -> Counter[str]:
    """Images by status, summed over all that the head tells Prometheus to read. Some of it may be down, as ever."""
    counts: Counter[str] = Counter()
    targets = {target for group in head.get("/api/prometheus/sd") for target in group["targets"]}
    for target in targets:
        with suppress(OSError), urllib.request.urlopen(f"http://{target}/metrics", timeout=10) as answer:
            families = text_string_to_metric_families(answer.read().decode())
            for sample in (sample for family in families for sample in family.samples):
                if sample.name == "ray_raypipe_encode_images_total":
                    counts[sample.labels["status"]] += int(sample.value)
    return counts

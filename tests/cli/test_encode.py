"""``raypipe encode`` as it is called: exit codes, what goes to standard output, and what is left behind."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from botocore.exceptions import NoCredentialsError

from raypipe import cli, storage
from raypipe.pipeline.encode.lease import Lease
from tests.models import tiny_model
from tests.pictures import fill_folder, picture_bytes


class Raypipe:
    """The command line in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *words: object) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        self._monkeypatch.setattr(sys, "argv", ["raypipe", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        told = self._capsys.readouterr()
        return int(ended.value.code or 0), told.out, told.err


@pytest.fixture
def raypipe(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Raypipe:
    return Raypipe(monkeypatch, capsys)


@pytest.fixture
def encode(tmp_path: Path, model: Path) -> list[object]:
    """A local job on five good images and one of zero bytes."""
    fill_folder(tmp_path / "in", 5)
    (tmp_path / "in" / "empty.jpg").write_bytes(b"")
    return ["encode", tmp_path / "in", "--out", tmp_path / "out", "--model", model, "--local"]


def test_a_job_ends_with_a_summary_and_0(raypipe: Raypipe, encode: list[object], tmp_path: Path) -> None:
    code, out, _ = raypipe(*encode)
    assert code == 0
    assert "6 images (5 ok, 1 decode_empty)" in out.splitlines()[0]
    assert "bottleneck" in out or "starting up" in out
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert (run["state"], run["images"], run["statuses"]) == ("done", 6, {"ok": 5, "decode_empty": 1})


def test_the_result_as_json_is_all_that_is_on_standard_output(raypipe: Raypipe, encode: list[object]) -> None:
    code, out, err = raypipe(*encode, "--json")
    summary = json.loads(out)
    assert code == 0
    assert summary["rows"] == 6
    assert summary["statuses"] == {"ok": 5, "decode_empty": 1}
    assert summary["run"]["state"] == "done"
    assert "6 images in 1 parts" in err


@pytest.mark.parametrize(("allowed", "code"), [("0", 3), ("0.1", 3), ("0.17", 0), ("1", 0)])
def test_more_bad_rows_than_allowed_is_3_and_the_dataset_is_there(
    raypipe: Raypipe, encode: list[object], tmp_path: Path, allowed: str, code: int
) -> None:
    ended, _, err = raypipe(*encode, "--max-rejected", allowed)
    assert ended == code
    assert ("16.67% of the rows are not ok" in err) == (code == 3)
    assert (tmp_path / "out" / "_SUCCESS").exists()


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(
    raypipe: Raypipe, encode: list[object], tmp_path: Path
) -> None:
    code, out, _ = raypipe(*encode, "--dry-run", "--commit-rows", "4")
    assert code == 0
    assert "2 parts of 4 rows" in out
    _, out, _ = raypipe(*encode, "--dry-run", "--json", "--batch-size", 10**9)
    tree = json.loads(out)
    assert (tree["plan"]["rows"], tree["plan"]["columns"]) == (6, {"w_plus": [8, 16]})
    assert tree["job"]["encode"]["batch_size"] == 10**9
    assert not (tmp_path / "out").exists()


def test_a_dry_run_says_what_a_job_would_find_at_the_output(
    raypipe: Raypipe, encode: list[object], tmp_path: Path
) -> None:
    dry = [*encode, "--dry-run", "--commit-rows", "4"]
    assert "the job would begin there" in raypipe(*dry)[1]
    raypipe(*encode, "--commit-rows", "4")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    assert "2 parts with 6 rows are done; nothing is left to do" in raypipe(*dry)[1]
    code, out, _ = raypipe(*encode, "--dry-run", "--limit", "3")
    assert code == 1
    assert "would be refused" in out
    assert "limit: 0 -> 3" in out
    assert raypipe(*encode, "--dry-run", "--limit", "3", "--restart")[0] == 0
    with Lease(str(tmp_path / "out" / "_raypipe" / "lease.json"), print):
        code, out, _ = raypipe(*dry)
        assert (code, "held by a running job" in out) == (1, True)
    assert {path: path.stat().st_mtime_ns for path in before} == before | {
        tmp_path / "out" / "_raypipe": (tmp_path / "out" / "_raypipe").stat().st_mtime_ns  # of this test's own lease
    }
    (tmp_path / "out" / "_SUCCESS").unlink()
    (tmp_path / "out" / "part-000001.parquet").unlink()
    code, out, _ = raypipe(*dry, "--json")
    found = json.loads(out)["plan"]["found"]
    assert (code, found["is_new"], found["parts_done"], found["rows_done"]) == (0, False, 1, 4)


def test_a_dry_run_over_someone_elses_files_says_so(raypipe: Raypipe, encode: list[object], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("precious")
    code, out, _ = raypipe(*encode, "--dry-run")
    assert code == 1
    assert "thesis.tex" in out


def test_retry_does_what_failed_again(raypipe: Raypipe, encode: list[object], tmp_path: Path) -> None:
    raypipe(*encode)
    (tmp_path / "in" / "empty.jpg").write_bytes(picture_bytes(9))
    code, out, _ = raypipe(*encode, "--retry", "decode_*", "--max-rejected", "0", "--json")
    assert code == 0
    assert json.loads(out)["run"]["images"] == 1
    assert pq.read_table(tmp_path / "out" / "part-000000.parquet").column("status").to_pylist() == ["ok"] * 6


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--retry", "ok"], "'ok' matches no status; statuses: fetch_404"),
        (["--retry", "fetch_*", "--restart"], "give one of them"),
        (["--max-rejected", "2"], "a share from 0 to 1, got 2.0"),
        (["--align", "sideways"], "'sideways' is not one of auto, none, center"),
        (["--precision", "half"], "'half' is not one of auto, float32, bfloat16"),
        (["--commit-rows", "-1"], "counts of at least 0"),
        (["--methods", "mind_reading"], "'mind_reading' is not a method; installed:"),
        (["--set", "encode.speed=3"], "unknown key 'encode.speed'; known: encode.source"),
        (["--set", "encode.model=["], "not valid YAML"),
        (["--out", ""], "must not be empty"),
        (["--model", "nowhere"], "no model at 'nowhere': it must be a directory or URI with a model.json"),
        (["--what"], "No such option"),
    ],
)
def test_wrong_usage_is_2_and_says_what_is_allowed(
    raypipe: Raypipe, encode: list[object], tmp_path: Path, words: list[str], message: str
) -> None:
    code, out, err = raypipe(*encode, *words)
    assert (code, out) == (2, "")
    assert message in err
    assert not (tmp_path / "out" / "_raypipe" / "plan.json").exists()


def test_a_source_that_is_not_there_or_empty_is_2(raypipe: Raypipe, encode: list[object], tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("x")
    for source, message in (("nowhere", "nothing at"), ("none", "no files at"), ("text", "by extension: 1 .txt")):
        for more in ([], ["--dry-run"]):
            code, _, err = raypipe("encode", tmp_path / source, *encode[2:], *more)
            assert code == 2
            assert message in err
        code, _, err = raypipe("info", tmp_path / source)
        assert code == 2
        assert message in err


def test_what_the_storage_refuses_is_1_and_one_line(raypipe: Raypipe, encode: list[object], tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    code, _, err = raypipe(*encode)
    assert code == 1
    assert err.splitlines()[-1].startswith("raypipe: NotADirectoryError")


def test_a_bucket_without_credentials_is_1_and_one_line(
    raypipe: Raypipe, encode: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> bool:
        raise NoCredentialsError

    monkeypatch.setattr(storage, "exists", refuse)
    code, _, err = raypipe(*encode)
    assert code == 1
    assert err.splitlines()[-1] == "raypipe: NoCredentialsError: Unable to locate credentials"


def test_an_output_of_another_model_is_1_and_names_the_difference(
    raypipe: Raypipe, encode: list[object], tmp_path: Path
) -> None:
    raypipe(*encode)
    tiny_model(tmp_path / "other", seed=1)
    code, _, err = raypipe(*encode, "--model", tmp_path / "other")
    assert code == 1
    assert "model: tiny-0 -> tiny-1" in err
    code, _, _ = raypipe(*encode, "--model", tmp_path / "other", "--restart")
    assert code == 0


def test_a_restart_that_cannot_begin_deletes_nothing(raypipe: Raypipe, encode: list[object], tmp_path: Path) -> None:
    raypipe(*encode)
    before = {path: path.read_bytes() for path in (tmp_path / "out").glob("*") if path.is_file()}
    (tmp_path / "none").mkdir()
    assert raypipe("encode", tmp_path / "none", *encode[2:], "--restart")[0] == 2
    assert raypipe(*encode, "--model", "nowhere", "--restart")[0] == 2
    assert raypipe(*encode, "--methods", "mind_reading", "--restart")[0] == 2
    assert {path: path.read_bytes() for path in (tmp_path / "out").glob("*") if path.is_file()} == before


def test_a_folder_of_someone_elses_parquet_is_left_as_it_was(
    raypipe: Raypipe, encode: list[object], tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "part-000000.parquet").write_bytes(b"precious")
    for more in ([], ["--restart"]):
        code, _, err = raypipe(*encode, *more)
        assert code == 2
        assert "not an encoded dataset" in err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["part-000000.parquet"]


def test_the_same_folder_may_be_written_in_another_way_to_go_on(
    raypipe: Raypipe, encode: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raypipe(*encode)
    monkeypatch.chdir(tmp_path)
    for source in ("in", "./in/", f"file://{tmp_path}/in", "out/../in"):
        code, out, _ = raypipe("encode", source, *encode[2:], "--json")
        assert code == 0
        assert json.loads(out)["run"]["images"] == 0


def test_the_output_may_lie_in_the_source(raypipe: Raypipe, encode: list[object], tmp_path: Path) -> None:
    encode[3] = tmp_path / "in" / "codes"
    assert raypipe(*encode)[0] == 0
    encode[3] = tmp_path / "in" / "more"
    code, out, _ = raypipe(*encode, "--json")
    assert (code, json.loads(out)["rows"]) == (0, 6)


@pytest.mark.parametrize("content", [b"", b"{}", b"3"])
@pytest.mark.parametrize(
    ("name", "helps"),
    [
        ("_raypipe/plan.json", ["--restart"]),
        ("_raypipe/listing/listing.json", ["--restart"]),
        ("_raypipe/done/part-000000.json", []),
        ("part-000000.parquet", None),
        ("run.json", []),
    ],
)
def test_a_damaged_file_of_the_dataset_is_named_or_made_again(
    raypipe: Raypipe, encode: list[object], tmp_path: Path, name: str, helps: list[str] | None, content: bytes
) -> None:
    raypipe(*encode)
    damaged = tmp_path / "out" / name
    damaged.write_bytes(content)
    if helps != []:
        code, _, err = raypipe(*encode)
        assert code == 1
        assert Path(name).name in err
    if helps is None:
        damaged.unlink()
    code, out, _ = raypipe(*encode, *(helps or []))
    assert code == 0
    assert "6 images (5 ok, 1 decode_empty)" in out
    assert raypipe("info", tmp_path / "out")[0] == 0


def test_info_counts_the_statuses_and_gives_examples(raypipe: Raypipe, encode: list[object], tmp_path: Path) -> None:
    raypipe(*encode)
    code, out, _ = raypipe("info", tmp_path / "out")
    assert code == 0
    assert "6 of 6 rows in 1 parts" in out
    assert "1  decode_empty: zero bytes" in out
    assert "empty.jpg: zero bytes" in out
    _, out, _ = raypipe("info", tmp_path / "out", "--json")
    tree = json.loads(out)
    assert tree["statuses"] == {"ok": 5, "decode_empty": 1}
    assert [row["image_id"] for row in tree["examples"]["decode_empty"]] == ["empty.jpg"]
    assert raypipe("info", tmp_path / "in")[1].startswith(f"{tmp_path / 'in'}: 6 images (folder)")


def test_reconstruct_draws_with_the_model_that_encoded_and_no_other(
    raypipe: Raypipe, encode: list[object], tmp_path: Path, model: Path
) -> None:
    picture = tmp_path / "x.png"
    assert raypipe("reconstruct", tmp_path / "in", "--out", picture)[0] == 2
    raypipe(*encode)
    tiny_model(tmp_path / "other", seed=1)
    code, _, err = raypipe("reconstruct", tmp_path / "out", "--out", picture, "--model", tmp_path / "other")
    assert code == 1
    assert "was encoded by encoder" in err
    assert not picture.exists()
    code, _, _ = raypipe("reconstruct", tmp_path / "out", "--out", picture, "--model", model, "--columns", 3)
    assert code == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_sigterm_ends_in_good_order(tmp_path: Path, model: Path) -> None:
    folder, out = fill_folder(tmp_path / "in", 400), tmp_path / "out"
    command = [sys.executable, "-m", "raypipe", "encode", str(folder), "--out", str(out), "--model", str(model)]
    process = subprocess.Popen([*command, "--local", "--commit-rows", "2"], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (out / "part-000001.parquet").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.terminate()
    assert process.wait() == 143
    assert not (out / "_raypipe" / "lease.json").exists()
    assert json.loads((out / "run.json").read_text())["state"] == "failed"
    assert not (out / "_SUCCESS").exists()

"""``raypipe index`` as it is called: exit codes, what goes to standard output, and what is left behind."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jobs.index import main as job
from tests.cli.test_encode import Raypipe
from tests.pipeline.index.indexing import other_codes
from tests.pipeline.search.small_collection import FACES, SmallCollection, make_collection

CONFIG = Path(__file__).parents[2] / "jobs" / "configs" / "index.yaml"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallCollection:
    return make_collection(tmp_path_factory.mktemp("small"))


@pytest.fixture
def raypipe(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Raypipe:
    return Raypipe(monkeypatch, capsys)


@pytest.fixture
def build(small: SmallCollection, tmp_path: Path) -> list[object]:
    return ["index", "build", small.codes, "--out", tmp_path / "index", "--model", small.model, "--local"]


@pytest.fixture
def index(raypipe: Raypipe, build: list[object], tmp_path: Path) -> Path:
    assert raypipe(*build, "--shards", 2)[0] == 0
    return tmp_path / "index"


def test_a_build_prints_its_plan_and_then_what_it_did(raypipe: Raypipe, build: list[object], tmp_path: Path) -> None:
    code, out, err = raypipe(*build, "--shards", 3)
    assert code == 0
    assert f"{tmp_path / 'index'}: 3 shards; the job would begin" in err
    assert "codes " in err
    assert "bytes a row" in err
    assert out.startswith(f"{tmp_path / 'index'}: version 1, 40 faces in 3 shards, spaces: sparse_directions.w_plus")
    assert "bottleneck" in out.splitlines()[-1]
    run = json.loads((tmp_path / "index" / "run.json").read_text())
    assert (run["state"], run["rows"], run["shards"], run["config"]["shards"]) == ("done", FACES, 3, 3)
    assert run["stage_seconds"].keys() == {"sample", "fit", "read", "vectors", "write", "publish"}


def test_the_result_as_json_is_all_that_is_on_standard_output(raypipe: Raypipe, build: list[object]) -> None:
    code, out, _ = raypipe(*build, "--json", "--recall", "0.9")
    tree = json.loads(out)
    assert (code, tree["rows"], tree["version"], tree["run"]["state"]) == (0, FACES, 1, "done")
    assert tree["run"]["config"]["recall"] == 0.9


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(
    raypipe: Raypipe, build: list[object], tmp_path: Path
) -> None:
    code, out, _ = raypipe(*build, "--dry-run", "--recall", "0.9", "--spaces", "w_plus")
    assert code == 0
    assert "40 faces" in out
    assert "about 90% of the true hits" in out
    _, out, _ = raypipe(*build, "--dry-run", "--json", "--set", "index.axes=4")
    tree = json.loads(out)
    assert (tree["plan"]["rows"], tree["plan"]["spaces"]["sparse_directions.w_plus"]["axes"]) == (FACES, 4)
    assert tree["job"]["index"]["axes"] == 4
    assert not (tmp_path / "index").exists()
    raypipe(*build)
    assert raypipe(*build, "--dry-run")[0] == 0
    code, out, _ = raypipe(*build, "--dry-run", "--shards", "2")
    assert (code, "holds another index already" in out) == (1, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--recall", "most"], "recall 'most' is neither exact nor a number"),
        (["--recall", "1.5"], "recall must be above 0 and at most 1, got 1.5"),
        (["--spaces", "eyes"], "'eyes' is not a space of this model; spaces: sparse_directions.w_plus"),
        (["--precision", "half"], "'half' is not one of float32, float16"),
        (["--memory-per-row", "8"], "8 bytes a row are too few: this space needs at least"),
        (["--factory", "IVF2,Nonsense", "--shards", "1"], "Nonsense"),
        (["--shards", "-1"], "at least 0"),
        (["--out", ""], "must not be empty"),
        (["--model", "nowhere"], "no model at 'nowhere'"),
        (["--set", "index.speed=3"], "unknown key 'index.speed'"),
        (["--what"], "No such option"),
    ],
)
def test_wrong_usage_is_2_and_says_what_is_allowed(
    raypipe: Raypipe, build: list[object], tmp_path: Path, words: list[str], message: str
) -> None:
    code, out, err = raypipe(*build, *words)
    assert (code, out) == (2, "")
    assert message in err
    assert not list((tmp_path / "index").glob("manifest-*"))


def test_codes_that_are_none_are_2(raypipe: Raypipe, build: list[object], tmp_path: Path) -> None:
    code, _, err = raypipe("index", "build", tmp_path, *build[3:])
    assert code == 2
    assert "no finished output of raypipe encode" in err


@pytest.mark.parametrize("words", [["info"], ["verify"], ["compact"], ["delete", "face"]])
def test_where_there_is_no_index_every_command_says_so(raypipe: Raypipe, tmp_path: Path, words: list[str]) -> None:
    code, out, err = raypipe("index", words[0], tmp_path, *words[1:])
    assert (code, out) == (2, "")
    assert f"no index at {str(tmp_path)!r}" in err
    assert list(tmp_path.iterdir()) == []


def test_append_delete_and_compact_tell_what_they_did(
    raypipe: Raypipe, small: SmallCollection, index: Path, tmp_path: Path
) -> None:
    more = other_codes(small, tmp_path / "more")
    code, out, _ = raypipe("index", "append", index, more, "--model", small.model, "--local")
    assert (code, f"{index}: version 2, 80 faces in 3 shards" in out) == (0, True)
    code, out, _ = raypipe("index", "delete", index, "other-face-03", "nobody")
    assert (code, out) == (0, f"{index}: version 3: 1 face deleted; 1 id not there; 79 faces left\n")
    (tmp_path / "ids").write_text("other-face-04\n\nother-face-05\n")
    code, out, _ = raypipe("index", "delete", index, "--ids", tmp_path / "ids", "--json")
    assert (code, json.loads(out)["deleted"]) == (0, 2)
    code, out, _ = raypipe("index", "compact", index, "--codes")
    assert code == 0
    assert f"{more}: 3 faces wiped from the codes" in out
    assert "77 faces in 2 shards (before: 3), 3 deleted ones gone" in out
    code, out, _ = raypipe("index", "info", index)
    assert (code, f"codes {more}" in out, "unchanged" in out) == (0, True, True)
    assert raypipe("index", "verify", index)[0] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give ids, or a file of them"),
        (["a", "--ids", "b"], "give ids, or a file of them"),
        (["--ids", "nowhere"], "no file of ids at 'nowhere'"),
    ],
)
def test_a_delete_of_nothing_is_2(raypipe: Raypipe, index: Path, words: list[str], message: str) -> None:
    code, _, err = raypipe("index", "delete", index, *words)
    assert (code, message in err) == (2, True)


def test_verify_is_1_with_a_line_for_each_problem(raypipe: Raypipe, index: Path) -> None:
    code, out, _ = raypipe("index", "verify", index, "--queries", 2)
    assert (code, "version 1 is whole, 40 faces in 2 shards" in out) == (0, True)
    for path in sorted(index.rglob("rest.bin"))[:2]:
        content = bytearray(path.read_bytes())
        if content:
            content[7] ^= 1
            path.write_bytes(content)
    code, out, _ = raypipe("index", "verify", index)
    assert code == 1
    assert "rest.bin is damaged" in out
    code, out, _ = raypipe("index", "verify", index, "--json")
    assert (code, len(json.loads(out)["problems"]) > 0) == (1, True)


def test_info_says_what_an_index_is_in_short_and_in_full(raypipe: Raypipe, index: Path, small: SmallCollection) -> None:
    _, short, _ = raypipe("info", index)
    assert short.startswith(f"{index}: index, version 1: 40 faces in 2 shards")
    _, full, _ = raypipe("index", "info", index)
    assert full.startswith(short.strip())
    tree = json.loads(raypipe("index", "info", index, "--json")[1])
    assert (tree["rows"], tree["deleted"], tree["versions"], tree["recall"]) == (FACES, 0, [1], 1.0)
    shards = [path for path in index.glob("shards/*/**/*") if path.is_file()]
    assert tree["bytes"] == sum(path.stat().st_size for path in (*shards, *index.glob("reduction-*")))
    assert [source["uri"] for source in tree["sources"]] == [str(small.codes)]
    assert json.loads(raypipe("info", index, "--json")[1])["kind"] == "index"


def test_a_job_from_yaml_is_the_same(
    small: SmallCollection, index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"index.codes=[{small.codes}]", f"index.out={tmp_path / 'job'}", f"index.model={small.model}"]
    assert job([str(CONFIG), *words, "index.shards=2", "local=true"]) == 0
    assert "version 1, 40 faces" in capsys.readouterr().out
    assert (tmp_path / "job" / "manifest-000001.json").read_bytes() == (index / "manifest-000001.json").read_bytes()
    assert job([]) == 2
    assert job([str(CONFIG), "index.what=1"]) == 2


def test_sigterm_ends_in_good_order_and_kill_9_is_gone_on_from(small: SmallCollection, tmp_path: Path) -> None:
    out = tmp_path / "index"
    command = [sys.executable, "-m", "raypipe", "index", "build", str(small.codes), "--out", str(out)]
    command += ["--model", str(small.model), "--local", "--shards", "40"]
    for end, code in (("terminate", 143), ("kill", -9)):
        before = len(list(out.glob(".staging-plan-*/shard-*")))
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while len(list(out.glob(".staging-plan-*/shard-*"))) < before + 3 and time.monotonic() < deadline:
            time.sleep(0.005)
        getattr(process, end)()
        assert process.wait() == code
        assert (out / "_index" / "lease.json").exists() == (end == "kill")
        assert not list(out.glob("manifest-*"))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "an earlier run had finished" in done.stdout
    assert "40 faces in 40 shards" in done.stdout


def test_help_lists_the_commands(raypipe: Raypipe) -> None:
    code, out, _ = raypipe("index", "--help")
    assert code == 0
    for word in ("build", "append", "delete", "compact", "verify", "info"):
        assert word in out

"""Building and appending: what is in the index, what is left out, and what a crash costs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from raypipe.errors import ModelMismatch, OutputInUse, RaypipeError, WrongUsage
from raypipe.faces import code_array
from raypipe.pipeline.encode.lease import Lease
from raypipe.pipeline.index.codes import open_codes
from raypipe.pipeline.index.config import IndexConfig
from raypipe.pipeline.index.job import lease_uri
from raypipe.pipeline.index.local import RunLocally
from raypipe.pipeline.index.plan import build_job, cut_rows, plan_job
from raypipe.pipeline.index.sampling import sample_picks
from raypipe.pipeline.index.stage import Cut, ShardReport, Work
from raypipe.pipeline.search.query import FromIndex, SearchQuery
from raypipe.pipeline.search.searcher import open_searcher
from raypipe.retrieval.build import IndexSettings
from raypipe.retrieval.index import open_index
from raypipe.retrieval.manifest import SpaceEntry, read_manifest, versions
from raypipe.retrieval.verify import verify
from raypipe.weights import open_bundle, save_bundle
from tests.killing import Killed
from tests.pipeline.index.indexing import append, build, change_part, copied_codes, found, other_codes, shard_names
from tests.pipeline.search.small_collection import ATTRIBUTES, FACES, W_PLUS, SmallCollection


@pytest.mark.parametrize("shards", [0, 1, 3, 7])
def test_answers_are_those_of_the_plain_computation(small: SmallCollection, tmp_path: Path, shards: int) -> None:
    build(small, tmp_path / "index", shards=shards)
    distances = small.distances(W_PLUS, small.vectors[W_PLUS][3])
    hits = found(small, tmp_path / "index", row=3)
    assert [id_ for id_, _ in hits] == small.nearest(distances)
    assert [distance for _, distance in hits] == pytest.approx(sorted(distances), rel=1e-4, abs=1e-6)
    assert len(shard_names(tmp_path / "index")) == max(1, shards)
    assert verify(str(tmp_path / "index")).problems == []


def test_labels_are_the_datasets_own_and_every_row_knows_its_place(small: SmallCollection, tmp_path: Path) -> None:
    build(small, tmp_path / "index", shards=3)
    rows = [row for shard in open_index(str(tmp_path / "index")).shards() for row in shard.labels.to_pylist()]
    assert rows == small.rows


def test_a_built_index_answers_raypipe_search(small: SmallCollection, tmp_path: Path) -> None:
    build(small, tmp_path / "index", shards=2)
    query = SearchQuery(face=FromIndex(small.id(4)), k=5)
    ours, reference = (open_searcher(str(index), str(small.model)) for index in (tmp_path / "index", small.index))
    assert [face.id for face in ours.search(query).hits] == [face.id for face in reference.search(query).hits]


def test_only_the_spaces_that_were_asked_for(small: SmallCollection, tmp_path: Path) -> None:
    build(small, tmp_path / "index", spaces=("attributes",))
    assert list(read_manifest(str(tmp_path / "index")).spaces) == [ATTRIBUTES]
    with pytest.raises(WrongUsage, match=r"'eyes' is not a space of this model; spaces: .*w_plus"):
        build(small, tmp_path / "no", spaces=("eyes",))


def test_codes_without_the_methods_columns_are_completed(small: SmallCollection, tmp_path: Path) -> None:
    codes = copied_codes(small, tmp_path / "codes")
    plan = json.loads((codes / "_raypipe" / "plan.json").read_text())
    del plan["shapes"]["attribute_projections"]
    plan["made_from"]["methods"] = []
    (codes / "_raypipe" / "plan.json").write_text(json.dumps(plan))
    for number in range(5):
        change_part(codes, number, lambda table: table.drop_columns(["attribute_projections"]))
    build(small, tmp_path / "index", codes)
    assert found(small, tmp_path / "index") == found(small, small.index)


def test_rows_that_are_not_ok_and_codes_that_are_not_finite_are_left_out_and_counted(
    small: SmallCollection, tmp_path: Path
) -> None:
    codes = copied_codes(small, tmp_path / "codes")

    def spoil(table: pa.Table) -> pa.Table:
        place = table.schema.get_field_index("w_plus")
        values = table.column(place).combine_chunks().flatten().to_numpy().reshape(len(table), -1).copy()
        values[1, 5] = np.nan
        values[2, 0] = np.inf
        is_ok = np.arange(len(table)) != 3
        status = pa.array(["ok" if ok else "no_face" for ok in is_ok])
        table = table.set_column(place, table.schema.field(place), code_array(values, is_ok))
        return table.set_column(table.schema.get_field_index("status"), "status", status)

    change_part(codes, 2, spoil)
    summary = build(small, tmp_path / "index", codes, shards=2)
    assert summary.run["skipped"] == {"code not finite": {"rows": 2, "ids": [small.id(17), small.id(18)]}}
    assert summary.rejected == {"no_face": 1}
    assert {id_ for id_, _ in found(small, tmp_path / "index")} == {
        small.id(row) for row in range(FACES) if row not in (17, 18, 19)
    }
    assert f"left out, code not finite: 2 ({small.id(17)}, {small.id(18)})" in summary.in_words()
    assert "left out, as their codes say: 1 no_face" in summary.in_words()


def test_several_datasets_are_one_index(small: SmallCollection, tmp_path: Path) -> None:
    more = other_codes(small, tmp_path / "more")
    build(small, tmp_path / "index", small.codes, more, shards=4)
    manifest = read_manifest(str(tmp_path / "index"))
    assert manifest.rows == 2 * FACES
    assert set(manifest.sources.values()) == {str(small.codes), str(more)}
    assert [entry.rows for entry in manifest.shards] == [20] * 4
    assert {id_ for id_, distance in found(small, tmp_path / "index", 7) if distance < 1e-6} == {
        small.id(7),
        f"other-{small.id(7)}",
    }


def test_an_id_in_two_datasets_is_refused(small: SmallCollection, tmp_path: Path) -> None:
    same = other_codes(small, tmp_path / "same", prefix="")
    change_part(same, 0, lambda table: table.set_column(4, "height", pa.array([1] * len(table), pa.int32())))
    with pytest.raises(WrongUsage, match="of the ids are in the index already"):
        build(small, tmp_path / "index", small.codes, same)
    assert versions(str(tmp_path / "index")) == []


def test_appended_faces_are_found_and_appending_again_does_nothing(small: SmallCollection, tmp_path: Path) -> None:
    more = other_codes(small, tmp_path / "more")
    build(small, tmp_path / "index")
    assert append(small, tmp_path / "index", more, shards=2).run["rows"] == FACES
    assert read_manifest(str(tmp_path / "index")).rows == 2 * FACES
    before = versions(str(tmp_path / "index"))
    again = append(small, tmp_path / "index", more, small.codes)
    assert (again.run["rows"], again.run["bottleneck"]) == (0, "nothing was left to do")
    assert versions(str(tmp_path / "index")) == before
    assert verify(str(tmp_path / "index")).problems == []
    with pytest.raises(WrongUsage, match="no index at"):
        append(small, tmp_path / "nothing", more)


def test_codes_or_index_of_another_model_are_refused(small: SmallCollection, tmp_path: Path) -> None:
    bundle = open_bundle(str(small.model))
    parts = {name: bundle.read(name) for name in bundle.parts}
    parts["encoder"].tensors["latent_avg"].add_(1.0)
    save_bundle(str(tmp_path / "model"), "other", parts, {})
    with pytest.raises(ModelMismatch, match=r"was encoded by encoder .*; model 'other' has"):
        build_job(IndexConfig(codes=(str(small.codes),), out=str(tmp_path / "x"), model=str(tmp_path / "model")))
    parts = {name: bundle.read(name) for name in bundle.parts}
    parts["sparse_directions"].tensors["biases"].add_(1.0)
    save_bundle(str(tmp_path / "moved"), "moved", parts, {})
    with pytest.raises(ModelMismatch, match=r"was encoded by sparse_directions"):
        build_job(IndexConfig(codes=(str(small.codes),), out=str(tmp_path / "x"), model=str(tmp_path / "moved")))


def test_unfinished_and_damaged_codes_are_refused(small: SmallCollection, tmp_path: Path) -> None:
    codes = copied_codes(small, tmp_path / "codes")
    part = codes / "part-000001.parquet"
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    with pytest.raises(RaypipeError, match=r"part-000001\.parquet is another file than manifest\.json names"):
        build(small, tmp_path / "index", codes)
    assert versions(str(tmp_path / "index")) == []
    assert json.loads((tmp_path / "index" / "run.json").read_text())["state"] == "failed"
    (codes / "_SUCCESS").unlink()
    with pytest.raises(WrongUsage, match="no finished output of raypipe encode"):
        build(small, tmp_path / "index", codes)


def test_the_same_build_again_does_nothing_and_another_is_refused(small: SmallCollection, tmp_path: Path) -> None:
    build(small, tmp_path / "index", shards=2)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "index").rglob("*.*")}
    assert build(small, tmp_path / "index", shards=2).run["bottleneck"] == "nothing was left to do"
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "index").rglob("*.*")} == before
    with pytest.raises(OutputInUse, match="holds another index already"):
        build(small, tmp_path / "index", shards=3)


def test_someone_elses_files_and_codes_are_left_alone(small: SmallCollection, tmp_path: Path) -> None:
    (tmp_path / "mine" / "shards").mkdir(parents=True)
    (tmp_path / "mine" / "shards" / "thesis.tex").write_text("precious")
    for folder in (tmp_path / "mine", small.codes):
        with pytest.raises(WrongUsage, match="is not empty and no index"):
            build(small, folder)
    assert (tmp_path / "mine" / "shards" / "thesis.tex").read_text() == "precious"


def test_of_two_builds_the_second_is_told(small: SmallCollection, tmp_path: Path) -> None:
    with Lease(lease_uri(str(tmp_path / "index")), print), pytest.raises(OutputInUse, match="held by a running job"):
        build(small, tmp_path / "index")


class KilledAfter(RunLocally):
    """Dies when so many shards are finished."""

    shards = 2

    def stage(
        self, work: Work, spaces: Mapping[str, SpaceEntry], numbers: Sequence[int], moved: Callable[[int], None]
    ) -> Iterator[ShardReport]:
        for count, report in enumerate(super().stage(work, spaces, numbers, moved), 1):
            yield report
            if count == self.shards:
                raise Killed


class Counting(RunLocally):
    """Says which shards it was asked for."""

    asked: tuple[int, ...] = ()

    def stage(self, work: Work, spaces: Mapping[str, SpaceEntry], numbers: Sequence[int], moved: Any) -> Any:
        object.__setattr__(self, "asked", tuple(numbers))
        return super().stage(work, spaces, numbers, moved)

    def sample(self, *_: object) -> Any:
        raise AssertionError("axes and lists are fitted once")


def test_finished_shards_are_not_made_again(small: SmallCollection, tmp_path: Path) -> None:
    build(small, tmp_path / "whole", shards=5)
    with pytest.raises(Killed):
        build(small, tmp_path / "index", shards=5, runner=KilledAfter())
    assert versions(str(tmp_path / "index")) == []
    (tmp_path / "index" / ".staging-0a1b2c").mkdir()  # what a killed writer leaves
    counting = Counting()
    summary = build(small, tmp_path / "index", shards=5, runner=counting)
    assert counting.asked == (2, 3, 4)
    assert (summary.run["shards"], summary.run["shards_of_an_earlier_run"]) == (3, 2)
    assert shard_names(tmp_path / "index") == shard_names(tmp_path / "whole")
    names = {path.name for path in (tmp_path / "index").iterdir()}
    assert not [name for name in names if name.startswith(".staging")]


def test_a_shard_whose_files_are_gone_is_made_again(small: SmallCollection, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        build(small, tmp_path / "index", shards=5, runner=KilledAfter())
    first = next((tmp_path / "index" / "shards").iterdir())
    (first / "labels.arrow").unlink()
    counting = Counting()
    build(small, tmp_path / "index", shards=5, runner=counting)
    assert len(counting.asked) == 4
    assert verify(str(tmp_path / "index")).problems == []


def test_other_settings_do_not_go_on_with_what_is_staged(small: SmallCollection, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        build(small, tmp_path / "index", shards=5, runner=KilledAfter())
    build(small, tmp_path / "index", shards=2, precision="float16")
    assert len(list((tmp_path / "index" / "shards").rglob("labels.arrow"))) == 2
    assert verify(str(tmp_path / "index")).problems == []


def test_on_an_object_store(small: SmallCollection, tmp_path: Path, bucket: str, s3_server: Any) -> None:
    for path in small.codes.rglob("*"):
        if path.is_file():
            s3_server.client().upload_file(str(path), bucket, f"codes/{path.relative_to(small.codes)}")
    build(small, f"s3://{bucket}/index", f"s3://{bucket}/codes", shards=3)
    build(small, tmp_path / "index", shards=3)
    theirs, ours = read_manifest(f"s3://{bucket}/index"), read_manifest(str(tmp_path / "index"))
    assert theirs.shards == ours.shards
    assert found(small, f"s3://{bucket}/index") == found(small, tmp_path / "index")


@pytest.mark.parametrize(
    ("rows", "shards", "cuts"),
    [
        ([10], 0, [(0, 0, 10)]),
        ([10], 3, [(0, 0, 3), (0, 3, 6), (0, 6, 10)]),
        ([2], 5, [(0, 0, 1), (0, 1, 2)]),
        ([30, 10], 4, [(0, 0, 10), (0, 10, 20), (0, 20, 30), (1, 0, 10)]),
        ([1_000_001], 0, [(0, 0, 500_000), (0, 500_000, 1_000_001)]),
    ],
)
def test_rows_are_cut_evenly(rows: list[int], shards: int, cuts: list[tuple[int, int, int]]) -> None:
    assert cut_rows(rows, shards) == tuple(Cut(*cut) for cut in cuts)


def test_the_sample_is_of_rows_that_are_there_and_no_more_than_needed(small: SmallCollection) -> None:
    codes, spaces = open_codes(str(small.codes)), open_index(str(small.index)).manifest.spaces
    forms = {name: entry.space for name, entry in spaces.items()}
    picks = sample_picks([codes, codes], IndexSettings(), forms)
    assert sum(len(pick.places) for pick in picks) == 2 * FACES
    assert all(0 <= place < codes.parts[pick.part].rows for pick in picks for place in pick.places)


def test_the_plan_tells_what_the_build_then_does(small: SmallCollection, tmp_path: Path) -> None:
    job = build_job(IndexConfig(codes=(str(small.codes),), out=str(tmp_path / "i"), model=str(small.model), shards=2))
    plan = plan_job(job, workers="one", worker_count=1)
    assert not (tmp_path / "i").exists()
    summary = build(small, tmp_path / "i", shards=2)
    assert (plan.rows, plan.shards) == (summary.manifest.rows, len(summary.manifest.shards))
    assert plan.labels == ["Male", "age", "hair", "identity"]
    assert plan.refusal == ""
    vectors = sum(f.bytes for s in summary.manifest.shards for f in s.files if f.name.endswith(("rest.bin", "s.bin")))
    assert 0.5 < plan.disk_bytes / summary.run["bytes"] < 2
    assert vectors < plan.disk_bytes

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from raypipe import storage
from raypipe.cli import main
from raypipe.errors import WrongUsage
from raypipe.pipeline.encode.sources import celeba
from raypipe.pipeline.synth import SynthConfig, make_faces, plan_faces
from raypipe.synthfaces import FACTOR_NAMES, attributes, render, sample_factors

FACES = sample_factors(10, seed=3)
LABELS = attributes(FACES)
DRAWN = render(FACES, 32)


def _make(out: Path | str, **settings: object) -> dict[str, object]:
    config = SynthConfig(out=str(out), count=10, size=32, seed=3, **settings)  # type: ignore[arg-type]
    return make_faces(config, lambda done, total: None)


def test_folder_pictures_and_table_are_the_drawn_faces(tmp_path: Path) -> None:
    _make(tmp_path / "faces", format="png", masks=True)
    table = pq.read_table(tmp_path / "faces" / "faces.parquet").to_pydict()
    assert table["image_id"] == [f"{number:06d}" for number in range(10)]
    for row, file in enumerate(table["file"]):
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "faces" / file)), DRAWN.images[row])
        mask = Image.open(tmp_path / "faces" / "masks" / f"{table['image_id'][row]}.png")
        np.testing.assert_array_equal(np.asarray(mask), DRAWN.parts[row])
    assert table["identity"] == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]
    for name in FACTOR_NAMES:
        np.testing.assert_array_equal(np.float32(table[f"factor_{name}"]), FACES[name])
    for name, values in LABELS.items():
        assert table[name] == values.astype(int).tolist()
    np.testing.assert_array_equal(np.float32(table["landmarks"]).reshape(10, 5, 2), DRAWN.landmarks)


def test_jpegs_are_close_to_the_drawn_faces(tmp_path: Path) -> None:
    _make(tmp_path)
    for row in range(10):
        read = np.asarray(Image.open(tmp_path / "images" / f"{row:06d}.jpg")).astype(int)
        assert np.abs(read - DRAWN.images[row]).mean() < 4


def test_celeba_layout_is_read_by_the_celeba_reader(tmp_path: Path) -> None:
    _make(tmp_path, layout="celeba")
    tables = celeba.read_tables(str(tmp_path))
    assert tables.attribute_names == tuple(LABELS)
    names = [f"{number:06d}.jpg" for number in range(1, 11)]
    assert sorted(path.name for path in (tmp_path / "img_align_celeba").iterdir()) == names
    for row, name in enumerate(names):
        assert tables.attributes[name] == tuple(int(values[row]) for values in LABELS.values())
        assert tables.identities[name] == FACES.identity[row] + 1
        assert np.abs(np.array(tables.landmarks[name]) - DRAWN.landmarks[row].reshape(-1)).max() <= 0.5


def test_celeba_tables_look_like_celebas(tmp_path: Path) -> None:
    _make(tmp_path, layout="celeba")
    lines = (tmp_path / "list_attr_celeba.txt").read_text().splitlines()
    assert lines[0] == "10"
    assert lines[1].split() == list(LABELS)
    assert lines[2] == "000001.jpg " + " ".join(" 1" if values[0] else "-1" for values in LABELS.values())
    assert (tmp_path / "identity_CelebA.txt").read_text().splitlines()[4] == "000005.jpg 2"
    header = (tmp_path / "list_landmarks_align_celeba.txt").read_text().splitlines()[1]
    assert header.startswith("lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x")


def test_shards_hold_every_face_once_and_are_bounded(tmp_path: Path) -> None:
    config = SynthConfig(out=str(tmp_path), count=60, size=128, seed=3, layout="webdataset", masks=True, shard_mib=1)
    make_faces(config, lambda done, total: None)
    shards = sorted(tmp_path.glob("faces-*.tar"))
    assert len(shards) > 1
    faces = sample_factors(60, seed=3)
    drawn, labels, seen = render(faces, 128), attributes(faces), 0
    for shard in shards:
        assert shard.stat().st_size < 1.3 * 2**20
        with tarfile.open(shard) as archive:
            contents = {name: archive.extractfile(name).read() for name in archive.getnames()}  # type: ignore[union-attr]
        for name in sorted(name for name in contents if name.endswith(".json")):
            truth, stem = json.loads(contents[name]), name.removesuffix(".json")
            assert int(stem) == seen
            assert truth["Smiling"] == labels["Smiling"][seen]
            assert truth["factor_smile"] == pytest.approx(float(faces["smile"][seen]))
            assert Image.open(io.BytesIO(contents[f"{stem}.jpg"])).size == (128, 128)
            np.testing.assert_array_equal(np.load(io.BytesIO(contents[f"{stem}.mask.npy"])), drawn.parts[seen])
            seen += 1
    assert seen == 60


@pytest.mark.parametrize("layout", ["folder", "celeba", "webdataset"])
def test_any_filesystem_and_the_same_bytes_again(layout: str) -> None:
    outs = [f"memory://synth-{layout}-{run}" for run in range(2)]
    for out in outs:
        _make(out, layout=layout)
    one, two = (_files(out) for out in outs)
    assert one.pop("run.json") != b""
    two.pop("run.json")
    assert len(one) == {"folder": 11, "celeba": 13, "webdataset": 1}[layout]
    assert one == two


def _files(uri: str) -> dict[str, bytes]:
    fs, path = storage.filesystem(uri)
    return {name.removeprefix(path).lstrip("/"): fs.cat_file(name) for name in fs.find(path)}


def test_parts_of_a_set_made_apart_are_the_set(tmp_path: Path) -> None:
    _make(tmp_path / "whole", format="png")
    for start, count in ((0, 4), (4, 6)):
        config = SynthConfig(out=str(tmp_path / str(start)), count=count, size=32, seed=3, start=start, format="png")
        make_faces(config, lambda done, total: None)
    for picture in (tmp_path / "whole" / "images").iterdir():
        part = "0" if int(picture.stem) < 4 else "4"
        assert picture.read_bytes() == (tmp_path / part / "images" / picture.name).read_bytes()


def test_the_run_is_on_record_and_progress_reaches_the_end(tmp_path: Path) -> None:
    progress: list[tuple[int, int]] = []
    config = SynthConfig(out=str(tmp_path), count=40, size=256, start=2)
    record = make_faces(config, lambda done, total: progress.append((done, total)))
    assert json.loads((tmp_path / "run.json").read_text()) == record
    assert (record["faces"], record["people"], record["state"]) == (40, 11, "done")
    assert record["config"]["seed"] == 0
    assert progress == [(16, 40), (32, 40), (40, 40)]


def test_an_output_with_something_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(WrongUsage, match="is not empty"):
        _make(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_plan_writes_nothing(tmp_path: Path) -> None:
    plan = plan_faces(SynthConfig(out=str(tmp_path / "faces"), count=1000, size=32))
    assert not (tmp_path / "faces").exists()
    assert (plan.faces, plan.people) == (1000, 250)
    assert 500_000 < plan.bytes < 5_000_000


def test_all_wrong_settings_are_named_at_once() -> None:
    with pytest.raises(WrongUsage) as caught:
        SynthConfig(out="x", count=0, size=16, layout="tfrecord", format="gif")
    for words in ("count must be at least 1, got 0", "between 32 and 1024", "folder, celeba, webdataset", "jpg, png"):
        assert words in str(caught.value)


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "faces"

    def synth(*more: str) -> tuple[int | str | None, str]:
        words = ["raypipe", "synth", "--count", "3", "--size", "32", "--out", str(out), *more]
        monkeypatch.setattr("sys.argv", words)
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, capsys.readouterr().out

    assert json.loads(synth("--dry-run", "--json")[1])["plan"]["faces"] == 3
    assert not out.exists()
    code, told = synth()
    assert code == 0
    assert f"{out}: 3 faces of 1 people" in told
    assert synth()[0] == 2, "nothing is written over"

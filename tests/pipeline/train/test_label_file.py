"""Labels that lie in a file beside the data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raypipe import storage
from raypipe.errors import ModelMismatch, WrongUsage
from raypipe.methods.sparse_directions.config import SparseDirectionsConfig
from raypipe.pipeline.train.config import DataConfig, TrainConfig, TrainJob
from raypipe.pipeline.train.job import from_the_root
from raypipe.pipeline.train.label_file import read_label_file
from raypipe.pipeline.train.readers import Reader, list_data, open_reader
from tests.pipeline.encode.test_job import config_for, encode_locally
from tests.pipeline.train.made_up import celeba_folder
from tests.pipeline.train.test_job import train

COUNT, BROKEN = 40, 4
IDS = [f"{number + 1:06d}.png" for number in range(COUNT)]
HAT = np.arange(COUNT) % 3 == 0
COAT = np.arange(COUNT) % 2 == 0


@pytest.fixture(scope="module")
def codes(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Path:
    """Of 40 images with CelebA's labels, one of which cannot be read."""
    folder = tmp_path_factory.mktemp("labels")
    images = celeba_folder(folder / "in", COUNT)
    (images / "img_align_celeba" / IDS[BROKEN]).write_bytes(b"nothing")
    encode_locally(config_for(images, folder / "codes", model, commit_rows=16))
    return folder / "codes"


def table(ids: list[str] = IDS, **columns: object) -> pa.Table:
    return pa.table({"image_id": ids} | (columns or {"hat": HAT[: len(ids)], "coat": COAT[: len(ids)]}))


def parquet(path: Path, content: pa.Table) -> str:
    pq.write_table(content, path)
    return str(path)


def opened(uri: Path, labels: str, tmp_path: Path, *attributes: str) -> Reader:
    config = DataConfig(uri=str(uri), labels=labels, attributes=attributes, size=32)
    is_codes = (uri / "manifest.json").exists()
    list_data(config, str(tmp_path / "state"))
    return open_reader(config, ("w_plus" if is_codes else "image", "labels"), str(tmp_path / "state"))


def as_parquet(path: Path) -> str:
    return parquet(path, table().take(np.random.default_rng(0).permutation(COUNT)))


def as_csv(path: Path) -> str:
    """Backwards, with the mark that spreadsheets begin with, and lines as on Windows."""
    rows = [f"{int(HAT[place])},{IDS[place]},{bool(COAT[place])}" for place in reversed(range(COUNT))]
    path.write_bytes("\r\n".join(["\ufeffhat,image_id,coat", *rows, ""]).encode())
    return str(path)


def as_celeba(path: Path) -> str:
    rows = [f"{name} {2 * hat - 1} {2 * coat - 1}" for name, hat, coat in zip(IDS, HAT * 1, COAT * 1, strict=True)]
    path.write_text("\n".join([str(COUNT), "hat coat", *rows]))
    return str(path)


@pytest.mark.parametrize("write", [as_parquet, as_csv, as_celeba])
def test_a_file_takes_the_place_of_the_labels_of_the_codes(
    codes: Path, tmp_path: Path, write: Callable[[Path], str]
) -> None:
    reader = opened(codes, write(tmp_path / "labels"), tmp_path)
    assert reader.facts.attributes == ("hat", "coat")
    is_ok = np.arange(COUNT) != BROKEN
    assert reader.labels is not None
    assert (reader.labels == np.stack([HAT, COAT], 1)[is_ok]).all()


def test_the_file_may_lie_in_a_bucket(codes: Path, tmp_path: Path, bucket: str) -> None:
    uri = f"s3://{bucket}/labels"
    storage.write_bytes(uri, Path(as_csv(tmp_path / "labels")).read_bytes())
    assert opened(codes, uri, tmp_path).facts.attributes == ("hat", "coat")
    with pytest.raises(WrongUsage, match=rf"there is no file at 's3://{bucket}/other'"):
        opened(codes, f"s3://{bucket}/other", tmp_path)


def test_images_have_such_labels_too_and_keep_their_persons(tmp_path: Path) -> None:
    images = celeba_folder(tmp_path / "in", COUNT)
    config = DataConfig(uri=str(images), labels=as_csv(tmp_path / "labels"), size=32)
    list_data(config, str(tmp_path / "state"))
    reader = open_reader(config, ("image", "labels", "identity"), str(tmp_path / "state"))
    rows = np.array([7, 6])
    assert (reader.read(rows, np.arange(COUNT))["labels"] == np.stack([HAT, COAT], 1)[rows]).all()
    assert reader.facts.identities == COUNT // 4
    reader.close()


def test_only_the_columns_that_are_asked_for_are_looked_at(codes: Path, tmp_path: Path) -> None:
    file = parquet(tmp_path / "labels", table(hat=HAT, age=range(COUNT), name=IDS, coat=COAT))
    assert opened(codes, file, tmp_path, "coat", "hat").facts.attributes == ("coat", "hat")
    with pytest.raises(WrongUsage, match=r"age \(values 0, 1, .*\), name \(of type string\) cannot.*usable: hat, coat"):
        opened(codes, file, tmp_path)
    with pytest.raises(WrongUsage, match="has no label shoe; it has: hat, age, name, coat"):
        opened(codes, file, tmp_path, "shoe")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (table([*IDS[:-1], "z"]), rf"no labels for 1 \({IDS[-1]}\) of {COUNT - 1} rows of the data"),
        (table(IDS[:30]), rf"no labels for 10 \({', '.join(IDS[30:35])}, \.\.\.\) of {COUNT - 1} rows"),
        (
            table([*IDS, *"abcdefg"], hat=[*HAT, *[0] * 7]),
            r"labels for 7 \(a, b, c, d, e, \.\.\.\) ids that are not in the data",
        ),
        (table([*IDS, IDS[3]], hat=[*HAT, 1]), rf"several rows for 1 \({IDS[3]}\) ids"),
        (table([*IDS[:-1], None]), "1 of 40 rows have no image_id"),
        (table(hat=HAT * 2), r"hat \(values 0, 2\) cannot be trained"),
        (table(hat=HAT * 0, coat=COAT), r"hat \(0 in all rows\) cannot be trained"),
        (table(hat=[None, *HAT[1:]]), r"hat \(1 rows without a value\) cannot be trained"),
        (table(identity=range(COUNT), hat=HAT), r"identity \(persons\) cannot be trained"),
        (table().drop_columns(["image_id"]), "has no 'image_id' column; its columns: hat, coat"),
        (table().select(["image_id"]), "no labels to train with"),
        (table().rename_columns(["image_id", "hat", "hat"]), "several columns of one name: hat"),
        (table([[name] for name in IDS]), "'image_id' must be text, not list"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(codes: Path, tmp_path: Path, content: pa.Table, message: str) -> None:
    with pytest.raises(WrongUsage, match=message):
        opened(codes, parquet(tmp_path / "labels", content), tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "neither Parquet, nor CelebA's attribute table, nor CSV"),
        (b"image_id,hat\n1,0\n2\n", "neither Parquet.*Expected 2 columns, got 1"),
        (b"image_id,hat\n\xe9,0\n", "neither Parquet"),
        (b"\x00\xff\x89PNG", "neither Parquet|has no 'image_id'"),
        (b"PAR1 and then nothing", "is a damaged Parquet file"),
        (b"2\nhat\n1.jpg 1\n", "labels: the first line says 2 rows, there are 1"),
        (b"1\nhat\n1.jpg 0\n", "labels: 1.jpg has values other than -1 and 1"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "labels").write_bytes(content)
    with pytest.raises(WrongUsage, match=message):
        read_label_file(str(tmp_path / "labels"))


def test_ids_are_text_even_where_they_look_like_numbers(tmp_path: Path) -> None:
    (tmp_path / "labels").write_text("image_id,hat\n007,1\nNA,0\n")
    assert read_label_file(str(tmp_path / "labels")).ids.to_pylist() == ["007", "NA"]


def test_a_file_that_is_not_there_or_not_looked_at_is_refused(codes: Path, tmp_path: Path) -> None:
    for nothing in ("nowhere", "."):
        with pytest.raises(WrongUsage, match="labels: there is no file at"):
            opened(codes, str(tmp_path / nothing), tmp_path)
    config = DataConfig(uri=str(codes), labels="labels.csv")
    with pytest.raises(WrongUsage, match=r"'labels\.csv' are not used: nothing is trained on labels"):
        open_reader(config, ("w_plus",), "")
    with pytest.raises(WrongUsage, match=r"'labels\.csv' are not used: synthfaces knows its own"):
        open_reader(DataConfig(uri="synthfaces", labels="labels.csv"), ("image", "labels"), "")


def test_a_run_does_not_go_on_with_other_labels(codes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    as_csv(tmp_path / "labels.csv")
    job = TrainJob(
        config=TrainConfig(recipe="sparse_directions", out="out", data=DataConfig(uri=str(codes), labels="labels.csv")),
        recipe=SparseDirectionsConfig(steps=3),
    )
    # Workers on Ray have another current directory.
    assert from_the_root(job).config.data.labels == str(tmp_path / "labels.csv")
    assert train(job).is_done
    assert train(job).is_done  # finds that nothing is left to do
    parquet(tmp_path / "labels.csv", table(hat=HAT, coat=~COAT))
    with pytest.raises(ModelMismatch, match="labels_sha256"):
        train(job)
    assert train(job, restart=True).is_done

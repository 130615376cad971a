from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from raypipe import faces
from raypipe.errors import RaypipeError, WrongUsage
from raypipe.pipeline.encode.dataset import Dataset
from raypipe.pipeline.train.batches import in_pieces
from raypipe.pipeline.train.config import DataConfig
from raypipe.pipeline.train.readers import Reader, as_columns, list_data, open_reader, split_rows
from raypipe.synthfaces import attributes, render, sample_factors
from tests.pipeline.encode.test_job import config_for, encode_locally
from tests.pipeline.train.made_up import celeba_folder
from tests.pipeline.train.toy import ToyReader

IMAGES = ("image", "labels", "identity")
ALL = np.arange(200_000)


def reader_of(uri: str | Path, tmp_path: Path, columns: tuple[str, ...] = IMAGES, **settings: Any) -> Reader:
    config = DataConfig(**{"uri": str(uri), "size": 32} | settings)
    list_data(config, str(tmp_path / "state"))
    return open_reader(config, columns, str(tmp_path / "state"))


def test_images_are_those_of_the_folder_with_their_labels(tmp_path: Path) -> None:
    folder = celeba_folder(tmp_path / "in", 12)
    reader = reader_of(folder, tmp_path)
    factors = sample_factors(12, 0)
    arrays = reader.read(np.array([7, 2]), ALL)
    expected = render(factors, 32).images[[7, 2]]
    assert np.abs(arrays["image"].astype(int) - expected).mean() == 0  # PNG loses nothing
    truth = attributes(factors)
    for column, name in enumerate(reader.facts.attributes):
        assert arrays["labels"][:, column].tolist() == [int(truth[name][7]), int(truth[name][2])]
    assert (arrays["identity"] == factors.identity[[7, 2]]).all()
    reader.close()


def test_an_image_that_cannot_be_read_is_replaced_by_the_next_and_counted(tmp_path: Path) -> None:
    folder = celeba_folder(tmp_path / "in", 6)
    broken = sorted((folder / "img_align_celeba").iterdir())
    broken[3].write_bytes(b"nothing")
    broken[5].write_bytes(b"")
    reader = reader_of(folder, tmp_path)
    arrays, truth = reader.read(np.array([1, 3, 5]), ALL[:6]), reader.read(np.array([1, 4, 0]), ALL[:6])
    for name in IMAGES:
        assert (arrays[name] == truth[name]).all()
    assert reader.rejected.keys() == {3, 5}
    assert reader.rejected[5].startswith(f"{broken[5].name}: decode_empty: ")
    reader.close()


def test_a_row_is_replaced_by_one_of_its_own_split(tmp_path: Path) -> None:
    folder = celeba_folder(tmp_path / "in", 8)
    broken = sorted((folder / "img_align_celeba").iterdir())
    for row in (2, 6):
        broken[row].write_bytes(b"nothing")
    reader = reader_of(folder, tmp_path)
    even = np.array([0, 2, 4, 6])
    asked, truth = reader.read(np.array([2, 6]), even), reader.read(np.array([4, 0]), even)
    for name in IMAGES:
        assert (asked[name] == truth[name]).all()
    reader.close()


def test_a_folder_without_pictures_is_listed_again(tmp_path: Path) -> None:
    folder = celeba_folder(tmp_path / "full", 4)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").touch()
    with pytest.raises(WrongUsage, match="no images"):
        reader_of(tmp_path / "in", tmp_path, ("image",))
    for path in (folder / "img_align_celeba").iterdir():
        path.rename(tmp_path / "in" / path.name)
    assert reader_of(tmp_path / "in", tmp_path, ("image",)).facts.rows == 4


def test_pieces_are_all_rows_in_their_order_and_fit_in_memory() -> None:
    reader = ToyReader()
    rows = np.array([3, 4, 9, 17, 30])
    whole = reader.read(rows, rows)
    for size, pieces in ((0, 1), (1_000, 5)):  # 3 MB a picture of 1,000 pixels: 11 of them are 32 MiB
        reader.facts = replace(reader.facts, size=size)
        several = list(in_pieces(reader, np.repeat(rows, 11)))
        assert len(several) == pieces
        codes = np.concatenate([piece["w_plus"] for piece in several])
        assert (codes == np.repeat(whole["w_plus"], 11, 0)).all()


def test_the_rows_stay_those_of_the_first_listing(tmp_path: Path) -> None:
    folder = celeba_folder(tmp_path / "in", 4)
    before = reader_of(folder, tmp_path).made_from()
    (folder / "img_align_celeba" / "000000.png").write_bytes(b"new, and first by name")
    assert reader_of(folder, tmp_path).made_from() == before


def test_codes_are_those_of_the_dataset_without_rows_that_are_not_ok(tmp_path: Path, model: Path) -> None:
    folder = celeba_folder(tmp_path / "in", 30)
    (folder / "img_align_celeba" / "000004.png").write_bytes(b"nothing")
    encode_locally(config_for(folder, tmp_path / "codes", model, commit_rows=8))
    reader = reader_of(tmp_path / "codes", tmp_path, ("w_plus", "labels", "identity"))
    table = pq.read_table(sorted((tmp_path / "codes").glob("part-*.parquet")))
    table = table.filter(np.array(table.column("status").to_pylist()) == faces.OK)
    assert reader.facts.rows == table.num_rows == 29
    assert reader.facts.code_shape == (8, 16)
    assert sum(reader.groups) == 29
    rows = np.array([28, 0, 5, 5, 17])
    arrays = reader.read(rows, ALL)
    stored = np.array(table.column("w_plus").to_pylist(), np.float16).reshape(-1, 8, 16)
    assert (arrays["w_plus"] == stored[rows]).all()
    name = reader.facts.attributes[0]
    assert arrays["labels"][:, 0].tolist() == np.array(table.column(name).to_pylist())[rows].tolist()
    assert reader.encoder_sha256 is not None


def test_made_up_faces_depend_on_their_number_alone(tmp_path: Path) -> None:
    reader = reader_of("synthfaces", tmp_path)
    several, one = reader.read(np.array([5, 90_000, 7]), ALL), reader.read(np.array([90_000]), ALL)
    for name in IMAGES:
        assert (several[name][1] == one[name][0]).all()
    assert several["identity"][0] == several["identity"][2] != several["identity"][1]


def test_persons_are_either_trained_with_or_held_out(tmp_path: Path) -> None:
    reader = reader_of(celeba_folder(tmp_path / "in", 60), tmp_path)
    split = split_rows(reader, held_out=8)
    assert reader.identities is not None
    assert not set(reader.identities[split.training]) & set(reader.identities[split.held_out])
    assert sorted([*split.training, *split.held_out]) == list(range(60))
    assert 8 <= len(split.held_out) <= 12


def test_columns_are_what_a_recipe_takes() -> None:
    arrays = {
        "image": np.array([[[[0, 127, 255]]]], np.uint8),
        "labels": np.array([[1, 0]], np.uint8),
        "identity": np.array([3]),
        "w_plus": np.ones((1, 2, 4), np.float16),
    }
    columns = as_columns(arrays, torch.device("cpu"))
    torch.testing.assert_close(columns["image"].flatten(), torch.tensor([-1.0, -1 / 255, 1.0]))
    assert [columns[name].dtype for name in arrays] == [torch.float32, torch.float32, torch.int64, torch.float32]


def test_wrong_data_are_refused(tmp_path: Path, model: Path) -> None:
    folder = celeba_folder(tmp_path / "in", 10)
    with pytest.raises(WrongUsage, match="the recipe needs w_plus: encode it first"):
        reader_of(folder, tmp_path, ("w_plus",))
    with pytest.raises(WrongUsage, match="nothing at"):
        reader_of(tmp_path / "nowhere", tmp_path / "other")
    encode_locally(config_for(folder, tmp_path / "codes", model))
    with pytest.raises(WrongUsage, match="is an encoded dataset, it has no image"):
        reader_of(tmp_path / "codes", tmp_path, ("image",))
    (tmp_path / "codes" / "_SUCCESS").unlink()
    assert not Dataset(str(tmp_path / "codes")).is_complete()
    with pytest.raises(WrongUsage, match="is not finished"):
        reader_of(tmp_path / "codes", tmp_path, ("w_plus",))
    with pytest.raises(WrongUsage, match="synthfaces has no w_plus"):
        reader_of("synthfaces", tmp_path, ("w_plus",))
    damaged = next((tmp_path / "codes").glob("part-*.parquet"))
    (tmp_path / "codes" / "_SUCCESS").touch()
    damaged.write_bytes(damaged.read_bytes()[:100])
    with pytest.raises(RaypipeError, match=rf"{damaged.name}.* is damaged"):
        reader_of(tmp_path / "codes", tmp_path, ("w_plus",))
    few = reader_of(celeba_folder(tmp_path / "few", 3), tmp_path / "few-state")
    with pytest.raises(WrongUsage, match="3 rows are too few"):
        split_rows(few, held_out=1)
    with pytest.raises(WrongUsage, match="8 rows of 1 persons cannot be divided"):
        split_rows(_OfOnePerson(), held_out=1)


class _OfOnePerson(ToyReader):
    def __init__(self) -> None:
        super().__init__()
        self.groups = (8,)
        self.identities = np.zeros(8, np.int64)

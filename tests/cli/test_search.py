from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from raypipe.cli import app
from raypipe.errors import UnknownAttribute, WrongUsage
from tests.pictures import picture_bytes
from tests.pipeline.search.small_collection import FACES, W_PLUS, SmallCollection, make_collection


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> SmallCollection:
    return make_collection(tmp_path_factory.mktemp("collection"))


class Asking:
    """``raypipe search`` in this process."""

    def __init__(self, collection: SmallCollection, capsys: pytest.CaptureFixture[str]) -> None:
        self._collection, self._capsys = collection, capsys

    def __call__(self, *arguments: str) -> str:
        """What is printed on standard output."""
        index, model = str(self._collection.index), str(self._collection.model)
        app(["search", index, "--model", model, *arguments], standalone_mode=False)
        return self._capsys.readouterr().out

    def json(self, *arguments: str) -> dict[str, Any]:
        return dict(json.loads(self(*arguments, "--json")))


@pytest.fixture
def search(collection: SmallCollection, capsys: pytest.CaptureFixture[str]) -> Asking:
    return Asking(collection, capsys)


def test_all_that_can_be_asked_in_one_command(search: Asking, tmp_path: Path) -> None:
    (tmp_path / "other*2.png").write_bytes(picture_bytes(9, "PNG"))
    told = search.json(
        *("--id", "face-07", "--space", "w_plus", "--adjust", "Smiling=0.9", "--move", "Eyeglasses=-0.25"),
        *("--prefer", "Black_Hair=10", "--prefer", "Smiling=3", "--weight", "2", "-k", "4", "--page", "2"),
        *("--like", "attributes=id:face-05*0.5", "--like", f"w_plus={tmp_path}/other*2.png"),
        *("--where", "Male=1 or age<30", "--recall", "exact", "--exclude-identity", "--most-per-identity", "1"),
        *("--show", "hair,identity", "--explain"),
    )
    assert [aim["weight"] for aim in told["query"]["aims"]] == [2.0, 0.5, 1.0]
    assert [aim["face"] for aim in told["query"]["aims"]] == ["face-07", "face-05", "other*2.png"]
    assert told["query"]["adjust"] == {"Smiling": 0.9}
    assert told["query"]["move"] == {"Eyeglasses": -0.25}
    assert told["query"]["prefer"] == {"Black_Hair": 10.0, "Smiling": 3.0}
    assert told["query"]["wanted"]["Smiling"] == pytest.approx(0.9)
    assert [hit["rank"] for hit in told["hits"]] == [5, 6, 7, 8]
    assert [list(hit["labels"]) for hit in told["hits"]] == [["hair", "identity"]] * 4
    assert told["exact"]
    assert len(told["shards"]) == 2


def test_hits_are_those_of_the_plain_computation(collection: SmallCollection, search: Asking) -> None:
    told = search.json("--id", "face-07", "-k", "5")
    distances = collection.distances(W_PLUS, collection.vectors[W_PLUS][7])
    assert [hit["id"] for hit in told["hits"]] == collection.nearest(distances)[1:6]
    own = search.json("--id", "face-07", "-k", "5", "--include-id")
    assert [hit["id"] for hit in own["hits"]] == collection.nearest(distances)[:5]


def test_the_numbers_of_a_row_sum_to_its_distance(collection: SmallCollection, search: Asking) -> None:
    text = search("--id", "face-07", "--prefer", "Smiling=7", "--like", "attributes=id:face-05*3", "-k", "3")
    headline, header, wanted, *rows, closing, more = text.splitlines()
    assert (
        headline == f"{W_PLUS} like face-07 + 3 x sparse_directions.attributes like face-05; Smiling preferred 7 times"
    )
    assert header.split("  ")[-1] == "+ like face-05 in attributes"
    assert " ".join(header.split()).startswith("id distance = Smiling + other attributes + rest + like")
    assert wanted.split() == ["looked", "for", f"({(collection.vectors[W_PLUS][7, 0] + 3) / 8:.2f})"]
    assert len(rows) == 3
    for row in rows:
        numbers = [float(cell.replace(",", "")) for cell in row.split()[2:] if not cell.startswith("(")]
        assert sum(numbers[1:]) == pytest.approx(numbers[0], rel=2e-3)
    assert closing.startswith("exact, plan: ")
    assert more == "more: --page 2"


def test_a_wide_table_is_not_cut(search: Asking) -> None:
    labels = ["uri", "Male", "age", "hair", "identity"]
    text = search("--id", "face-07", "-k", "1", "--show", "all", "--prefer", "Smiling=2", "--explain")
    header, row = (line for line in text.splitlines()[1:4] if "looked for" not in line)
    assert header.split("+ rest")[1].split()[:5] == labels
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    assert "faces.parquet" in row


def test_explain_says_where_distances_come_from_and_what_was_done(search: Asking) -> None:
    text = search("--id", "face-07", "-k", "2", "--explain")
    assert "most of it" in text
    assert "rest " in text
    assert "all compared" in text


def test_a_picture_that_is_in_no_collection(search: Asking, tmp_path: Path) -> None:
    (tmp_path / "new.png").write_bytes(picture_bytes(7, "PNG"))
    told = search.json("--image", str(tmp_path / "new.png"), "-k", "3", "--align", "none")
    assert told["query"]["aims"][0]["face"] == "new.png"
    assert len(told["hits"]) == 3


def test_a_file_of_ids_is_answered_line_by_line(search: Asking, tmp_path: Path) -> None:
    ids = ["face-31", "face-02", "face-31"]
    (tmp_path / "ids.txt").write_text("\n".join(ids) + "\n\n")
    lines = search("--queries", str(tmp_path / "ids.txt"), "-k", "3").splitlines()
    told = [json.loads(line) for line in lines]
    assert [line["query"]["aims"][0]["face"] for line in told] == ids
    for line, name in zip(told, ids, strict=True):
        assert line["hits"] == search.json("--id", name, "-k", "3")["hits"]


def test_the_sheet_has_the_question_and_every_hit(search: Asking, tmp_path: Path) -> None:
    search("--id", "face-07", "--adjust", "Smiling=1", "-k", "5", "--out", str(tmp_path / "sheet.png"))
    sheet = np.asarray(Image.open(io.BytesIO((tmp_path / "sheet.png").read_bytes())).convert("RGB"))
    assert sheet.shape[1] > 5 * 176
    shown = np.asarray(Image.open(io.BytesIO(picture_bytes(7, "PNG"))).convert("RGB"), np.float64)
    tile = sheet[24 + 22 * 2 + 14 :][:176, 24 : 24 + 176]
    # The face is the middle square of a 48 x 40 picture.
    assert tile.mean((0, 1)) == pytest.approx(shown[:, 4:44].mean((0, 1)), abs=4)


def test_nothing_matches(search: Asking, tmp_path: Path) -> None:
    arguments = ("--id", "face-07", "--where", "age>1000")
    assert "no face matches" in search(*arguments, "--out", str(tmp_path / "sheet.png"))
    assert search.json(*arguments)["hits"] == []
    assert (tmp_path / "sheet.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ((), WrongUsage, "a search needs a face"),
        (("--id", "a", "--image", "b"), WrongUsage, "only one of them"),
        (("--id", "face-07", "--out", "sheet.jpg"), WrongUsage, "must end in .png"),
        (("--image", "nowhere.png"), WrongUsage, "no file at 'nowhere.png'"),
        (("--image", __file__), WrongUsage, "test_search.py': decode_not_an_image"),
        (("--id", "face-07", "--adjust", "Smiling"), WrongUsage, "--adjust 'Smiling' must be ATTRIBUTE=NUMBER"),
        (("--id", "face-07", "--adjust", "Smiling=much"), WrongUsage, "--adjust 'Smiling=much' must be"),
        (("--id", "face-07", "--prefer", "Smiling=1", "--prefer", "Smiling=2"), WrongUsage, "each attribute only once"),
        (
            ("--id", "face-07", "--adjust", "Smiling=2"),
            WrongUsage,
            "adjustment 2.0 of 'Smiling' must be a number from 0",
        ),
        (("--id", "face-07", "--adjust", "smile=1"), UnknownAttribute, r"'smile' \(did you mean Smiling\?\)"),
        (("--id", "face-07", "--like", "attributes"), WrongUsage, "--like 'attributes' is not of the form"),
        (("--id", "face-07", "--like", "attributes=id:face-05*0"), WrongUsage, "weight 0.0 of 'attributes' must be"),
        (("--id", "face-07", "--like", "eyes=id:face-05"), WrongUsage, "'eyes' is not a space of the index"),
        (("--id", "face-07", "--method", "nothing"), WrongUsage, "method 'nothing' cannot be searched"),
        (("--id", "face-07", "--where", "Male=="), WrongUsage, "expected a value, got '='"),
        (("--id", "face-07", "--recall", "most"), WrongUsage, "--recall 'most' must be 'exact' or a number"),
        (
            ("--id", "face-07", "--show", "hat"),
            WrongUsage,
            "no label column 'hat'; there are: uri, Male",
        ),
        (("--id", "face-07", "--page", "3"), WrongUsage, "page 3 is beyond the end: 39 hits are 2 pages of 20"),
        (("--queries", "nowhere.txt"), WrongUsage, "no file at 'nowhere.txt'"),
        (("--queries", __file__, "--explain"), WrongUsage, "--out and --explain are for one question"),
    ],
)
def test_what_is_wrong_is_said(search: Asking, arguments: tuple[str, ...], error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        search(*arguments)


def test_no_index_and_no_model(search: Asking, tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="no index at"):
        app(["search", str(tmp_path), "--id", "a"], standalone_mode=False)
    with pytest.raises(WrongUsage, match="no model at"):
        search("--id", "a", "--model", str(tmp_path))


def test_every_face_is_found_on_some_page(collection: SmallCollection, search: Asking) -> None:
    pages = [search.json("--id", "face-00", "-k", "13", "--page", str(page)) for page in (1, 2, 3)]
    found = [hit["id"] for page in pages for hit in page["hits"]]
    assert sorted(found) == [collection.id(row) for row in range(1, FACES)]
    assert [page["more"] for page in pages] == [True, True, False]

"""Other people's directions: read, written, and refused where they are not what they claim."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from raypipe.attributes import Edit
from raypipe.errors import BadWeights, UnknownAttribute, WrongUsage
from raypipe.methods.sparse_directions.directions import directions_part, read_directions
from raypipe.methods.sparse_directions.foreign import export_npy, export_pt, import_directions
from raypipe.methods.sparse_directions.method import SparseDirections
from raypipe.methods.sparse_directions.orthogonal import nearest_orthonormal
from tests.shared_files import data

SHAPE = (3, 5)
CODES = torch.randn(20, *SHAPE, generator=torch.Generator().manual_seed(0))


def npy(array: Any, *, allow_pickle: bool = False) -> bytes:
    sink = io.BytesIO()
    np.save(sink, np.asarray(array), allow_pickle=allow_pickle)
    return sink.getvalue()


def pt(value: Any) -> bytes:
    sink = io.BytesIO()
    torch.save(value, sink)
    return sink.getvalue()


ROW = np.arange(1.0, 6.0)
ALL = np.arange(1.0, 16.0).reshape(SHAPE)


@pytest.mark.parametrize("write", [npy, lambda array: pt(torch.from_numpy(array))])
@pytest.mark.parametrize(
    ("array", "full"),
    [
        (ROW, np.tile(ROW, (3, 1))),
        (ROW[None], np.tile(ROW, (3, 1))),
        (ALL, ALL),
        (ALL[None], ALL),
        (ALL.reshape(1, 15), ALL),
    ],
)
def test_an_edit_of_1_adds_the_direction_of_the_file(write: Any, array: np.ndarray, full: np.ndarray) -> None:
    directions = read_directions(directions_part(import_directions({"age": write(array)}, CODES)))
    method = SparseDirections(directions, lambda codes: codes)
    moved = method.edit({"w_plus": CODES}, [Edit("age", 1.0)])["w_plus"] - CODES
    torch.testing.assert_close(moved, torch.from_numpy(full).float().expand(20, -1, -1), rtol=0, atol=1e-5)


@pytest.mark.parametrize("write", [export_npy, export_pt])
def test_what_is_written_is_read_again(write: Any) -> None:
    files = {"age": npy(ALL), "smile": npy(ROW), "pose": pt(torch.randn(1, *SHAPE))}
    directions = import_directions(files, CODES)
    again = import_directions({name: write(directions, name) for name in files}, CODES)
    for name in ("vectors", "biases", "lowest", "highest", "units"):
        torch.testing.assert_close(getattr(again, name), getattr(directions, name), rtol=1e-5, atol=1e-5)
    with pytest.raises(UnknownAttribute, match="'hair' is not one of age, smile, pose"):
        write(directions, "hair")


def test_ranges_are_those_of_the_given_codes() -> None:
    directions = import_directions({"age": npy(ALL)}, CODES)
    projections = CODES.flatten(1) @ torch.from_numpy(ALL).float().flatten() / float(np.linalg.norm(ALL))
    assert directions.lowest.item() == pytest.approx(projections.min().item(), abs=1e-5)
    assert directions.highest.item() == pytest.approx(projections.max().item(), abs=1e-5)
    assert directions.biases.item() == pytest.approx(-projections.mean().item(), abs=1e-5)


def test_real_directions_of_both_projects_are_read() -> None:
    folder = data("directions")
    files = {
        name: (folder / path).read_bytes()
        for name, path in {
            "eyeglasses": "interfacegan/stylegan_ffhq_eyeglasses_w_boundary.npy",
            "age": "e4e/interfacegan_directions/age.pt",
            "pose": "e4e/interfacegan_directions/pose.pt",
            "glasses": "seeprettyface_stylegan2_ffhq/glasses.npy",
        }.items()
    }
    codes = torch.randn(4, 18, 512)
    directions = import_directions(files, codes)
    given = np.load(io.BytesIO(files["glasses"]), allow_pickle=False)
    assert directions.units[3].item() == pytest.approx(np.linalg.norm(given), rel=1e-5)
    assert directions.units[0].item() == pytest.approx(18**0.5, rel=1e-5)  # a unit vector for each of 18 rows
    # These are nearly orthogonal already, so the nearest orthogonal set is near them.
    assert (
        directions.vectors[3] @ torch.from_numpy(given).float().flatten() / float(np.linalg.norm(given))
    ).item() > 0.97
    original = torch.stack([torch.from_numpy(given).flatten()])
    torch.testing.assert_close(
        import_directions({"glasses": files["glasses"]}, codes).vectors,
        nearest_orthonormal(original).float(),
        rtol=0,
        atol=1e-6,
    )


class Danger:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path("danger").touch, ()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "neither a .npy nor a .pt file"),
        (pickle.dumps(ALL), "neither a .npy nor a .pt file"),
        (npy(ALL)[:-9], "damaged"),
        (npy(ALL).replace(b"(3, 5)", b"(3, x)"), "damaged"),
        (npy(np.array([Danger()], dtype=object), allow_pickle=True), "objects in it"),
        (npy(np.array(["a"])), "not of floating-point numbers"),
        (pt({"age": torch.ones(5)}), "holds dict, not a tensor"),
        (pt(torch.ones(5, dtype=torch.int64)), "not a tensor of numbers"),
        (npy(np.ones(4)), r"a direction of \[4\] does not fit codes of \[3, 5\]"),
        (npy(np.ones((2, 5))), r"a direction of \[2, 5\]"),
        (npy(np.zeros(5)), "zero or not finite"),
        (npy(np.array([1, 2, 3, 4, np.nan])), "zero or not finite"),
    ],
)
def test_a_bad_file_is_named(content: bytes, told: str) -> None:
    with pytest.raises(BadWeights, match=f"^age: .*{told}"):
        import_directions({"age": content}, CODES)


def test_nothing_in_a_file_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for content in (pt(Danger()), npy(np.array([Danger()], dtype=object), allow_pickle=True)):
        with pytest.raises(BadWeights):
            import_directions({"age": content}, CODES)
    assert not list(tmp_path.iterdir())


def test_too_little_is_told() -> None:
    with pytest.raises(WrongUsage, match=r"got 0 file\(s\) and 20 code\(s\)"):
        import_directions({}, CODES)
    with pytest.raises(WrongUsage, match="linearly dependent"):
        import_directions({"age": npy(ROW), "again": npy(2 * ROW)}, CODES)

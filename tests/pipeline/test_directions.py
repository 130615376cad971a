from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from raypipe.attributes import Edit
from raypipe.backbones.stylegan2 import Generator, GeneratorConfig, generator_part
from raypipe.cli import app
from raypipe.errors import BadWeights, WrongUsage
from raypipe.pipeline.directions import export_directions, import_directions
from raypipe.pipeline.loading import load_method
from raypipe.weights import open_bundle, save_bundle
from tests.shared_files import data

LAYERS, WIDTH = 8, 512


@pytest.fixture(scope="module")
def wide_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small generator with codes as wide as those of the public networks."""
    torch.manual_seed(0)
    config = GeneratorConfig(size=32, style_dim=WIDTH, z_dim=WIDTH, mapping_layers=2, channels=(8, 8, 8, 8))
    folder = tmp_path_factory.mktemp("wide") / "model"
    save_bundle(str(folder), "wide", {"generator": generator_part(Generator(config))}, {})
    return folder


def test_a_file_of_interfacegan_becomes_an_edit_by_its_vector(wide_model: Path, tmp_path: Path) -> None:
    file = data("directions/interfacegan/stylegan_ffhq_smile_w_boundary.npy")
    import_directions({"smile": str(file)}, str(wide_model), str(tmp_path / "out"))
    method = load_method("sparse_directions", open_bundle(str(tmp_path / "out")), "cpu")
    codes = torch.randn(2, LAYERS, WIDTH, generator=torch.Generator().manual_seed(1))
    moved = method.edit({"w_plus": codes}, [Edit("smile", 2.0)])["w_plus"] - codes
    expected = 2.0 * torch.from_numpy(np.load(file)).float().expand(2, LAYERS, WIDTH)
    torch.testing.assert_close(moved, expected, rtol=1e-4, atol=1e-5)


def test_several_files_become_orthogonal_and_come_out_again(wide_model: Path, tmp_path: Path) -> None:
    files = {
        "smile": str(data("directions/interfacegan/stylegan_ffhq_smile_w_boundary.npy")),
        "age": str(data("directions/e4e/interfacegan_directions/age.pt")),
    }
    import_directions(files, str(wide_model), str(tmp_path / "out"))
    written = export_directions(str(tmp_path / "out"), str(tmp_path / "files"), "npy")
    assert [Path(file).name for file in written] == ["smile.npy", "age.npy"]
    smile, age = (np.load(file, allow_pickle=False) for file in written)
    assert smile.shape == age.shape == (1, LAYERS, WIDTH)
    assert abs((smile * age).sum()) < 1e-4 * np.linalg.norm(smile) * np.linalg.norm(age)
    given = np.broadcast_to(np.load(files["smile"]), (LAYERS, WIDTH)).ravel()
    assert smile.ravel() @ given > 0.95 * np.linalg.norm(smile) * np.linalg.norm(given)


def test_wrong_files_are_named(wide_model: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "text.npy").write_text("no array")
    with pytest.raises(BadWeights, match=r"smile: neither a \.npy nor a \.pt file"):
        import_directions({"smile": str(tmp_path / "text.npy")}, str(wide_model), str(tmp_path / "out"))
    with pytest.raises(WrongUsage, match="no file at"):
        import_directions({"smile": str(tmp_path / "nowhere.npy")}, str(wide_model), str(tmp_path / "out"))
    np.save(tmp_path / "narrow.npy", np.ones((1, 7), np.float32))
    with pytest.raises(BadWeights, match=r"smile: a direction of \[1, 7\] does not fit codes of \[8, 512\]"):
        import_directions({"smile": str(tmp_path / "narrow.npy")}, str(wide_model), str(tmp_path / "out"))
    with pytest.raises(BadWeights, match="has no 'sparse_directions' part"):
        export_directions(str(model), str(tmp_path), "npy")
    with pytest.raises(WrongUsage, match="'hat' is not of the form attribute=file"):
        app(
            ["weights", "import-directions", "hat", "--model", str(wide_model), "--out", str(tmp_path)],
            standalone_mode=False,
        )

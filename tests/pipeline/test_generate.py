"""What ``raypipe generate`` draws is exactly what the generator gives for the codes, in every way of asking."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from raypipe.backbones.stylegan2 import Generator, GeneratorConfig, generator_part
from raypipe.errors import BadWeights, WrongUsage
from raypipe.faces import to_pixels
from raypipe.pipeline.generate import GenerateConfig, generate, parse_seeds, z_of_seeds
from raypipe.pipeline.grid import GAP
from raypipe.weights import save_bundle
from tests.backbones.stylegan2_oracle import GENERATOR_FILE, case, rosinality_generator

Z_DIM, STYLE_DIM, ROWS = 6, 8, 4


def write_model(folder: Path, **changes: Any) -> Generator:
    torch.manual_seed(0)
    generator = Generator(
        GeneratorConfig(size=8, style_dim=STYLE_DIM, z_dim=Z_DIM, mapping_layers=2, channels=(8, 6), **changes)
    )
    for block in generator.synthesis.blocks:
        for conv in block.convs():
            torch.nn.init.constant_(conv.noise_strength, 0.5)
    torch.nn.init.normal_(generator.w_avg)
    save_bundle(str(folder), "tiny", {"generator": generator_part(generator)}, {})
    return generator.eval().requires_grad_(False)


def drawn(folder: Path, **settings: Any) -> np.ndarray[Any, Any]:
    """The pictures of the model in ``folder``, as a ``.npy`` file has them."""
    out = folder / "pictures.npy"
    generate(GenerateConfig(model=str(folder), out=str(out), **settings), lambda done, total: None)
    return np.load(out, allow_pickle=False)


def saved(folder: Path, codes: torch.Tensor | np.ndarray[Any, Any]) -> str:
    np.save(folder / "codes.npy", np.asarray(codes))
    return str(folder / "codes.npy")


def test_seeds_are_the_public_conventions(tmp_path: Path) -> None:
    generator = write_model(tmp_path)
    z = torch.from_numpy(np.stack([np.random.RandomState(seed).randn(Z_DIM) for seed in (3, 4, 9)])).float()
    assert torch.equal(z_of_seeds([3, 4, 9], Z_DIM), z)
    images = drawn(tmp_path, seeds="3-4,9")
    assert images.dtype == np.float32
    np.testing.assert_allclose(images, generator(z).numpy(), atol=1e-6)


@pytest.mark.parametrize("noise", ["const", "none"])
def test_latents_in_every_space(tmp_path: Path, noise: Any) -> None:
    generator = write_model(tmp_path)
    z = torch.randn(3, Z_DIM)
    w = generator.mapping(z)
    w_plus = torch.randn(3, ROWS, STYLE_DIM)
    of_z = generator(z, noise=noise).numpy()
    np.testing.assert_allclose(drawn(tmp_path, latents=saved(tmp_path, z), noise=noise), of_z, atol=1e-6)
    np.testing.assert_allclose(drawn(tmp_path, latents=saved(tmp_path, w), space="w", noise=noise), of_z, atol=1e-6)
    of_w_plus = generator.synthesis(w_plus, noise).numpy()
    double = w_plus.double()
    np.testing.assert_allclose(drawn(tmp_path, latents=saved(tmp_path, double), noise=noise), of_w_plus, atol=1e-6)


def test_truncation(tmp_path: Path) -> None:
    generator = write_model(tmp_path)
    expected = generator(z_of_seeds([5], Z_DIM), psi=0.4, cutoff=2).numpy()
    np.testing.assert_allclose(drawn(tmp_path, seeds="5", truncation=0.4, truncation_cutoff=2), expected, atol=1e-6)
    mean = generator.synthesis(generator.broadcast(generator.w_avg[None])).numpy()
    np.testing.assert_allclose(drawn(tmp_path, seeds="5", truncation=0.0), mean, atol=1e-6)


def test_random_noise_belongs_to_the_seed(tmp_path: Path) -> None:
    write_model(tmp_path)
    alone = drawn(tmp_path, seeds="7", noise="random")
    np.testing.assert_allclose(drawn(tmp_path, seeds="6-7", noise="random")[1:], alone, atol=1e-6)
    assert not np.allclose(alone, drawn(tmp_path, seeds="7", noise="const"))


def test_classes(tmp_path: Path) -> None:
    generator = write_model(tmp_path, label_dim=3)
    expected = generator(z_of_seeds([1], Z_DIM), torch.tensor([[0.0, 0.0, 1.0]])).numpy()
    np.testing.assert_allclose(drawn(tmp_path, seeds="1", label=2), expected, atol=1e-6)
    with pytest.raises(WrongUsage, match="a class from 0 to 2, got none"):
        drawn(tmp_path, seeds="1")
    with pytest.raises(WrongUsage, match="a class from 0 to 2, got 3"):
        drawn(tmp_path, seeds="1", label=3)


def test_the_public_implementations_pictures(tmp_path: Path) -> None:
    stored = case(GENERATOR_FILE)
    save_bundle(str(tmp_path), "public", {"generator": generator_part(rosinality_generator())}, {})
    images = drawn(tmp_path, latents=saved(tmp_path, stored["w_plus"]))
    np.testing.assert_allclose(images, stored["image_wplus"].numpy(), atol=3e-5)


@pytest.mark.parametrize(("columns", "across", "down"), [(0, 3, 2), (2, 2, 3), (9, 5, 1)])
def test_a_grid_has_every_picture_in_its_place(tmp_path: Path, columns: int, across: int, down: int) -> None:
    write_model(tmp_path)
    pixels = to_pixels(torch.from_numpy(drawn(tmp_path, seeds="0-4")))
    out = tmp_path / "grid.png"
    config = GenerateConfig(model=str(tmp_path), out=str(out), seeds="0-4", columns=columns)
    assert generate(config, lambda done, total: None) == 5
    grid = np.asarray(Image.open(io.BytesIO(out.read_bytes())))
    assert grid.shape == (down * (8 + GAP) - GAP, across * (8 + GAP) - GAP, 3)
    for i in range(5):
        top, left = i // across * (8 + GAP), i % across * (8 + GAP)
        assert np.array_equal(grid[top : top + 8, left : left + 8], pixels[i])


def test_progress_counts_every_picture(tmp_path: Path) -> None:
    write_model(tmp_path)
    told: list[tuple[int, int]] = []
    config = GenerateConfig(model=str(tmp_path), out=str(tmp_path / "x.png"), seeds="0-2")
    generate(config, lambda done, total: told.append((done, total)))
    assert told[-1] == (3, 3)


def test_seeds_are_read() -> None:
    assert parse_seeds("0-3") == [0, 1, 2, 3]
    assert parse_seeds("1, 5,9-9") == [1, 5, 9]


@pytest.mark.parametrize("text", ["", "a", "3-1", "-1", "1,,2", "1-2-3", "4294967296", "0-4000000000"])
def test_seeds_that_cannot_be_meant_are_refused(text: str) -> None:
    with pytest.raises(WrongUsage, match="seeds"):
        parse_seeds(text)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "either seeds or latents"),
        ({"seeds": "1", "latents": "x.npy"}, "either seeds or latents"),
        ({"seeds": "1", "noise": "loud"}, "const, none, random, got 'loud'"),
        ({"seeds": "1", "space": "s"}, "z, w, got 's'"),
        ({"seeds": "1", "truncation": float("nan")}, "finite"),
        ({"seeds": "1", "truncation_cutoff": -1}, "at least 0, got -1"),
        ({"seeds": "1", "columns": -2}, "at least 0, got -2"),
        ({"seeds": "1", "out": "x.jpg"}, ".png or .npy, got 'x.jpg'"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(WrongUsage) as caught:
        GenerateConfig(**{"model": "m", "out": "x.png", **settings})
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("codes", "told"),
    [
        (np.zeros((2, 5), np.float32), r"latents are \[n, 5\]; this model takes z \[n, 6\] or w\+ \[n, 4, 8\]"),
        (np.zeros((2, 3, 8), np.float32), r"latents are \[n, 3, 8\]"),
        (np.zeros(6, np.float32), "an array of numbers"),
        (np.zeros((0, 6), np.float32), "n at least 1"),
        (np.full((1, 6), np.nan, np.float32), "finite"),
        (np.array([["a"] * 6]), "an array of numbers"),
    ],
)
def test_latents_that_do_not_fit_are_refused(tmp_path: Path, codes: np.ndarray[Any, Any], told: str) -> None:
    write_model(tmp_path)
    with pytest.raises(WrongUsage, match=told):
        drawn(tmp_path, latents=saved(tmp_path, codes))


def test_latents_with_code_in_them_are_refused(tmp_path: Path) -> None:
    write_model(tmp_path)
    np.save(tmp_path / "codes.npy", np.array([{}, {}], dtype=object), allow_pickle=True)
    with pytest.raises(WrongUsage, match=r"not a \.npy file of numbers"):
        drawn(tmp_path, latents=str(tmp_path / "codes.npy"))
    (tmp_path / "codes.npy").write_bytes(b"nothing of the kind")
    with pytest.raises(WrongUsage, match=r"not a \.npy file of numbers"):
        drawn(tmp_path, latents=str(tmp_path / "codes.npy"))
    with pytest.raises(WrongUsage, match="no latents at"):
        drawn(tmp_path, latents=str(tmp_path / "none.npy"))


def test_more_pictures_than_memory_are_refused_with_the_arithmetic(tmp_path: Path) -> None:
    write_model(tmp_path)
    with pytest.raises(WrongUsage, match="at most"):
        drawn(tmp_path, seeds="0-9999999")


def test_a_model_without_a_generator_says_so(tmp_path: Path) -> None:
    save_bundle(str(tmp_path), "empty", {}, {})
    with pytest.raises(BadWeights, match="'generator'"):
        drawn(tmp_path, seeds="1")

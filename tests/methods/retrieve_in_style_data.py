"""A tiny generator whose every parameter matters, codes for it, and a catalogue of it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from raypipe.backbones.psp import Encoder, EncoderConfig, encoder_part
from raypipe.backbones.stylegan2 import Generator, GeneratorConfig, generator_part
from raypipe.contract import DataFacts, Share, Site
from raypipe.methods.retrieve_in_style import Config, build_recipe
from raypipe.weights import Bundle, Part, save_bundle
from tests.shared_files import oracle

TINY = GeneratorConfig(size=32, style_dim=8, z_dim=8, mapping_layers=2, channels=(8, 8, 6, 4))
CODE_SHAPE = (TINY.num_layers, TINY.style_dim)
FEATURES = {"eyes": (0, 3), "hair": (1,), "background": (2, 4), "mouth": (5,)}
SETTINGS: dict[str, Any] = {
    "steps": 4,
    "batch": 4,
    "pictures": 8,
    "truncation": 0.9,
    "clusters": 6,
    "resolution": 16,
    "features": FEATURES,
    "assignment_faces": 4,
    "width": 5,
    "axes_faces": 12,
}


def tiny_generator(seed: int = 0, **changes: Any) -> Generator:
    torch.manual_seed(seed)
    generator = Generator(GeneratorConfig(**{**vars(TINY), **changes}))
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith(("noise_strength", "bias")):
                parameter.add_(0.5 * torch.randn_like(parameter))
    return generator.eval()


def tiny_encoder() -> Encoder:
    torch.manual_seed(5)
    layers, width = CODE_SHAPE
    config = EncoderConfig(
        input_size=32, num_layers=layers, style_dim=width, widths=(8, 8, 8, 8), depths=(1, 1, 1, 1), shared_heads=True
    )
    return Encoder("psp", config).eval()


def codes(rows: int, *, seed: int = 0) -> Tensor:
    return torch.randn(rows, *CODE_SHAPE, generator=torch.Generator().manual_seed(seed))


def site(rows: int = 24, share: Share | None = None, **parts: Part) -> Site:
    known = {"generator": generator_part(tiny_generator()), "encoder": encoder_part(tiny_encoder())}
    data = DataFacts(rows=rows, code_shape=CODE_SHAPE)
    return Site(data=data, parts={**known, **parts}, share=share or Share(), seed=3)


def trained_part(**changes: Any) -> Part:
    """A catalogue of the tiny generator, as its recipe makes it."""
    recipe = build_recipe(Config(**{**SETTINGS, **changes}), site())
    for step in range(4):
        recipe.step({"w_plus": codes(4, seed=step)})
    recipe.finish([{"w_plus": codes(24)}])
    return recipe.export()["retrieve_in_style"]


def with_catalogue(bundle: Bundle, folder: Path, features: Mapping[str, tuple[int, ...]]) -> None:
    """The tiny model of ``tests.models`` with a catalogue of its generator."""
    parts = {name: bundle.read(name) for name in bundle.parts}
    config = Config(steps=2, batch=4, pictures=8, clusters=4, features=features, assignment_faces=4, width=4)
    recipe = build_recipe(config, Site(data=DataFacts(rows=8, code_shape=(8, 16)), parts=parts))
    some = torch.randn(8, 8, 16, generator=torch.Generator().manual_seed(0))
    for _ in range(2):
        recipe.step({"w_plus": some[:4]})
    recipe.finish([{"w_plus": some}])
    save_bundle(str(folder), "with-catalogue", parts | recipe.export(), {})


@functools.cache
def public_case(name: str = "ris/narrow_g64.pt") -> dict[str, Any]:
    """Inputs and outputs of the authors' code; skips where they are not at hand."""
    stored: dict[str, Any] = torch.load(oracle(name), weights_only=True)
    return stored

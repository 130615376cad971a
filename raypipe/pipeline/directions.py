"""Attribute directions of other projects into a model, and a model's own into their files."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from raypipe import catalog, storage
from raypipe.backbones.stylegan2 import load_generator
from raypipe.errors import WrongUsage
from raypipe.weights import Bundle, open_bundle, save_bundle

METHOD = "sparse_directions"
SAMPLED_CODES = 10_000
FORMATS = ("npy", "pt")


def import_directions(files: Mapping[str, str], model: str, out: str) -> Bundle:
    """A copy of a model with directions read from files, by attribute: InterFaceGAN's ``.npy``, e4e's ``.pt``.

    The ranges of adjustments are measured on codes that the model's own mapping network gives.

    Raises:
        WrongUsage: no such file, or directions that depend on each other.
        BadWeights: a file that is no direction for this model's codes.
    """
    bundle = open_bundle(model)
    parts = {name: bundle.read(name) for name in bundle.parts}
    generator = load_generator(bundle.read("generator"), "cpu")
    z = torch.randn(SAMPLED_CODES, generator.config.z_dim, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        codes = generator.broadcast(generator.mapping(z))
    contents = {name: _content(file) for name, file in files.items()}
    parts[METHOD] = catalog.method_module(METHOD).imported_part(contents, codes)
    hashes = {name: storage.sha256(content) for name, content in contents.items()}
    return save_bundle(out, bundle.name, parts, {**bundle.provenance, "directions_sha256": hashes})


def export_directions(model: str, folder: str, form: str) -> list[str]:
    """A file for each direction of a model: what an edit of strength 1 adds, [1, layers, width] float32.

    Raises:
        WrongUsage: an unknown format.
        BadWeights: the model has no directions.
    """
    if form not in FORMATS:
        raise WrongUsage(f"format {form!r} is not one of {', '.join(FORMATS)}")
    part = open_bundle(model).read(METHOD)
    written = []
    for name, content in catalog.method_module(METHOD).exported_files(part, form).items():
        written.append(storage.join(folder, f"{name}.{form}"))
        storage.write_bytes(written[-1], content)
    return written


def _content(file: str) -> bytes:
    try:
        return storage.read_bytes(file)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise WrongUsage(f"no file at {file!r}") from error

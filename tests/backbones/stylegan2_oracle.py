"""Networks of the public implementations, read by our importers, with their inputs and outputs."""

from __future__ import annotations

import functools
from typing import Any

import torch

from raypipe.backbones.stylegan2 import Discriminator, Generator, load_discriminator, load_generator
from raypipe.backbones.stylegan2.foreign_rosinality import rosinality_discriminator_part, rosinality_generator_part
from tests.shared_files import oracle

GENERATOR_FILE = "rosinality/g64_narrow8.pt"
DISCRIMINATOR_FILE = "rosinality/d64_narrow8.pt"


def case(name: str) -> dict[str, Any]:
    """A file of inputs and outputs; skips where it is not at hand."""
    return _load(str(oracle(name)))


def rosinality_generator() -> Generator:
    """A fresh one, so that a test may change it; its ``w_avg`` is the file's."""
    stored = case(GENERATOR_FILE)
    return load_generator(rosinality_generator_part(stored["state_dict"], stored["w_mean"])[0], "cpu")


def rosinality_discriminator() -> Discriminator:
    return load_discriminator(rosinality_discriminator_part(case(DISCRIMINATOR_FILE)["state_dict"]), "cpu")


@functools.cache
def _load(path: str) -> dict[str, Any]:
    stored: dict[str, Any] = torch.load(path, weights_only=True)
    return stored

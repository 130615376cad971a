"""A few thousand real faces at 32 px, for tests that something learns from photographs too."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tests.shared_files import data

FACE = (12, 20, 77, 92)
"""The face in CelebA's aligned pictures at half size: left, top, right, bottom."""


def persons() -> dict[str, int]:
    """File name -> person, in the order of the names."""
    lines = (data("celeba10k") / "identity_CelebA.txt").read_text().splitlines()
    return {name: int(person) for name, person in sorted(line.split() for line in lines)}


def labels(names: Sequence[str], attributes: Sequence[str]) -> Tensor:
    """[n,A] float32 of 0 and 1."""
    _, header, *rows = (data("celeba10k") / "list_attr_celeba.txt").read_text().splitlines()
    columns = [1 + header.split().index(attribute) for attribute in attributes]
    signs = {row.split()[0]: [float(row.split()[column]) for column in columns] for row in rows}
    return (torch.tensor([signs[name] for name in names]) + 1) / 2


def pictures(names: Sequence[str]) -> Tensor:
    """[n,3,32,32] in [-1,1]."""
    folder = data("celeba10k") / "img_align_celeba"
    faces = [
        np.array(Image.open(folder / name).convert("RGB").resize((32, 32), Image.Resampling.BILINEAR, box=FACE))
        for name in names
    ]
    return torch.from_numpy(np.stack(faces)).permute(0, 3, 1, 2).float() / 127.5 - 1

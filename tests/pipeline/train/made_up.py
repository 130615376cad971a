"""Small folders of made-up faces with labels and persons."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from raypipe.synthfaces import attributes, render, sample_factors


def celeba_folder(folder: Path, count: int, *, size: int = 32) -> Path:
    """The first faces of seed 0 in CelebA's layout, four a person, as PNG."""
    factors = sample_factors(count, 0)
    labels = attributes(factors)
    names = [f"{number + 1:06d}.png" for number in range(count)]
    (folder / "img_align_celeba").mkdir(parents=True)
    for name, pixels in zip(names, render(factors, size).images, strict=True):
        Image.fromarray(pixels).save(folder / "img_align_celeba" / name)
    signs = 2 * np.stack(list(labels.values()), 1).astype(int) - 1
    rows = [f"{name} " + " ".join(map(str, row)) for name, row in zip(names, signs, strict=True)]
    (folder / "list_attr_celeba.txt").write_text("\n".join([str(count), " ".join(labels), *rows]) + "\n")
    people = [f"{name} {person}" for name, person in zip(names, factors.identity, strict=True)]
    (folder / "identity_CelebA.txt").write_text("\n".join(people) + "\n")
    return folder

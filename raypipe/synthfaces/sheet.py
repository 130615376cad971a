"""A sheet of made-up faces, for the eye: ``python -m raypipe.synthfaces.sheet docs/pictures/synthfaces.png``."""

from __future__ import annotations

import argparse

from PIL import Image

from raypipe.synthfaces.render import render
from raypipe.synthfaces.sampling import sample_factors

COLUMNS, ROWS, SIZE, SEED = 12, 6, 80, 21

_STEP = 3  # coarser colours: a third smaller as PNG, and no difference to be seen


def draw_sheet() -> Image.Image:
    """One picture each of people whose attributes go together as in photographs."""
    faces = sample_factors(COLUMNS * ROWS, SEED, images_per_identity=1, correlated=True)
    grid = render(faces, SIZE).images.reshape(ROWS, COLUMNS, SIZE, SIZE, 3).swapaxes(1, 2)
    return Image.fromarray(grid.reshape(ROWS * SIZE, COLUMNS * SIZE, 3) // _STEP * _STEP)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Draw a sheet of made-up faces.")
    parser.add_argument("out", help="where the PNG goes")
    draw_sheet().save(parser.parse_args().out, "PNG", optimize=True)

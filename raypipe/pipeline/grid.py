"""Pictures side by side, with white between them."""

from __future__ import annotations

import io
import math

import numpy as np
from PIL import Image
from torch import Tensor

from raypipe.faces import to_pixels

GAP = 2


def grid_png(pictures: Tensor) -> bytes:
    """[rows, columns, 3, h, w] in [-1,1] -> a PNG."""
    return rows_png(pictures.flatten(0, 1), pictures.shape[1])


def rows_png(pictures: Tensor, columns: int) -> bytes:
    """[n,3,h,w] in [-1,1], row by row -> a PNG; the last row may be shorter."""
    pixels_NHWC = to_pixels(pictures)
    n, height, width, _ = pixels_NHWC.shape
    rows = math.ceil(n / columns)
    grid = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), 255, np.uint8)
    for i, picture in enumerate(pixels_NHWC):
        top, left = i // columns * (height + GAP), i % columns * (width + GAP)
        grid[top : top + height, left : left + width] = picture
    content = io.BytesIO()
    Image.fromarray(grid).save(content, "PNG")
    return content.getvalue()

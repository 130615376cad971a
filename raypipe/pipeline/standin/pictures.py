"""Training pictures of the stand-in model: made-up faces, half of them as varied as photographs are.

A network that only ever saw clean drawings reconstructs nothing else. Colours, shapes, textures and occlusions that
drawings lack are therefore put on them: cloud noise with the 1/f spectrum of natural images (Field 1987), elastic
deformation (Simard et al. 2003), and blends along hard or soft random borders (dead leaves, Lee et al. 2001).
N pictures of S x S pixels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from raypipe.faces import to_signed
from raypipe.synthfaces import render, sample_factors


def training_pictures(count: int, size: int, *, seed: int, step: int) -> Tensor:
    """The batch of a step: new faces at every step, the same batch for the same seed and step.

    Returns:
        float32 [count,3,size,size] in [-1,1]; count is even, the second half is the first half disturbed.
    """
    factors = sample_factors(count // 2, seed, start=step * (count // 2), images_per_identity=1)
    faces = to_signed(torch.from_numpy(render(factors, size).images))
    return torch.cat([faces, disturb(faces, torch.Generator().manual_seed(seed * 2**32 + step))])


def disturb(faces: Tensor, generator: torch.Generator) -> Tensor:
    """[N,3,S,S] in [-1,1] -> the same, deformed, recoloured, textured, partly covered and sometimes blurred."""
    pictures = _recolour(_deform(faces, generator), generator)
    pictures = _cover(pictures, _recolour(pictures.roll(1, 0), generator), generator, share=0.3)
    pictures = _cover(pictures, 0.6 * clouds(*_shape(pictures), generator), generator, share=0.35)
    texture = clouds(*_shape(pictures), generator) * _uniform(len(faces), 0.0, 0.3, generator)
    return _blur(pictures + texture, generator, share=0.3).clamp(-1, 1)


def clouds(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Noise whose amplitude falls with frequency, steeply or slowly: [N,3,S,S], every picture of unit deviation."""
    slope = _uniform(count, 0.5, 1.6, generator)
    colourful = _uniform(count, 0.0, 0.7, generator)
    noise = torch.zeros(count, 3, size, size)
    for octave in range(1, int(math.log2(size)) + 1):
        grey = torch.randn(count, 1, 2**octave, 2**octave, generator=generator)
        colour = torch.randn(count, 3, 2**octave, 2**octave, generator=generator)
        noise += _enlarge(grey + colourful * colour, size) * 2 ** (-octave * slope)
    noise -= noise.mean((1, 2, 3), keepdim=True)
    return noise / noise.std((1, 2, 3), keepdim=True)


def _deform(pictures: Tensor, generator: torch.Generator) -> Tensor:
    count, size = _shape(pictures)
    angle = 0.25 * torch.randn(count, generator=generator)
    zoom = torch.exp(0.15 * torch.randn(count, generator=generator))
    flip = torch.where(torch.rand(count, generator=generator) < 0.5, -1.0, 1.0)
    shift = 0.12 * torch.randn(count, 2, 1, generator=generator)
    cosine, sine = zoom * angle.cos(), zoom * angle.sin()
    rotation = torch.stack([torch.stack([flip * cosine, -sine], 1), torch.stack([flip * sine, cosine], 1)], 1)
    grid = F.affine_grid(torch.cat([rotation, shift], 2), list(pictures.shape), align_corners=False)
    bend = torch.randn(count, 2, 5, 5, generator=generator) * _uniform(count, 0.0, 0.12, generator)
    grid = grid + _enlarge(bend, size).permute(0, 2, 3, 1)
    return F.grid_sample(pictures, grid, padding_mode="reflection", align_corners=False)


def _recolour(pictures: Tensor, generator: torch.Generator) -> Tensor:
    count = len(pictures)
    mix = torch.eye(3) + 0.15 * torch.randn(count, 3, 3, generator=generator)
    contrast = torch.exp(0.3 * torch.randn(count, 1, 1, 1, generator=generator))
    bias = 0.25 * torch.randn(count, 1, 1, 1, generator=generator)
    tint = 0.1 * torch.randn(count, 3, 1, 1, generator=generator)
    return torch.einsum("nij,njhw->nihw", mix, pictures) * contrast + bias + tint


def _cover(pictures: Tensor, others: Tensor, generator: torch.Generator, *, share: float) -> Tensor:
    """Put parts of ``others`` over a share of the pictures; the border is sharp or soft, the part small or large."""
    count, size = _shape(pictures)
    sharpness = torch.exp(_uniform(count, 0.5, 4.0, generator))
    threshold = _uniform(count, 0.0, 2.0, generator)
    field = clouds(count, size, generator).mean(1, keepdim=True)
    field = F.avg_pool2d(field, 5, stride=1, padding=2)
    chosen = torch.rand(count, 1, 1, 1, generator=generator) < share
    height = sharpness * (field / field.std((1, 2, 3), keepdim=True) - threshold)
    # Far below the border the sigmoid would be a denormal number, with which a CPU computes very slowly.
    return pictures.lerp(others, torch.sigmoid(height.clamp(-15, 15)) * chosen)


def _blur(pictures: Tensor, generator: torch.Generator, *, share: float) -> Tensor:
    blurred = F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    chosen = torch.rand(len(pictures), 1, 1, 1, generator=generator) < share
    return torch.where(chosen, blurred, pictures)


def _enlarge(coarse: Tensor, size: int) -> Tensor:
    return F.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=False)


def _uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(count, 1, 1, 1, generator=generator)


def _shape(pictures: Tensor) -> tuple[int, int]:
    return len(pictures), pictures.shape[-1]

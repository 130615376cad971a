from __future__ import annotations

import torch
from torch import Tensor

from raypipe.blocks.jitter import jitter
from raypipe.blocks.randomness import Draws
from raypipe.contract import Share


def draws(seed: int = 0, share: Share | None = None) -> Draws:
    return Draws(seed, 0, share or Share(), torch.device("cpu"))


def pictures(count: int, size: int = 10) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0))


def test_without_mirror_and_shift_pictures_stay() -> None:
    images = pictures(4)
    assert torch.equal(jitter(images, draws(), mirror=False, shift=0.0), images)


def test_about_half_are_mirrored() -> None:
    images = pictures(400)
    made = jitter(images, draws(), mirror=True, shift=0.0)
    is_same = (made == images).flatten(1).all(1)
    is_mirrored = (made == images.flip(3)).flatten(1).all(1)
    assert bool((is_same ^ is_mirrored).all())
    assert 150 < int(is_mirrored.sum()) < 250


def test_pictures_move_whole_pixels_and_the_border_repeats() -> None:
    images = torch.arange(10.0).expand(500, 3, 10, 10)
    made = jitter(images, draws(), mirror=False, shift=0.2)
    allowed = {tuple((torch.arange(10) + by).clamp(0, 9).tolist()) for by in range(-2, 3)}
    assert {tuple(int(value) for value in row) for row in made[:, 0, 5]} == allowed


def test_a_share_gets_the_changes_of_its_rows() -> None:
    images = pictures(8)
    whole = jitter(images, draws(), mirror=True, shift=0.3)
    for rank in range(2):
        share = Share(rank, 2)
        assert torch.equal(jitter(share.of(images), draws(share=share), mirror=True, shift=0.3), share.of(whole))

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from raypipe.blocks import jitter as jittering
from raypipe.blocks.jitter import CROP_AREAS, CROP_RATIOS, crop, jitter
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
    whole = jitter(crop(images, draws(), probability=0.5), draws(), mirror=True, shift=0.3)
    for rank in range(2):
        share = Share(rank, 2)
        cut = crop(share.of(images), draws(share=share), probability=0.5)
        assert torch.equal(jitter(cut, draws(share=share), mirror=True, shift=0.3), share.of(whole))


def places_of(count: int, size: int) -> Tensor:
    """Pictures of the coordinates, from -1 to 1 between the borders, and ones."""
    middles = (torch.arange(size) + 0.5) / size * 2 - 1
    x, y = middles.expand(size, size), middles[:, None].expand(size, size)
    return torch.stack([x, y, torch.ones(size, size)]).expand(count, -1, -1, -1)


def test_a_cut_is_a_rectangle_at_a_random_place_in_the_picture() -> None:
    """Of a ramp one sees which part there is, inside, where nothing comes from beyond the border."""
    count, size = 400, 32
    made = crop(places_of(count, size), draws(), probability=1.0)
    middle = slice(4, -4)
    steps = made[:, 0, :, middle].diff(dim=2), made[:, 1, middle].diff(dim=1)
    sides = torch.stack([step.mean((1, 2)) for step in steps], 1) * size / 2
    assert all(float((step - step.mean((1, 2), keepdim=True)).abs().max()) < 1e-5 for step in steps)
    areas, ratios = sides.prod(1), sides[:, 0] / sides[:, 1]
    for values, (least, most) in ((areas, CROP_AREAS), (ratios, CROP_RATIOS)):
        assert least - 1e-4 < float(values.min()) < least + 0.02
        assert most - 0.02 < float(values.max()) < most + 1e-4
    centres = made[:, :2, middle, middle].mean((2, 3))
    room = 1 - sides
    assert bool((centres.abs() <= room + 1e-5).all())
    where = (centres / room)[room.min(1).values > 0.02]
    assert where.mean(0).abs().max() < 0.1
    assert where.std(0).sub(3**-0.5).abs().max() < 0.05  # evenly anywhere
    assert abs(float(torch.corrcoef(where.T)[0, 1])) < 0.15


def test_as_many_are_cut_as_asked_and_the_others_stay() -> None:
    images = pictures(400)
    made = crop(images, draws(), probability=0.25)
    assert 70 < int((made != images).flatten(1).any(1).sum()) < 130
    taken = draws()
    assert torch.equal(crop(images, taken, probability=0.0), images)
    other = draws()
    crop(images, other, probability=1.0)
    assert torch.equal(taken.uniform(400), other.uniform(400))


def test_of_rectangles_the_first_that_fits_is_taken_and_else_the_whole() -> None:
    areas = torch.tensor([[1.0, 0.5, 0.0], [1.0, 1.0, 1.0]])
    ratios = torch.tensor([[0.0, 0.5, 0.5], [0.0, 1.0, 0.0]])
    sides = jittering._sides(areas, ratios)
    middle = (CROP_RATIOS[0] * CROP_RATIOS[1]) ** 0.5
    assert sides[0].tolist() == pytest.approx([(0.9 * middle) ** 0.5, (0.9 / middle) ** 0.5])
    assert sides[1].tolist() == [1.0, 1.0]

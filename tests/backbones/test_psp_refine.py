import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from raypipe.backbones.psp.refine import RefineConfig, refine
from raypipe.backbones.stylegan2 import Generator, GeneratorConfig
from raypipe.errors import WrongUsage

CONFIG = RefineConfig(steps=60, learning_rate=0.05)


@pytest.fixture(scope="module")
def generator() -> Generator:
    torch.manual_seed(0)
    config = GeneratorConfig(size=16, style_dim=16, z_dim=16, channels=(16, 16, 16), mapping_layers=2)
    return Generator(config).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def codes(generator: Generator) -> Tensor:
    return torch.randn(3, generator.num_layers, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def starts(codes: Tensor) -> Tensor:
    return codes + 0.3 * torch.randn(codes.shape, generator=torch.Generator().manual_seed(2))


def error(generator: Generator, images: Tensor, codes: Tensor) -> Tensor:
    return (generator.synthesis(codes) - images).square().mean((1, 2, 3))


def test_pictures_of_known_codes_are_found_again(generator: Generator, codes: Tensor, starts: Tensor) -> None:
    images = generator.synthesis(codes)
    found = refine(generator, images, starts, CONFIG)
    assert (error(generator, images, found) < 0.1 * error(generator, images, starts)).all()


def test_no_steps_change_nothing(generator: Generator, codes: Tensor, starts: Tensor) -> None:
    images = generator.synthesis(codes)
    assert torch.equal(refine(generator, images, starts, RefineConfig(steps=0)), starts)


def test_a_face_does_not_depend_on_the_others(generator: Generator, codes: Tensor, starts: Tensor) -> None:
    images = generator.synthesis(codes)
    config = RefineConfig(steps=10)
    together = refine(generator, images, starts, config)
    alone = [refine(generator, images[i : i + 1], starts[i : i + 1], config) for i in range(3)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=1e-3)


def test_twice_is_the_same(generator: Generator, codes: Tensor, starts: Tensor) -> None:
    images = generator.synthesis(codes)
    config = RefineConfig(steps=5)
    assert torch.equal(refine(generator, images, starts, config), refine(generator, images, starts, config))


def test_a_wild_learning_rate_never_makes_it_worse(generator: Generator, codes: Tensor, starts: Tensor) -> None:
    images = generator.synthesis(codes)
    found = refine(generator, images, starts, RefineConfig(steps=5, learning_rate=50.0))
    assert (error(generator, images, found) <= error(generator, images, starts)).all()


def test_the_regulariser_keeps_codes_near_the_start(generator: Generator, codes: Tensor, starts: Tensor) -> None:
    images = generator.synthesis(codes)
    free = refine(generator, images, starts, RefineConfig(steps=20, start_weight=0.0))
    held = refine(generator, images, starts, RefineConfig(steps=20, start_weight=10.0))
    assert (held - starts).norm() < 0.5 * (free - starts).norm()


def test_the_average_pulls_where_nothing_else_does(generator: Generator, codes: Tensor, starts: Tensor) -> None:
    config = RefineConfig(steps=200, learning_rate=0.1, pixel_weight=0.0, start_weight=0.0, average_weight=1.0)
    found = refine(generator, generator.synthesis(codes), starts, config)
    assert (found - generator.w_avg).norm() < 0.05 * (starts - generator.w_avg).norm()


def test_a_perceptual_distance_is_followed(generator: Generator, codes: Tensor, starts: Tensor) -> None:
    """A distance that only sees the mean colour brings the mean colour together."""
    images = generator.synthesis(codes)

    def colour_distance(made: Tensor, wanted: Tensor) -> Tensor:
        return (made.mean((2, 3)) - wanted.mean((2, 3))).square().sum(1)

    config = RefineConfig(steps=50, learning_rate=0.05, pixel_weight=0.0, perceptual_weight=1.0, start_weight=0.0)
    found = refine(generator, images, starts, config, perceptual=colour_distance)
    before = colour_distance(generator.synthesis(starts), images)
    assert (colour_distance(generator.synthesis(found), images) < 0.05 * before).all()


def test_smaller_pictures_are_compared_with_averaged_ones(generator: Generator, codes: Tensor, starts: Tensor) -> None:
    images = F.avg_pool2d(generator.synthesis(codes), 2)
    found = refine(generator, images, starts, CONFIG)
    before, after = (F.mse_loss(F.avg_pool2d(generator.synthesis(c), 2), images) for c in (starts, found))
    assert after < 0.1 * before


def test_larger_pictures_are_refused(generator: Generator, starts: Tensor) -> None:
    with pytest.raises(WrongUsage, match="32 px; the generator makes 16 px"):
        refine(generator, torch.zeros(3, 3, 32, 32), starts, CONFIG)

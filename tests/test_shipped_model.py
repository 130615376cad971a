"""The small model in the package does what the package needs it for."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from raypipe.attributes import Edit
from raypipe.backbones.attributes import load_attributes
from raypipe.backbones.identity import load_identity
from raypipe.backbones.psp import Encoder, load_encoder
from raypipe.backbones.stylegan2 import Generator, load_generator
from raypipe.faces import to_signed
from raypipe.pipeline.loading import load_method, represent
from raypipe.synthfaces import attributes, render, sample_factors
from raypipe.weights import open_bundle, shipped_models
from tests.shared_files import data

NEVER_TRAINED_WITH = 77_777


@pytest.fixture(scope="module")
def generator() -> Generator:
    return load_generator(open_bundle("small").read("generator"), "cpu")


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder(open_bundle("small").read("encoder"), "cpu")


@pytest.fixture(scope="module")
def faces(encoder: Encoder) -> Tensor:
    factors = sample_factors(64, NEVER_TRAINED_WITH, images_per_identity=1)
    return to_signed(torch.from_numpy(render(factors, encoder.input_size).images))


def photographs(size: int) -> Tensor:
    """32 aligned pictures of faces, no drawings."""
    files = sorted(data("omi/images_256").glob("*.jpg"))[:32]
    pixels = [
        np.array(Image.open(file).convert("RGB").resize((size, size), Image.Resampling.LANCZOS)) for file in files
    ]
    return to_signed(torch.from_numpy(np.stack(pixels)))


def squared_error(made: Tensor, wanted: Tensor) -> float:
    return (made.clamp(-1, 1) - wanted).square().mean().item()


def test_parts_are_there_and_undamaged_and_small() -> None:
    assert "small" in shipped_models()
    bundle = open_bundle("small")
    assert set(bundle.parts) == {"generator", "encoder", "attributes", "identity", "sparse_directions"}
    for name in bundle.parts:
        part = bundle.read(name)
        assert sum(tensor.numel() * tensor.element_size() for tensor in part.tensors.values()) < 4 * 2**20


def test_encoder_and_generator_fit_together(generator: Generator, encoder: Encoder) -> None:
    assert encoder.code_shape == (generator.num_layers, generator.config.style_dim)
    assert encoder.input_size == generator.config.size


def test_fresh_faces_come_back_far_closer_than_the_mean_face(
    generator: Generator, encoder: Encoder, faces: Tensor
) -> None:
    made = generator.synthesis(encoder(faces))
    assert squared_error(made, faces) < 0.15 * squared_error(faces.mean(0, keepdim=True).expand_as(faces), faces)


def test_photographs_come_back_closer_than_any_constant_picture(generator: Generator, encoder: Encoder) -> None:
    faces = photographs(encoder.input_size)
    made = generator.synthesis(encoder(faces))
    assert squared_error(made, faces) < 0.25 * squared_error(faces.mean(0, keepdim=True).expand_as(faces), faces)


def test_each_reconstruction_is_nearest_to_its_own_face(generator: Generator, encoder: Encoder, faces: Tensor) -> None:
    made = generator.synthesis(encoder(faces))
    distances = torch.cdist(made.flatten(1), faces.flatten(1))
    assert (distances.argmin(1) == torch.arange(len(faces))).all()


def test_the_average_w_is_that_of_the_mapping_network(generator: Generator) -> None:
    w = generator.mapping(torch.randn(1024, generator.config.z_dim, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(generator.w_avg, w.mean(0), rtol=0, atol=0.2 * w.std(0).max().item())


def test_made_faces_are_as_varied_and_as_bright_as_drawn_ones(generator: Generator, faces: Tensor) -> None:
    z = torch.randn(64, generator.config.z_dim, generator=torch.Generator().manual_seed(0))
    made = generator(z).clamp(-1, 1)
    assert squared_error(made.mean(0, keepdim=True), faces.mean(0, keepdim=True)) < 0.02
    assert 0.5 < (made.std(0).mean() / faces.std(0).mean()).item() < 1.2


def test_its_judges_see_what_is_drawn(faces: Tensor) -> None:
    bundle = open_bundle("small")
    network = load_attributes(bundle.read("attributes"), "cpu")
    truth = attributes(sample_factors(len(faces), NEVER_TRAINED_WITH, images_per_identity=1))
    logits = network(faces)
    for name in ("Bald", "Bangs", "Black_Hair", "Eyeglasses", "Gray_Hair", "No_Beard", "Wearing_Hat"):
        right = (logits[:, network.names.index(name)] > 0).numpy() == truth[name]
        assert right.mean() > 0.85, name
    people = sample_factors(64, NEVER_TRAINED_WITH, images_per_identity=2)
    vectors = load_identity(bundle.read("identity"), "cpu").embed(
        to_signed(torch.from_numpy(render(people, network.config.size).images))
    )
    nearest = (vectors @ vectors.T - 2 * torch.eye(64)).argmax(1)
    assert (nearest == torch.arange(64) ^ 1).float().mean() > 0.25, "by chance 1 of 63"


def test_an_edit_moves_what_its_name_says(generator: Generator, encoder: Encoder, faces: Tensor) -> None:
    bundle = open_bundle("small")
    network = load_attributes(bundle.read("attributes"), "cpu")
    method = load_method("sparse_directions", bundle, "cpu")
    columns = represent(method, {"image": faces, "w_plus": encoder(faces)})
    for name in ("Bangs", "Blond_Hair", "Black_Hair", "Pale_Skin", "Rosy_Cheeks"):
        more, less = (method.render(method.edit(columns, [Edit(name, way)]), faces) for way in (1.0, -1.0))
        gain = (network(more) - network(less))[:, network.names.index(name)]
        assert (gain > 0).float().mean() > 0.8, name

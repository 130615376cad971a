"""The L2M-GANs in the package change what they say, and keep the face."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from raypipe.attributes import Edit
from raypipe.faces import to_signed
from raypipe.pipeline.loading import load_method, represent
from raypipe.synthfaces import Factors, render, sample_factors
from raypipe.weights import open_bundle, shipped_models

NEVER_TRAINED_WITH, FACES = 88_888, 96

FACTOR = {"Smiling": ("smile", 0.8, -0.2), "Male": ("masculinity", 0.9, 0.1), "Eyeglasses": ("eyeglasses", 1.0, 0.0)}

ATTRIBUTES = {
    "l2m_smiling": ("Smiling",),
    "l2m_eyeglasses": ("Eyeglasses",),
    "l2m_smiling_male": ("Smiling", "Male"),
}


@pytest.fixture(scope="module")
def faces() -> Tensor:
    return drawn(sample_factors(FACES, NEVER_TRAINED_WITH, images_per_identity=1))


def drawn(factors: Factors) -> Tensor:
    return to_signed(torch.from_numpy(render(factors, 64).images))


def test_all_of_them_are_there_and_small() -> None:
    assert set(ATTRIBUTES) == {name for name in shipped_models() if name.startswith("l2m_")}
    for model in ATTRIBUTES:
        bundle = open_bundle(model)
        assert {name for name, part in bundle.parts.items() if not part.shipped} == {"l2m_gan"}
        assert bundle.size(("l2m_gan",)) < 2 * 2**20


@pytest.mark.parametrize("model", ATTRIBUTES)
def test_a_face_in_its_own_style_is_itself(model: str, faces: Tensor) -> None:
    method = load_method("l2m_gan", open_bundle(model), "cpu")
    with torch.no_grad():
        again = method.render(represent(method, {"image": faces}), faces)
    others = (faces - faces.roll(1, 0)).abs().mean()
    assert (again - faces).abs().mean() < 0.2 * others


@pytest.mark.parametrize(("model", "name"), [(model, name) for model, names in ATTRIBUTES.items() for name in names])
def test_edits_change_pictures_as_exact_edits_do_and_keep_the_face(model: str, name: str, faces: Tensor) -> None:
    """Pixel by pixel: from a face without the attribute to the same with it, made and as it would be drawn."""
    method = load_method("l2m_gan", open_bundle(model), "cpu")
    with torch.no_grad():
        columns = represent(method, {"image": faces})
        without, with_it = (method.render(method.edit(columns, [Edit(name, way)]), faces) for way in (-1.0, 1.0))
    factor, having, lacking = FACTOR[name]
    factors = sample_factors(FACES, NEVER_TRAINED_WITH, images_per_identity=1)
    exact_with, exact_without = (drawn(factors.changed(factor, value)) for value in (having, lacking))
    made, exact = (with_it - without).flatten(1), (exact_with - exact_without).flatten(1)
    likeness = torch.cosine_similarity(made, exact)
    of_others = torch.cosine_similarity(made, exact.roll(1, 0))
    assert likeness.mean() > 0.2
    assert (likeness > of_others).float().mean() > 0.8
    assert made.abs().mean() < 0.2 * (faces - faces.roll(1, 0)).abs().mean()

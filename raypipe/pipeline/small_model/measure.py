"""How good the small model is, on made-up faces that it was not trained with. N faces, A attributes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from raypipe.attributes import Edit
from raypipe.backbones.attributes import AttributeNet, load_attributes
from raypipe.backbones.identity import load_identity
from raypipe.backbones.psp import load_encoder
from raypipe.backbones.stylegan2 import Generator, load_generator
from raypipe.blocks.accuracy import area_under_roc, balanced_accuracy
from raypipe.blocks.frechet import GaussianStatistics, frechet_distance
from raypipe.contract import Method
from raypipe.faces import to_signed
from raypipe.pipeline.loading import load_method, represent
from raypipe.synthfaces import attributes, render, sample_factors
from raypipe.weights import Bundle

NEVER_TRAINED_WITH = 77_777
PEOPLE_IMAGES = 4
BATCH = 100


@torch.no_grad()
def measure(bundle: Bundle, *, faces: int) -> dict[str, object]:
    """Numbers for the model card, by ``faces`` fresh faces."""
    networks = load_attributes(bundle.read("attributes"), "cpu")
    images, labels = _faces(faces, networks.names, networks.config.size)
    generator = load_generator(bundle.read("generator"), "cpu")
    encoder = load_encoder(bundle.read("encoder"), "cpu")
    codes = torch.cat([encoder(some) for some in _batches(images)])
    return {
        "faces": faces,
        "fid_attributes": round(_fid(generator, networks, images), 3),
        **_reconstruction(generator, codes, images),
        "attribute_accuracy": round(float(balanced_accuracy(_logits(networks, images), labels).nanmean()), 4),
        "identity_auc": round(_identity_auc(bundle, images), 4),
        "edits": _edits(load_method("sparse_directions", bundle, "cpu"), codes, images, networks),
    }


def _faces(count: int, names: tuple[str, ...], size: int) -> tuple[Tensor, Tensor]:
    factors = sample_factors(count, NEVER_TRAINED_WITH, images_per_identity=PEOPLE_IMAGES)
    labels = attributes(factors)
    truth = np.stack([labels[name] for name in names], 1).astype(np.float32)
    return to_signed(torch.from_numpy(render(factors, size).images)), torch.from_numpy(truth)


def _logits(network: AttributeNet, images: Tensor) -> Tensor:
    return torch.cat([network(some) for some in _batches(images)])


def _fid(generator: Generator, network: AttributeNet, images: Tensor) -> float:
    z = torch.randn(len(images), generator.config.z_dim, generator=torch.Generator().manual_seed(0))
    width = network.config.feature_dim
    drawn, made = GaussianStatistics(width), GaussianStatistics(width)
    for some, some_z in zip(_batches(images), _batches(z), strict=True):
        drawn.add(network.features(some))
        made.add(network.features(generator(some_z).clamp(-1, 1)))
    return frechet_distance(drawn, made)


def _reconstruction(generator: Generator, codes: Tensor, images: Tensor) -> dict[str, float]:
    made = torch.cat([generator.synthesis(some) for some in _batches(codes)]).clamp(-1, 1)
    error = (made - images) / 2
    psnr = -10 * error.square().mean((1, 2, 3)).log10()
    return {"psnr_db": round(psnr.mean().item(), 2), "l1": round(error.abs().mean().item(), 4)}


def _identity_auc(bundle: Bundle, images: Tensor) -> float:
    """Of the cosine of all pairs of faces, by whether they show the same person."""
    network = load_identity(bundle.read("identity"), "cpu")
    vectors = torch.cat([network.embed(some) for some in _batches(images)])
    person = torch.arange(len(images)) // PEOPLE_IMAGES
    one, other = torch.triu_indices(len(images), len(images), offset=1)
    return float(area_under_roc((vectors @ vectors.T)[one, other], person[one] == person[other]))


def _edits(method: Method, codes: Tensor, images: Tensor, network: AttributeNet) -> Mapping[str, Mapping[str, float]]:
    """For each attribute: of the faces whose reconstruction lacks it, the share that has it after an edit of strength
    1, and the mean share of other attributes that the edit changes, as the attribute network sees both."""
    columns = represent(method, {"image": images, "w_plus": codes})
    before = _logits(network, _render(method, columns, images)) > 0
    told: dict[str, Mapping[str, float]] = {}
    for name in method.attributes:
        place = network.names.index(name)
        lacking = ~before[:, place]
        some = {column: values[lacking] for column, values in columns.items()}
        after = _logits(network, _render(method, method.edit(some, [Edit(name, 1.0)]), images[lacking])) > 0
        others = torch.arange(len(network.names)) != place
        told[name] = {
            "reached": round(after[:, place].float().mean().item(), 3),
            "others_changed": round((after != before[lacking])[:, others].float().mean().item(), 3),
        }
    return told


def _render(method: Method, columns: Mapping[str, Tensor], images: Tensor) -> Tensor:
    rows = [slice(first, first + BATCH) for first in range(0, len(images), BATCH)]
    return torch.cat([method.render({name: values[r] for name, values in columns.items()}, images[r]) for r in rows])


def _batches(tensor: Tensor) -> list[Tensor]:
    return [tensor[first : first + BATCH] for first in range(0, len(tensor), BATCH)]

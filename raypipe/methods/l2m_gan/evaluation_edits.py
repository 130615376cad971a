"""Edits of photographs as judges see them: is the attribute there, is it still a face of its kind, the same person, and
are the other attributes what they were? N faces, A attributes that the judge knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from raypipe.attributes import Edit
from raypipe.backbones.attributes import AttributeNet
from raypipe.backbones.identity import FaceEmbedder
from raypipe.blocks.frechet import GaussianStatistics, frechet_distance
from raypipe.blocks.sizes import of_size
from raypipe.contract import Faces, Rival
from raypipe.faces import to_signed
from raypipe.methods.l2m_gan.method import L2M

_PICTURES_AT_ONCE = 64

SIGNS = (1.0, -1.0)
"""Adding an attribute to faces that lack it, and removing it from faces that have it."""


@dataclass(frozen=True, kw_only=True)
class Edits:
    """Of one attribute by one system; pairs are of adding and of removing.

    Attributes:
        fid: to training faces that are what the edits are to be.
        accuracy: the share of edits that the judge sees as they are to be.
        identity: mean cosine of faces before and after; nan without an identity network.
        others: the mean share of other attributes that the judge sees changed.
    """

    fid: tuple[float, float]
    accuracy: tuple[float, float]
    identity: tuple[float, float]
    others: tuple[float, float]


@dataclass(frozen=True)
class Judges:
    """Networks that look at pictures of any size, and where they are."""

    attributes: AttributeNet
    identity: FaceEmbedder | None
    device: torch.device

    def embeddings(self, images: Tensor) -> Tensor:
        """Unit vectors [n,d]; one nan each without a network."""
        return torch.full((len(images), 1), torch.nan) if self.identity is None else self.identity.embed(images)


def system_of(method: L2M, device: torch.device) -> Rival:
    """Our own method, through the same interface: whole edits, and which domain a face is of as the model sees it."""

    def edited(images: Tensor, attribute: str, sign: float) -> Tensor:
        pictures = of_size(images.to(device), method.size)
        return method.render(method.edit(method.represent({"image": pictures}), [Edit(attribute, sign)]), pictures)

    return Rival(method.attributes, edited)


def unedited(attributes: tuple[str, ...]) -> Rival:
    """Faces as they are: what the numbers of others are to be read against."""
    return Rival(attributes, lambda images, attribute, sign: images)


def measure_edits(attribute: str, systems: Mapping[str, Rival], faces: Faces, judges: Judges) -> dict[str, Edits]:
    """By system, of those that have the attribute."""
    place = faces.attributes.index(attribute)
    wanted = {sign: _statistics(_pictures(faces.train, place, sign > 0, judges.device), judges) for sign in SIGNS}
    return {
        name: _edits_of(attribute, system, faces, wanted, judges)
        for name, system in systems.items()
        if attribute in system.attributes
    }


def reconstruction_of(method: L2M, faces: Faces, device: torch.device) -> float:
    """Mean absolute difference, of 2, of test faces and the same faces drawn in their own style."""
    differences = []
    for images in torch.split(faces.test["image"], _PICTURES_AT_ONCE):
        pictures = of_size(to_signed(images.to(device)), method.size)
        differences.append((method.render(method.represent({"image": pictures}), pictures) - pictures).abs())
    return float(torch.cat(differences).mean())


def _edits_of(
    attribute: str, system: Rival, faces: Faces, wanted: Mapping[float, GaussianStatistics], judges: Judges
) -> Edits:
    place = faces.attributes.index(attribute)
    found = [
        _one_way(attribute, sign, system, _pictures(faces.test, place, sign < 0, judges.device), wanted[sign], judges)
        for sign in SIGNS
    ]
    fid, accuracy, identity, others = zip(*found, strict=True)
    return Edits(fid=fid, accuracy=accuracy, identity=identity, others=others)


def _one_way(
    attribute: str,
    sign: float,
    system: Rival,
    batches: Iterator[Tensor],
    wanted: GaussianStatistics,
    judges: Judges,
) -> tuple[float, float, float, float]:
    network = judges.attributes
    place = network.names.index(attribute)
    is_other_A = torch.arange(len(network.names)) != place
    statistics = GaussianStatistics(network.config.feature_dim)
    hits, cosines, changes = [], [], []
    for images in batches:
        made = system.edited(images, attribute, sign)
        statistics.add(network.features(made))
        before_NA, after_NA = (network(pictures).cpu() > 0 for pictures in (images, made))
        hits.append(after_NA[:, place] == (sign > 0))
        changes.append((before_NA != after_NA)[:, is_other_A].float().mean(1))
        cosines.append((judges.embeddings(images) * judges.embeddings(made)).sum(1).cpu())
    return (
        frechet_distance(statistics, wanted),
        float(torch.cat(hits).float().mean()),
        float(torch.cat(cosines).mean()),
        float(torch.cat(changes).mean()),
    )


def _pictures(rows: Mapping[str, Tensor], place: int, has_it: bool, device: torch.device) -> Iterator[Tensor]:
    """[n,3,s,s] in [-1,1], a few at a time, of the faces that have an attribute or of those that lack it."""
    chosen = (rows["labels"][:, place] > 0.5) == has_it
    return (to_signed(images.to(device)) for images in torch.split(rows["image"][chosen], _PICTURES_AT_ONCE))


def _statistics(batches: Iterator[Tensor], judges: Judges) -> GaussianStatistics:
    statistics = GaussianStatistics(judges.attributes.config.feature_dim)
    for images in batches:
        statistics.add(judges.attributes.features(images))
    return statistics

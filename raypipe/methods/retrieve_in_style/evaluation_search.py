"""Searches by single features among test faces. Q queries, N faces of the gallery, k results, A attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from raypipe.contract import Columns
from raypipe.methods.retrieve_in_style.evaluation_systems import System
from raypipe.methods.retrieve_in_style.lens import FacesSeen
from raypipe.methods.retrieve_in_style.spaces import reduced
from raypipe.metrics.attribute_matching import ATTRIBUTES, attribute_matching_score
from raypipe.metrics.trsi_iou import trsi_iou


@dataclass(frozen=True, eq=False)
class Gallery:
    """The test faces: what is seen of them, who they are [N], their labels [N,A'], and which of them ask [Q]."""

    faces: FacesSeen
    people: Tensor
    labels: Tensor
    attributes: tuple[str, ...]
    queries: Tensor

    def names(self, feature: str) -> tuple[str, ...]:
        """The paper's attributes of a feature, of those that the data have."""
        return tuple(name for name in ATTRIBUTES[feature] if name in self.attributes)

    def scores(self, feature: str, found_Qk: Tensor) -> Tensor:
        """Attribute matching score of every query, [Q]."""
        columns = [self.attributes.index(name) for name in self.names(feature)]
        of_feature = self.labels[:, columns]
        return attribute_matching_score(of_feature[self.queries], of_feature[found_Qk])

    def of_the_same_person(self, found_Qk: Tensor) -> float:
        """The share of results that are other pictures of the query's person."""
        return float((self.people[found_Qk] == self.people[self.queries][:, None]).double().mean())

    def chance(self, feature: str) -> float:
        """The score of results that have nothing to do with the query: the mean over all pairs of different faces."""
        columns = [self.attributes.index(name) for name in self.names(feature)]
        have_A, faces = self.labels[:, columns].double().sum(0), len(self.labels)
        lack_A = faces - have_A
        agreeing_A = have_A * (have_A - 1) + lack_A * (lack_A - 1)
        return float(agreeing_A.mean() / (faces * (faces - 1)))


def gallery_of(faces: FacesSeen, columns: Columns, attributes: tuple[str, ...], *, queries: int, seed: int) -> Gallery:
    """With queries drawn from the faces."""
    order = torch.randperm(len(faces.styles), generator=torch.Generator().manual_seed(seed))
    labels, people = columns["labels"].cpu(), columns["identity"].cpu()
    return Gallery(faces, people, labels, attributes, order[:queries].sort().values)


def searched_features(gallery: Gallery, features: Sequence[str]) -> tuple[str, ...]:
    """Those of the paper's that a catalogue has, and the data have attributes for."""
    return tuple(name for name in ATTRIBUTES if name in features and gallery.names(name))


def found(gallery: Gallery, vectors_NW: Tensor, count: int) -> Tensor:
    """The nearest by cosine, [Q,count]; the query itself is no result."""
    vectors_NW = torch.nn.functional.normalize(vectors_NW, dim=1)
    similar_QN = vectors_NW[gallery.queries] @ vectors_NW.T
    similar_QN[torch.arange(len(gallery.queries)), gallery.queries] = -2.0
    return similar_QN.topk(count, dim=1).indices.cpu()


def lists(gallery: Gallery, system: System, features: Sequence[str], count: int) -> dict[str, Tensor]:
    """What a system finds by each feature, [Q,count]."""
    return {name: found(gallery, system.vectors(gallery.faces, name), count) for name in features}


def overlaps_of_people(gallery: Gallery, lists_Qk: Mapping[str, Tensor], queries: int) -> Tensor:
    """TRSI-IoU of the first queries and all pairs of features, [queries * pairs]."""
    people = {name: gallery.people[found_Qk[:queries]] for name, found_Qk in lists_Qk.items()}
    return torch.cat([trsi_iou(people[one], people[other]) for one, other in combinations(people, 2)])


@dataclass(frozen=True)
class Kept:
    """How many of the results by whole vectors are among as many, and among five times as many, by stored ones."""

    same: float
    among_five_times: float


def kept_by_storage(gallery: Gallery, system: System, feature: str, count: int) -> Kept:
    """Of a system that is the catalogue's own."""
    catalogue = system.catalogue
    vectors_NC = system.vectors(gallery.faces, feature)
    axes_1dC = catalogue.axes[catalogue.spaces.index(feature)][None]
    stored_Nd = reduced(vectors_NC[:, None], axes_1dC)[:, 0]
    wanted_Qk, more_Qk = found(gallery, vectors_NC, count), found(gallery, stored_Nd, 5 * count)
    is_there = wanted_Qk[:, :, None] == more_Qk[:, None]
    return Kept(float(is_there[:, :, :count].any(2).double().mean()), float(is_there.any(2).double().mean()))

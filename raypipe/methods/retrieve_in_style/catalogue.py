"""What is stored of this method: clusters of a generator's activations, the features they show, axes to search along.

K clusters of width c, C style channels, S spaces, d numbers stored of a face for each.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from raypipe import storage
from raypipe.backbones.stylegan2 import Generator
from raypipe.config import as_dict, read_config
from raypipe.errors import BadWeights, ModelMismatch, WrongUsage
from raypipe.methods.retrieve_in_style.config import Variant
from raypipe.methods.retrieve_in_style.membership import HAIR, POSE
from raypipe.methods.retrieve_in_style.spaces import StyleStatistics
from raypipe.methods.retrieve_in_style.styles import layout_of
from raypipe.weights import Part, file_of

KIND = "retrieve_in_style"

SEARCHABLE = ("eyes", "nose", "mouth", HAIR, POSE)
"""What becomes a space, where a catalogue has it."""


@dataclass(frozen=True)
class Grounds:
    """What a catalogue is of, and valid for nothing else.

    Attributes:
        generator_sha256: of the generator's weights file.
        lengths: style channels of its layers.
        entry: the layer whose input is clustered.
    """

    generator_sha256: str
    lengths: tuple[int, ...]
    entry: int


@dataclass(frozen=True, eq=False)
class Catalogue:
    """All tensors are float32.

    Attributes:
        features: clusters by feature, in the order of q's rows; the other clusters are nobody's.
        iou: how well features fitted the parts of made-up faces; empty where that was not measured.
        centres: [K,c], of length 1.
        statistics: of the styles, [C].
        axes: [S,d,C], orthonormal rows, in the order of ``spaces``.
    """

    grounds: Grounds
    variant: Variant
    features: Mapping[str, tuple[int, ...]]
    iou: Mapping[str, float]
    centres: Tensor
    statistics: StyleStatistics
    axes: Tensor

    @property
    def spaces(self) -> tuple[str, ...]:
        """What can be searched, in the order of ``axes``."""
        return spaces_of(self.features)

    def to(self, device: str | torch.device) -> Catalogue:
        """The same on another device."""
        statistics = StyleStatistics(self.statistics.mean.to(device), self.statistics.std.to(device))
        return dataclasses.replace(
            self, centres=self.centres.to(device), statistics=statistics, axes=self.axes.to(device)
        )


def spaces_of(features: Mapping[str, tuple[int, ...]]) -> tuple[str, ...]:
    """Those of ``SEARCHABLE`` that these features give."""
    return tuple(name for name in SEARCHABLE if name in transferable(features))


def transferable(features: Mapping[str, tuple[int, ...]]) -> tuple[str, ...]:
    """What can be transferred: the features, and pose where there is hair."""
    return (*features, POSE) if HAIR in features else tuple(features)


def check_features(features: Mapping[str, tuple[int, ...]], clusters: int) -> None:
    """Raises:
    WrongUsage: no clusters for a feature, one that there is not, one for two features, or one named pose.
    """
    problems = [f"{name} has no clusters" for name, some in features.items() if not some]
    if POSE in features:
        problems.append(f"{POSE} is what {HAIR} leaves of the first layers, it has no clusters of its own")
    named = [cluster for some in features.values() for cluster in some]
    if twice := sorted({cluster for cluster in named if named.count(cluster) > 1}):
        problems.append(f"clusters {', '.join(map(str, twice))} are given more than once")
    if unknown := sorted({cluster for cluster in named if not 0 <= cluster < clusters}):
        problems.append(f"clusters {', '.join(map(str, unknown))} are not from 0 to {clusters - 1}")
    if not features:
        problems.append("there are none")
    if problems:
        raise WrongUsage(f"features: {'; '.join(problems)}")


def grounds_of(part: Part, generator: Generator, entry: int) -> Grounds:
    """Of a generator and the part that it was loaded from."""
    return Grounds(storage.sha256(file_of(part)), layout_of(generator.config).lengths, entry)


def require_generator(catalogue: Catalogue, part: Part, generator: Generator) -> None:
    """Raises:
    ModelMismatch: the catalogue is another generator's.
    """
    wanted, found = catalogue.grounds, grounds_of(part, generator, catalogue.grounds.entry)
    if len(wanted.lengths) != len(found.lengths):
        raise ModelMismatch(
            f"a catalogue of a generator with {len(wanted.lengths)} style layers; "
            f"this model's generator has {len(found.lengths)}"
        )
    if wanted != found:
        raise ModelMismatch(
            f"a catalogue of generator {wanted.generator_sha256[:12]}; this model has {found.generator_sha256[:12]}: "
            "make one for it with raypipe train retrieve_in_style"
        )


def catalogue_part(catalogue: Catalogue) -> Part:
    """What a bundle stores. ``features`` of its config is what to copy and edit.

    Whose each cluster is stands among the tensors, too: axes and indexes are of these features and of no others.
    """
    config: dict[str, Any] = {
        **as_dict(catalogue.grounds),
        "variant": as_dict(catalogue.variant),
        "features": {name: list(clusters) for name, clusters in catalogue.features.items()},
        "iou": {name: round(value, 4) for name, value in catalogue.iou.items()},
    }
    owners_K = _owners(catalogue.features, len(catalogue.centres))
    return Part(KIND, config, {**_tensors(catalogue), _OWNERS: owners_K})


def read_catalogue(part: Part) -> Catalogue:
    """What ``catalogue_part`` wrote.

    Raises:
        BadWeights: another kind, missing or misshapen tensors, or numbers that cannot be meant.
    """
    if part.kind != KIND:
        raise BadWeights(f"a part of kind {part.kind!r} is not {KIND!r}")
    try:
        config = part.config
        tensors = {name: part.tensors[name].float() for name in _TENSORS}
        catalogue = Catalogue(
            grounds=read_config(Grounds, {name: config[name] for name in ("generator_sha256", "lengths", "entry")}),
            variant=read_config(Variant, config["variant"]),
            features={str(name): tuple(int(c) for c in some) for name, some in config["features"].items()},
            iou={str(name): float(value) for name, value in config["iou"].items()},
            centres=tensors["centres"],
            statistics=StyleStatistics(tensors["mean"], tensors["std"]),
            axes=tensors["axes"],
        )
        check_features(catalogue.features, len(catalogue.centres))
        owners_K = part.tensors[_OWNERS].cpu()
    except (KeyError, TypeError, ValueError, AttributeError, WrongUsage) as error:
        raise BadWeights(f"{KIND}: not this method's catalogue: {error}") from error
    if not torch.equal(owners_K, _owners(catalogue.features, len(catalogue.centres))):
        raise BadWeights(f"{KIND}: features edited in place: give them to raypipe train {KIND} with steps=0 instead")
    if problems := _problems(catalogue):
        raise BadWeights(f"{KIND}: {'; '.join(problems)}")
    return catalogue


_TENSORS, _OWNERS = ("centres", "mean", "std", "axes"), "owners"


def _owners(features: Mapping[str, tuple[int, ...]], clusters: int) -> Tensor:
    """The number of every cluster's feature, [K] int64; -1: nobody's."""
    owners_K = torch.full((clusters,), -1)
    for number, some in enumerate(features.values()):
        owners_K[list(some)] = number
    return owners_K


def _tensors(catalogue: Catalogue) -> dict[str, Tensor]:
    statistics = catalogue.statistics
    return dict(zip(_TENSORS, (catalogue.centres, statistics.mean, statistics.std, catalogue.axes), strict=True))


def _problems(catalogue: Catalogue) -> list[str]:
    channels, spaces = sum(catalogue.grounds.lengths), len(catalogue.spaces)
    tensors = _tensors(catalogue)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    axes_width = shapes["axes"][1] if len(shapes["axes"]) == 3 else 0
    entry = catalogue.grounds.entry
    if not 0 <= entry < len(catalogue.grounds.lengths):
        return [f"layer {entry} is not one of {len(catalogue.grounds.lengths)}"]
    wanted = {
        "centres": (len(catalogue.centres), catalogue.grounds.lengths[entry]),
        "mean": (channels,),
        "std": (channels,),
        "axes": (spaces, max(1, axes_width), channels),
    }
    wrong = [f"{n} is {list(shapes[n])} instead of {list(wanted[n])}" for n in wanted if shapes[n] != wanted[n]]
    if not wrong and not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
        wrong.append("numbers that are not finite")
    if not wrong and bool((catalogue.statistics.std < 0).any()):
        wrong.append("a deviation below 0")
    return wrong

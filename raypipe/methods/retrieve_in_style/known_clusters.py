"""Clusters that are there already: a model's own catalogue, or centres that the authors' code fitted."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from raypipe.backbones.stylegan2 import Generator
from raypipe.errors import BadWeights, ModelMismatch, WrongUsage
from raypipe.methods.retrieve_in_style.catalogue import read_catalogue, require_generator
from raypipe.weights import Part

CATALOGUE_PART, CENTRES_PART = "retrieve_in_style", "cluster_centres"

CENTRES_KIND = "cluster_centres"

_ARRAY = "cluster_centers"


@dataclass(frozen=True, eq=False)
class KnownClusters:
    """``centres`` [K,c] of length 1, of squared activations or of activations as they are; ``features`` may be empty.
    ``entry``: the layer whose input was clustered; None: it is not told."""

    centres: Tensor
    features: Mapping[str, tuple[int, ...]]
    squared: bool
    entry: int | None


def known_clusters(parts: Mapping[str, Part], generator: Generator) -> KnownClusters:
    """Of the parts of the models that were given; the model's own catalogue goes first.

    Raises:
        WrongUsage: there are none.
        ModelMismatch: a catalogue of another generator.
        BadWeights: a part that is not what its name says.
    """
    if CATALOGUE_PART in parts:
        own = read_catalogue(parts[CATALOGUE_PART])
        require_generator(own, parts["generator"], generator)
        return KnownClusters(own.centres, own.features, own.variant.squared, own.grounds.entry)
    if CENTRES_PART in parts:
        return _read_centres(parts[CENTRES_PART])
    raise WrongUsage("steps = 0 keeps the clusters of a model's catalogue, and no model given has one")


def centres_part(content: bytes) -> Part:
    """Of a ``.npz`` file with the array ``cluster_centers`` [K,c]: what the authors' code keeps of its k-means, which
    is over squared activations.

    Raises:
        BadWeights: not such a file, or centres that have no direction.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            centres = torch.from_numpy(np.array(arrays[_ARRAY], np.float32))
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise BadWeights(f"not a .npz file with {_ARRAY}: {error}") from error
    part = Part(CENTRES_KIND, {"squared": True}, {"centres": F.normalize(centres, dim=-1)})
    _read_centres(part)
    return part


def require_fit(known: KnownClusters, *, width: int, entry: int, squared: bool) -> None:
    """Raises:
    ModelMismatch: the clusters are of another layer, or of what is not to be clustered.
    """
    if known.squared != squared:
        raise ModelMismatch(f"the clusters are of a catalogue with variant.squared = {str(known.squared).lower()}")
    if known.entry not in (None, entry):
        raise ModelMismatch("the clusters are of another layer: leave out the resolution, or give the catalogue's own")
    if known.centres.shape[1] != width:
        raise ModelMismatch(f"the centres have {known.centres.shape[1]} numbers; the layer has {width} channels")


def _read_centres(part: Part) -> KnownClusters:
    centres = part.tensors.get("centres")
    if part.kind != CENTRES_KIND or centres is None or centres.ndim != 2 or len(centres) < 2:
        raise BadWeights(f"{CENTRES_KIND}: not centres [K,c] of at least two clusters")
    lengths = centres.float().norm(dim=1)
    if not bool(torch.isfinite(centres).all()) or bool((lengths - 1).abs().max() > 1e-3):
        raise BadWeights(f"{CENTRES_KIND}: a centre without a direction, or not of length 1")
    return KnownClusters(centres.float(), {}, bool(part.config.get("squared", True)), None)

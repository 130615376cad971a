"""A generator seen through a catalogue: what each face's style channels do for which feature.

N faces, F features, C style channels, G x G cells of the map that is clustered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from raypipe.backbones.stylegan2 import Generator, Trace
from raypipe.methods.retrieve_in_style.catalogue import spaces_of, transferable
from raypipe.methods.retrieve_in_style.config import Variant
from raypipe.methods.retrieve_in_style.contribution import (
    cluster_labels,
    clustered_activations,
    contributions,
    feature_masks,
)
from raypipe.methods.retrieve_in_style.membership import membership, pair_membership, with_pose
from raypipe.methods.retrieve_in_style.spaces import StyleStatistics, feature_vectors
from raypipe.methods.retrieve_in_style.styles import layout_of, picture_of, styles_of, trace_of

_NUMBERS_AT_ONCE = {"cpu": 2**28, "cuda": 2**31}
"""In the feature maps of faces that are looked at together: 1 GiB, and 8 GiB on a GPU."""


@dataclass(frozen=True, eq=False)
class FacesSeen:
    """``styles`` [N,C], ``contributions`` M [N,F,C] and ``is_there`` [N,F]: whether any cell shows the feature."""

    styles: Tensor
    contributions: Tensor
    is_there: Tensor


@dataclass(frozen=True, eq=False)
class Activations:
    """``pictures`` [N,3,s,s] and what is clustered, ``cells`` [N,G,G,c] of length 1."""

    pictures: Tensor
    cells: Tensor


class GeneratorView:
    """A generator's styles and feature maps. Everything in float32, whatever autocast says, and of as many faces at a
    time as have room. ``entry``: the layer whose input is clustered."""

    def __init__(self, generator: Generator, *, entry: int, squared: bool) -> None:
        self.layout = layout_of(generator.config)
        self._synthesis, self._entry, self._squared = generator.synthesis, entry, squared
        table = generator.config.channel_table
        most = _NUMBERS_AT_ONCE.get(generator.w_avg.device.type, _NUMBERS_AT_ONCE["cpu"])
        self.rows_at_once = max(1, most // sum(6 * channels * size**2 for size, channels in table.items()))

    def batches(self, faces: Tensor) -> list[Tensor]:
        """So many at a time as have room."""
        return [faces[first : first + self.rows_at_once] for first in range(0, len(faces), self.rows_at_once)]

    def styles(self, w_plus_NLD: Tensor) -> Tensor:
        """[N,C]."""
        return styles_of(self._synthesis, w_plus_NLD.float())

    def picture(self, styles_NC: Tensor) -> Tensor:
        """[N,3,s,s]."""
        with torch.autocast(styles_NC.device.type, enabled=False):
            return torch.cat([picture_of(self._synthesis, self.layout, s) for s in self.batches(styles_NC)])

    def activations(self, w_plus_NLD: Tensor) -> Activations:
        """Of all the faces at once: the caller gives no more than ``rows_at_once``."""
        picture, trace = self.trace(self.styles(w_plus_NLD))
        return Activations(picture, self.cells(trace))

    def trace(self, styles_NC: Tensor) -> tuple[Tensor, Trace]:
        """Pictures and feature maps; as many at once as ``activations``."""
        with torch.autocast(styles_NC.device.type, enabled=False):
            return trace_of(self._synthesis, self.layout, styles_NC)

    def cells(self, trace: Trace) -> Tensor:
        """[N,G,G,c]."""
        return clustered_activations(trace, self._entry, squared=self._squared)


class Lens:
    """``centres`` [K,c] of the clusters, and which clusters are whose: ``features``."""

    def __init__(
        self, view: GeneratorView, centres_Kc: Tensor, features: Mapping[str, tuple[int, ...]], variant: Variant
    ) -> None:
        self._view, self._centres_Kc, self._features, self._variant = view, centres_Kc, features, variant

    def see(self, styles_NC: Tensor) -> FacesSeen:
        """M of every face."""
        seen = [self._see(styles) for styles in self._view.batches(styles_NC)]
        return FacesSeen(styles_NC, torch.cat([m for m, _ in seen]), torch.cat([is_there for _, is_there in seen]))

    def vectors(self, styles_NC: Tensor, statistics: StyleStatistics) -> Tensor:
        """Equation 7, [N,S,C]: v_k of every face for each space."""
        layout, variant = self._view.layout, self._variant
        q_NFC = with_pose(membership(self.see(styles_NC).contributions, layout, variant), tuple(self._features), layout)
        names = transferable(self._features)
        q_NSC = q_NFC[:, [names.index(space) for space in spaces_of(self._features)]]
        used = statistics if variant.by_channel else statistics.by_layer(layout)
        return feature_vectors(q_NSC, used.normalised(styles_NC))

    def pair(self, feature: str, source: FacesSeen, reference: FacesSeen) -> Tensor:
        """q of a feature for every source with its reference, [N,C]; one reference may be for all sources."""
        layout, variant = self._view.layout, self._variant
        source_NFC = source.contributions
        reference_NFC = reference.contributions.expand_as(source_NFC)
        q_NFC = with_pose(pair_membership(source_NFC, reference_NFC, layout, variant), tuple(self._features), layout)
        return q_NFC[:, transferable(self._features).index(feature)]

    def _see(self, styles_NC: Tensor) -> tuple[Tensor, Tensor]:
        _, trace = self._view.trace(styles_NC)
        masks_NFGG = feature_masks(cluster_labels(self._view.cells(trace), self._centres_Kc), self._features)
        found_NFC = contributions(trace, masks_NFGG, instance_norm=self._variant.instance_norm)
        return found_NFC, masks_NFGG.flatten(2).any(2)

"""How a catalogue is made: clusters of what a generator makes, then what a collection looks like through them.

A step is one batch of generated pictures; several steps are a pass of k-means. The data are codes: of them ``finish``
takes the statistics that styles are normalised with, and the axes of the spaces.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from raypipe.backbones.psp import load_encoder
from raypipe.backbones.stylegan2 import Generator, load_generator
from raypipe.blocks.randomness import Draws
from raypipe.contract import Columns, Recipe, Share, Site
from raypipe.errors import ModelMismatch, WrongUsage
from raypipe.methods.retrieve_in_style.catalogue import (
    Catalogue,
    catalogue_part,
    check_features,
    grounds_of,
)
from raypipe.methods.retrieve_in_style.clusters import PassOverVectors, first_centres
from raypipe.methods.retrieve_in_style.collection import CollectionMeter
from raypipe.methods.retrieve_in_style.config import RetrieveInStyleConfig
from raypipe.methods.retrieve_in_style.contribution import cluster_labels
from raypipe.methods.retrieve_in_style.known_clusters import KnownClusters, known_clusters, require_fit
from raypipe.methods.retrieve_in_style.lens import GeneratorView, Lens
from raypipe.methods.retrieve_in_style.made_up import Fit, fitted, measured, overlaps_with_parts
from raypipe.methods.retrieve_in_style.spaces import fit_axes
from raypipe.methods.retrieve_in_style.styles import layer_after
from raypipe.weights import Part

PART = "retrieve_in_style"

SEED_CELLS = 20_000
"""Of how many of the first batch's cells, at most, the first centres are chosen."""

EVALUATED_ROWS = 64

SHOWN_SIZE, DIMMED = 128, 0.2
"""Side of the pictures in ``samples`` at most, and what is left of the light outside the cluster."""


def columns(config: RetrieveInStyleConfig) -> tuple[str, ...]:
    """What each batch must hold."""
    return ("w_plus",)


def build_recipe(config: RetrieveInStyleConfig, site: Site) -> Recipe:
    """The recipe, before its first step.

    Raises:
        WrongUsage: no generator among the models, one that needs labels or has no such resolution; nothing that says
            which clusters are whose; features of clusters that there are not.
        ModelMismatch: codes of another shape than the generator's; without steps, a catalogue of another generator.
    """
    if "generator" not in site.parts:
        raise WrongUsage("a catalogue is of a generator: give a model that has one with --model")
    generator = load_generator(site.parts["generator"], site.device)
    if generator.config.label_dim:
        raise WrongUsage("this generator needs labels: a catalogue is of pictures that are made without any")
    shape = (generator.num_layers, generator.config.style_dim)
    if site.data.code_shape != shape:
        raise ModelMismatch(f"the data's codes are of {site.data.code_shape}, the generator's of {shape}")
    return CatalogueRecipe(config, site, generator)


def default_resolution(size: int) -> int:
    """Of the feature map that is clustered, for pictures of a size: fine enough for an eye, too coarse for edges."""
    return max(4, min(32, size // 4))


class CatalogueRecipe:
    """Spherical k-means over all cells of the same generated pictures in every pass."""

    def __init__(self, config: RetrieveInStyleConfig, site: Site, generator: Generator) -> None:
        self._config, self._site, self._generator = config, site, generator
        self._known = None if config.steps else known_clusters(site.parts, generator)
        entry = _entry(config, generator, self._known)
        self._grounds = grounds_of(site.parts["generator"], generator, entry)
        self._view = GeneratorView(generator, entry=entry, squared=config.variant.squared)
        self._steps_a_pass = -(-config.pictures // config.batch)
        centres_Kc = self._known.centres if self._known else torch.zeros(0, self._grounds.lengths[entry])
        if self._known:
            require_fit(self._known, width=self._grounds.lengths[entry], entry=entry, squared=config.variant.squared)
        self._given = config.features or (self._known.features if self._known else {})
        if self._given:
            check_features(self._given, len(centres_Kc) or config.clusters)
        elif "encoder" not in site.parts:
            raise WrongUsage("made-up faces tell whose clusters are, which takes an encoder: give one, or set features")
        self._pass = PassOverVectors(centres_Kc.to(site.device))
        self._step = 0
        self._catalogue: Catalogue | None = None

    @torch.no_grad()
    def step(self, batch: Columns) -> dict[str, Tensor]:
        """A part of a pass; of the batch only its length matters. ``similarity``: mean cosine of this worker's cells
        with their cluster's centre."""
        if self._step == 0:
            self._pass = PassOverVectors(self._seeds())
        similarity = self._pass.add(
            self._cells(self._step % self._steps_a_pass, len(batch["w_plus"]), self._site.share)
        )
        self._step += 1
        if self._step % self._steps_a_pass == 0:
            self._pass = PassOverVectors(self._pass.next_centres(self._site.share))
        self._catalogue = None
        return {"similarity": similarity}

    @torch.no_grad()
    def finish(self, batches: Iterable[Columns]) -> None:
        """Say which clusters are whose, and measure the data's styles through them."""
        config, site, centres_Kc = self._config, self._site, self._pass.centres
        meter = CollectionMeter(self._view, site.data, keep=config.axes_faces, share=site.share, device=site.device)
        for batch in batches:
            meter.add(batch["w_plus"])
        statistics, codes_NLD = meter.over_all_workers()
        fit = self._fit(centres_Kc)
        lens = Lens(self._view, centres_Kc, fit.features, config.variant)
        vectors = [lens.vectors(self._view.styles(some), statistics) for some in self._view.batches(codes_NLD)]
        axes_SdC = fit_axes(torch.cat(vectors), config.width)
        self._catalogue = Catalogue(
            self._grounds, config.variant, fit.features, fit.iou, centres_Kc, statistics, axes_SdC.to(site.device)
        )

    @torch.no_grad()
    def evaluate(self, batches: Iterable[Columns]) -> dict[str, float]:
        """``distance``: 1 - the mean cosine of the cells of some held-out faces with their cluster's centre."""
        codes = next(iter(batches))["w_plus"][:EVALUATED_ROWS]
        cells = torch.cat([self._view.activations(some).cells for some in self._view.batches(codes)])
        return {"distance": 1 - float((cells @ self._pass.centres.T).amax(3).mean())}

    @torch.no_grad()
    def samples(self, batch: Columns) -> Tensor:
        """A row for each cluster, in their order: held-out faces as the generator makes them, dark where the cluster is
        not. What to look at before clusters are given to other features."""
        seen = [self._view.activations(codes) for codes in self._view.batches(batch["w_plus"])]
        pictures = torch.cat([some.pictures for some in seen]).clamp(-1, 1)
        labels = torch.cat([cluster_labels(some.cells, self._pass.centres) for some in seen])
        return cluster_pictures(pictures, labels, len(self._pass.centres)).cpu()

    def state_dict(self) -> dict[str, Any]:
        return {"step": self._step, "centres": self._pass.centres, "sums": self._pass.sums}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._step = int(state["step"])
        self._pass = PassOverVectors(state["centres"].to(self._site.device))
        self._pass.sums = state["sums"].to(self._site.device)
        self._catalogue = None

    def export(self) -> dict[str, Part]:
        """The catalogue.

        Raises:
            WrongUsage: ``finish`` has not been called since the last step.
        """
        if self._catalogue is None:
            raise WrongUsage("the data's styles are not measured: finish() comes before export()")
        return {PART: catalogue_part(self._catalogue)}

    def _seeds(self) -> Tensor:
        """The first centres: every worker chooses the same from the whole of the first batch."""
        cells_Vc = self._cells(0, self._config.batch, Share())
        some_Vc = cells_Vc[:: -(-len(cells_Vc) // SEED_CELLS)]
        return first_centres(some_Vc, self._config.clusters, torch.Generator().manual_seed(self._site.seed))

    def _cells(self, batch: int, rows: int, share: Share) -> Tensor:
        """[V,c] of a worker's share of one of a pass's batches."""
        z = Draws(self._site.seed, batch, share, self._site.device).normal(rows, self._generator.config.z_dim)
        found = []
        for some in self._view.batches(z):
            codes = self._generator.broadcast(self._generator.mapping(some))
            found.append(self._view.activations(self._generator.truncate(codes, self._config.truncation)).cells)
        return torch.cat(found).flatten(0, 2)

    def _fit(self, centres_Kc: Tensor) -> Fit:
        """Which clusters are whose: as the settings say, as it was, or as made-up faces suggest."""
        if "encoder" not in self._site.parts:
            return Fit(self._given, {})
        encoder = load_encoder(self._site.parts["encoder"], self._site.device)
        found = overlaps_with_parts(self._view, encoder, centres_Kc, faces=self._config.assignment_faces)
        return Fit(self._given, measured(found, self._given)) if self._given else fitted(found)


def _entry(config: RetrieveInStyleConfig, generator: Generator, known: KnownClusters | None) -> int:
    """The layer whose input is clustered."""
    if known and known.entry is not None and not config.resolution:
        return known.entry
    return layer_after(generator.config, config.resolution or default_resolution(generator.config.size))


def cluster_pictures(pictures_N3HW: Tensor, labels_NGG: Tensor, clusters: int) -> Tensor:
    """[K,N,3,s,s]: every picture once for each cluster, dark where the cluster is not."""
    size = min(SHOWN_SIZE, pictures_N3HW.shape[-1])
    shown = F.interpolate(pictures_N3HW, (size, size), mode="bilinear", antialias=True, align_corners=False)
    is_in_KNGG = torch.stack([labels_NGG == cluster for cluster in range(clusters)])
    light = F.interpolate(is_in_KNGG.float(), (size, size), mode="nearest").clamp_min(DIMMED)[:, :, None]
    return (shown + 1) * light - 1

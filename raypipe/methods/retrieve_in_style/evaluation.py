"""The evaluation of paper 2: tables 1 and 2, figures 7 to 10 and 12, and what made-up faces let one measure beside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from raypipe.backbones.attributes import load_attributes
from raypipe.backbones.psp import load_encoder
from raypipe.backbones.stylegan2 import load_generator
from raypipe.config import Range, check_ranges
from raypipe.contract import Faces
from raypipe.errors import WrongUsage
from raypipe.methods.retrieve_in_style.catalogue import Catalogue, read_catalogue, require_generator, transferable
from raypipe.methods.retrieve_in_style.evaluation_fidelity import fidelity
from raypipe.methods.retrieve_in_style.evaluation_report import Results, report_of
from raypipe.methods.retrieve_in_style.evaluation_search import (
    Gallery,
    gallery_of,
    kept_by_storage,
    lists,
    overlaps_of_people,
    searched_features,
)
from raypipe.methods.retrieve_in_style.evaluation_sheets import sheets
from raypipe.methods.retrieve_in_style.evaluation_systems import EIS, RIS, RIS_CODE, System, systems_of
from raypipe.methods.retrieve_in_style.evaluation_transfers import changes, draw_pairs, strips
from raypipe.methods.retrieve_in_style.lens import FacesSeen, GeneratorView, Lens
from raypipe.methods.retrieve_in_style.membership import POSE
from raypipe.methods.retrieve_in_style.submembership import intersection_ratio
from raypipe.metrics.attribute_matching import ATTRIBUTES
from raypipe.report import Report
from raypipe.weights import Part

EVALUATION_NEEDS = ("w_plus", "labels", "identity", "image")

SHOWN_SIZE = 128


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """What the paper fixes has its value as default.

    Attributes:
        queries: different test faces; all test faces are the gallery.
        results: of a query, for the attribute matching score.
        people_queries, people_results: for TRSI-IoU; the paper does not say how many results.
        eis_faces: training faces that Editing in Style's contributions are averaged over.
        eis_least, eis_share, eis_coarse_share: rho, and its budgets as shares of the channels: those of its public
            demonstration are 0.1, and 50 of 9088 and 5 of 2048 channels.
        strength: alpha of the transfers whose FID is taken.
        pairs: made-up faces that get features of as many others.
        groups: into how many clusters faces are divided by what their channels contribute to a feature.
        top_share: of all channels, how many are compared between these clusters; the paper's 100 of 9088.
        sheets: queries whose results are shown, a page each.
    """

    queries: int = 1000
    results: int = 5
    people_queries: int = 100
    people_results: int = 20
    eis_faces: int = 200
    eis_least: float = 0.1
    eis_share: float = 50 / 9088
    eis_coarse_share: float = 5 / 2048
    strength: float = 1.3
    pairs: int = 64
    groups: tuple[int, ...] = (2, 5, 10, 20, 50, 100)
    top_share: float = 100 / 9088
    sheets: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        counts = ("queries", "results", "people_queries", "people_results", "eis_faces", "pairs")
        check_ranges(self, dict.fromkeys(counts, Range(least=1)) | {"sheets": Range(least=0)})

    @property
    def longest(self) -> int:
        """How many results are looked for."""
        return max(self.results, self.people_results)


def evaluate(config: EvaluationConfig, faces: Faces, parts: Mapping[str, Part], device: torch.device) -> Report:
    """Search among ``faces.test``; ``faces.train`` gives the baseline its contributions.

    Raises:
        WrongUsage: no catalogue among the models, or one without any of the paper's features; too few test faces.
        ModelMismatch: a catalogue of another generator.
    """
    if missing := [name for name in ("retrieve_in_style", "generator", "encoder") if name not in parts]:
        raise WrongUsage(f"no {', '.join(missing)} among the models: make a catalogue with raypipe train first")
    with torch.no_grad():
        return report_of(measure(config, faces, parts, device))


def measure(config: EvaluationConfig, faces: Faces, parts: Mapping[str, Part], device: torch.device) -> Results:
    """Everything that the report is made of."""
    model = _opened(parts, device)
    catalogue, view = model.catalogue, model.view
    gallery = _gallery(config, faces, model.see(faces.test["w_plus"]))
    features = searched_features(gallery, tuple(catalogue.features))
    if len(features) < 2:
        raise WrongUsage(
            f"two of {', '.join(ATTRIBUTES)} are compared, and the catalogue has {', '.join(catalogue.features)}: "
            "more clusters would tell more of them apart"
        )
    systems = _systems(config, catalogue, view, model.see(faces.train["w_plus"][: config.eis_faces]))
    transferring = [system for system in systems if system.name in (RIS, RIS_CODE, EIS)]
    found = {system.name: lists(gallery, system, features, config.longest) for system in systems}
    pairs = draw_pairs(view, model.lens, load_encoder(parts["encoder"], device), pairs=config.pairs)
    network, images = _network(parts, device), faces.test["image"]
    shown = [name for name in transferable(catalogue.features) if name in (*features, POSE)]
    side = min(SHOWN_SIZE, pairs.pictures.shape[-1])
    return Results(
        features=features,
        people_results=config.people_results,
        stored=catalogue.axes.shape[1],
        scores={name: _scores(gallery, some, config.results) for name, some in found.items()},
        chance={name: gallery.chance(name) for name in features},
        same_person={
            name: {feature: gallery.of_the_same_person(some[feature][:, : config.results]) for feature in features}
            for name, some in found.items()
        },
        people={name: _people(config, gallery, some) for name, some in found.items()},
        changes={system.name: changes(view, system, pairs, features) for system in transferring},
        fid=fidelity(view, transferring, gallery.faces, images, network, features=features, strength=config.strength)
        if network
        else {},
        kept={name: kept_by_storage(gallery, systems[0], name, config.people_results) for name in features},
        ratios=_ratios(config, gallery, catalogue, features),
        eis_channels=_channels(systems, catalogue),
        strips=strips(view, systems[0], pairs, shown, side=side),
        sheets=sheets(gallery, images, [s for s in systems if s.name in (RIS, EIS)], shown, count=config.sheets),
    )


@dataclass(frozen=True, eq=False)
class _Model:
    """A generator and what it is looked at with."""

    catalogue: Catalogue
    view: GeneratorView
    lens: Lens
    device: torch.device

    def see(self, w_plus_NLD: Tensor) -> FacesSeen:
        return self.lens.see(self.view.styles(w_plus_NLD.to(self.device)))


def _opened(parts: Mapping[str, Part], device: torch.device) -> _Model:
    catalogue = read_catalogue(parts["retrieve_in_style"]).to(device)
    generator = load_generator(parts["generator"], device)
    require_generator(catalogue, parts["generator"], generator)
    view = GeneratorView(generator, entry=catalogue.grounds.entry, squared=catalogue.variant.squared)
    return _Model(catalogue, view, Lens(view, catalogue.centres, catalogue.features, catalogue.variant), device)


def _network(parts: Mapping[str, Part], device: torch.device) -> Callable[[Tensor], Tensor] | None:
    """Pictures to the features that are compared; None where no model has an attribute network."""
    return load_attributes(parts["attributes"], device).features if "attributes" in parts else None


def _gallery(config: EvaluationConfig, faces: Faces, seen: FacesSeen) -> Gallery:
    if len(seen.styles) <= 5 * config.people_results:
        raise WrongUsage(f"{len(seen.styles)} test faces: more than {5 * config.people_results} faces are needed")
    return gallery_of(seen, faces.test, faces.attributes, queries=config.queries, seed=config.seed)


def _systems(config: EvaluationConfig, catalogue: Catalogue, view: GeneratorView, many: FacesSeen) -> list[System]:
    return systems_of(
        catalogue,
        view.layout,
        many,
        least=config.eis_least,
        share=config.eis_share,
        coarse_share=config.eis_coarse_share,
    )


def _scores(gallery: Gallery, found: Mapping[str, Tensor], results: int) -> dict[str, Tensor]:
    return {name: gallery.scores(name, found_Qk[:, :results]) for name, found_Qk in found.items()}


def _people(config: EvaluationConfig, gallery: Gallery, found: Mapping[str, Tensor]) -> Tensor:
    shortened = {name: found_Qk[:, : config.people_results] for name, found_Qk in found.items()}
    return overlaps_of_people(gallery, shortened, config.people_queries)


def _ratios(
    config: EvaluationConfig, gallery: Gallery, catalogue: Catalogue, features: Sequence[str]
) -> dict[str, dict[int, float]]:
    contributions = gallery.faces.contributions
    top = max(1, round(config.top_share * contributions.shape[2]))
    groups = [count for count in config.groups if count <= len(contributions)]
    row = tuple(catalogue.features).index
    return {
        name: {
            count: intersection_ratio(contributions[:, row(name)], clusters=count, top=top, seed=config.seed)
            for count in groups
        }
        for name in features
    }


def _channels(systems: Sequence[System], catalogue: Catalogue) -> dict[str, int]:
    """How many Editing in Style takes of each feature."""
    (fixed_FC,) = [system.fixed for system in systems if system.name == EIS]
    assert fixed_FC is not None
    return {name: int(row_C.sum()) for name, row_C in zip(catalogue.features, fixed_FC, strict=True)}

"""What transfers change, and where, on made-up faces whose parts are known. N pairs of faces, F features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from raypipe.backbones.psp import Encoder
from raypipe.faces import to_signed
from raypipe.methods.retrieve_in_style.assignment import FEATURES, feature_areas
from raypipe.methods.retrieve_in_style.evaluation_systems import System
from raypipe.methods.retrieve_in_style.lens import FacesSeen, GeneratorView, Lens
from raypipe.synthfaces import render, sample_factors

_SEED = 616_161


@dataclass(frozen=True, eq=False)
class Pairs:
    """Sources and references as the generator gives them back, ``areas`` [N,F,s,s] of both together, in [0,1], and the
    sources' ``pictures`` [N,3,s,s]."""

    sources: FacesSeen
    references: FacesSeen
    areas: Tensor
    pictures: Tensor


@dataclass(frozen=True)
class Change:
    """Mean absolute change of the pixels inside a feature's part of either face, and outside; of 2, black to white."""

    inside: float
    outside: float


def draw_pairs(view: GeneratorView, lens: Lens, encoder: Encoder, *, pairs: int) -> Pairs:
    """Made-up faces of different people, given back by the generator."""
    drawn = render(sample_factors(2 * pairs, _SEED, images_per_identity=1), encoder.input_size)
    device = encoder.latent_avg.device
    images = to_signed(torch.from_numpy(drawn.images)).to(device)
    codes = torch.cat([encoder(some) for some in view.batches(images)])
    styles = view.styles(codes)
    sources, references = lens.see(styles[:pairs]), lens.see(styles[pairs:])
    pictures = view.picture(sources.styles).clamp(-1, 1)
    areas = feature_areas(drawn.parts, FEATURES, pictures.shape[-1]).to(device)
    return Pairs(sources, references, torch.maximum(areas[:pairs], areas[pairs:]), pictures)


def changes(view: GeneratorView, system: System, pairs: Pairs, features: Sequence[str]) -> Mapping[str, Change]:
    """Of transfers of strength 1."""
    return {name: _change(view, system, pairs, name) for name in features}


def _change(view: GeneratorView, system: System, pairs: Pairs, feature: str) -> Change:
    styles_NC = system.transferred(pairs.sources, pairs.references, feature, 1.0)
    difference = (view.picture(styles_NC).clamp(-1, 1) - pairs.pictures).abs().mean(1)
    inside = pairs.areas[:, FEATURES.index(feature)]
    return Change(_mean(difference, inside), _mean(difference, 1 - inside))


def _mean(values: Tensor, weights: Tensor) -> float:
    return float((values * weights).sum() / weights.sum().clamp_min(1e-12))


def strips(view: GeneratorView, system: System, pairs: Pairs, features: Sequence[str], *, side: int) -> Tensor:
    """[features, columns, 3, side, side]: for the first pair, strengths from 0 to the paper's, then the reference."""
    one, other = _first(pairs.sources), _first(pairs.references)
    rows = []
    for name in features:
        made = [
            view.picture(system.transferred(one, other, name, strength)) for strength in (0.0, 0.33, 0.67, 1.0, 1.3)
        ]
        rows.append(torch.cat([*made, view.picture(other.styles)]))
    pictures = torch.stack(rows).clamp(-1, 1)
    shown = F.interpolate(pictures.flatten(0, 1), (side, side), mode="bilinear", antialias=True, align_corners=False)
    return shown.reshape(*pictures.shape[:3], side, side).cpu()


def _first(faces: FacesSeen) -> FacesSeen:
    return FacesSeen(faces.styles[:1], faces.contributions[:1], faces.is_there[:1])

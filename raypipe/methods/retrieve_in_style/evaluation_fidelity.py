"""Do pictures with transferred features still look like faces? FID beside that of the faces as the generator has them.

N faces; each gets one feature, the features in turn, of the face that is half of all faces farther on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from raypipe.faces import to_signed
from raypipe.methods.retrieve_in_style.evaluation_systems import System
from raypipe.methods.retrieve_in_style.lens import FacesSeen, GeneratorView
from raypipe.metrics.fid import fid

AS_THEY_ARE = "no transfer"

_PICTURES_AT_ONCE = 64


def fidelity(
    view: GeneratorView,
    systems: Sequence[System],
    faces: FacesSeen,
    images_NHW3: Tensor,
    network: Callable[[Tensor], Tensor],
    *,
    features: Sequence[str],
    strength: float,
) -> Mapping[str, float]:
    """FID to the faces' own pictures, uint8, by a network's features: of all systems, and without any transfer."""
    device = faces.styles.device

    def real() -> Iterator[Tensor]:
        return (to_signed(images.to(device)) for images in torch.split(images_NHW3, _PICTURES_AT_ONCE))

    made = {AS_THEY_ARE: fid(real(), _pictures(view, faces.styles), network)}
    for system in systems:
        styles_NC = mixed(system, faces, features, strength)
        made[system.name] = fid(real(), _pictures(view, styles_NC), network)
    return made


def mixed(system: System, faces: FacesSeen, features: Sequence[str], strength: float) -> Tensor:
    """Styles of all faces, each with one feature of another face, [N,C]."""
    partners = torch.arange(len(faces.styles)).roll(-(len(faces.styles) // 2))
    styles_NC = faces.styles.clone()
    for place, name in enumerate(features):
        rows = torch.arange(place, len(styles_NC), len(features))
        source, reference = _rows(faces, rows), _rows(faces, partners[rows])
        styles_NC[rows] = system.transferred(source, reference, name, strength)
    return styles_NC


def _pictures(view: GeneratorView, styles_NC: Tensor) -> Iterator[Tensor]:
    return (view.picture(styles).clamp(-1, 1) for styles in torch.split(styles_NC, _PICTURES_AT_ONCE))


def _rows(faces: FacesSeen, rows: Tensor) -> FacesSeen:
    return FacesSeen(faces.styles[rows], faces.contributions[rows], faces.is_there[rows])

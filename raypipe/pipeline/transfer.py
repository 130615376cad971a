"""A face with single features of other faces, or strips of it with more and more of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from raypipe.contract import Columns, FeatureTransfer, Method
from raypipe.errors import UnknownAttribute, WrongUsage
from raypipe.pipeline.edit import ID_MARK, Face, face_at
from raypipe.pipeline.encode.face_decoder import FaceConfig
from raypipe.pipeline.grid import grid_png
from raypipe.pipeline.loading import method_that
from raypipe.weights import open_bundle

WHOLE = 1.0


@dataclass(frozen=True, kw_only=True)
class TransferConfig:
    """What to transfer. ``source``: a picture, or an encoded dataset, of which ``image_id`` is a row.

    Attributes:
        like: FEATURE=FILE, or FEATURE=id:ID for a row of the dataset.
        strengths: FEATURE=NUMBER: 1 is the reference's feature, 0 the face's own, more than 1 exaggerates; what the
            method thinks best where not named.
        strip: how many strengths from 0 to these are drawn; 0 draws the result alone.
    """

    source: str
    like: tuple[str, ...]
    strengths: tuple[str, ...] = ()
    image_id: str = ""
    model: str = "small"
    method: str = ""
    strip: int = 0
    face: FaceConfig = field(default_factory=FaceConfig)


@dataclass(frozen=True, eq=False)
class _Transfer:
    """Everything that a picture takes. ``references`` and ``strengths`` by feature."""

    method: Method
    features: FeatureTransfer
    face: Face
    references: Mapping[str, Face]
    strengths: Mapping[str, float]


def transfer(config: TransferConfig, device: str) -> bytes:
    """The PNG of the face with the references' features; of a strip: the face as it is, then strengths from none to
    all, then the reference, a row for each feature and, of several, a last row for all together.

    Raises:
        WrongUsage: no picture or row there, a reference without a face, or a model with no method that transfers.
        UnknownAttribute: a feature that the method does not have.
        ModelMismatch: the dataset was encoded by another model.
    """
    bundle = open_bundle(config.model)
    method, features = method_that(_transferring, bundle, config.method, device)
    named = _references(config.like, features.features)
    strengths = dict.fromkeys(named, features.usual_strength) | _strengths(config.strengths, tuple(named))
    open_face = partial(face_at, dataset=config.source, config=config.face, method=method, bundle=bundle, device=device)
    face = open_face(f"{ID_MARK}{config.image_id}" if config.image_id else config.source)
    references = {name: open_face(where) for name, where in named.items()}
    work = _Transfer(method, features, face, references, strengths)
    if not config.strip:
        return grid_png(_render(work, tuple(references), WHOLE)[None])
    rows: list[tuple[str, ...]] = [(name,) for name in references]
    rows += [tuple(references)] if len(references) > 1 else []
    return grid_png(torch.stack([_strip(work, row, config.strip) for row in rows]))


def _transferring(method: Method) -> FeatureTransfer | None:
    return method if isinstance(method, FeatureTransfer) else None


def _references(texts: Sequence[str], features: tuple[str, ...]) -> dict[str, str]:
    """Feature -> a file, or a row's id with its mark."""
    named: dict[str, str] = {}
    for text in texts:
        name, separator, where = text.partition("=")
        if not (separator and name and where):
            raise WrongUsage(f"--like {text!r} is not of the form FEATURE=FILE or FEATURE=id:ID")
        if name not in features:
            raise UnknownAttribute(f"{name!r} cannot be transferred; this model's features: {', '.join(features)}")
        if name in named:
            raise WrongUsage(f"--like: {name!r} twice; one face gives it")
        named[name] = where
    if not named:
        raise WrongUsage(f"nothing to transfer: give --like FEATURE=FILE; features: {', '.join(features)}")
    return named


def _strengths(texts: Sequence[str], named: tuple[str, ...]) -> dict[str, float]:
    strengths: dict[str, float] = {}
    for text in texts:
        name, _, number = text.partition("=")
        if name not in named:
            raise WrongUsage(f"--strength {text!r}: there is no --like for it; there is one for: {', '.join(named)}")
        try:
            strengths[name] = float(number)
        except ValueError as error:
            raise WrongUsage(f"--strength {text!r} is not of the form FEATURE=NUMBER") from error
        if not math.isfinite(strengths[name]):
            raise WrongUsage(f"--strength {text!r}: the number must be finite")
    return strengths


def _strip(work: _Transfer, names: tuple[str, ...], count: int) -> Tensor:
    """[2 + count, 3, h, w]: the picture itself, strengths from none to all, and the (last) reference."""
    shares = torch.linspace(0, 1, count).tolist() if count > 1 else [WHOLE]
    made = [_render(work, names, share)[0] for share in shares]
    first, last = (_shown(face.picture, made[0].shape[-1]) for face in (work.face, work.references[names[-1]]))
    return torch.stack([first, *made, last])


def _shown(picture: Tensor, size: int) -> Tensor:
    """[3,size,size]."""
    return torch.nn.functional.interpolate(picture, (size, size), mode="bicubic", antialias=True)[0].clamp(-1, 1).cpu()


def _render(work: _Transfer, names: tuple[str, ...], share: float) -> Tensor:
    """[1,3,h,w] with a share of the strengths."""
    references: dict[str, Columns] = {name: work.references[name].columns for name in names}
    strengths = {name: share * work.strengths[name] for name in names}
    with torch.no_grad():
        changed = work.features.transfer(work.face.columns, references, strengths)
        return work.method.render(changed, work.face.picture).cpu()

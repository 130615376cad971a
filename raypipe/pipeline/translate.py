"""A face drawn anew as a member of a domain: by the label alone, in the style of another face, or in a drawn one."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import torch

from raypipe.contract import Method, Translator
from raypipe.pipeline.edit import ID_MARK, face_at
from raypipe.pipeline.encode.face_decoder import FaceConfig
from raypipe.pipeline.grid import grid_png
from raypipe.pipeline.loading import method_that
from raypipe.weights import open_bundle


@dataclass(frozen=True, kw_only=True)
class TranslateConfig:
    """What to translate. ``source``: a picture, or an encoded dataset, of which ``image_id`` is a row.

    Attributes:
        domain: what the face is to become.
        reference: whose style it is to have: a picture, or id:ID for a row of the dataset.
        seed: draws the style; with neither it is what the label alone gives.
    """

    source: str
    domain: str
    reference: str = ""
    seed: int | None = None
    image_id: str = ""
    model: str = "small"
    method: str = ""
    face: FaceConfig = field(default_factory=FaceConfig)


def translate(config: TranslateConfig, device: str) -> bytes:
    """The PNG of the face as a member of the domain.

    Raises:
        WrongUsage: no picture or row there, a model with no method that translates, a domain that it does not have, or
            a style that it cannot give.
        ModelMismatch: the dataset was encoded by another model.
    """
    bundle = open_bundle(config.model)
    method, translator = method_that(_translating, bundle, config.method, device)
    open_face = partial(face_at, dataset=config.source, config=config.face, method=method, bundle=bundle, device=device)
    face = open_face(f"{ID_MARK}{config.image_id}" if config.image_id else config.source)
    reference = open_face(config.reference).columns if config.reference else None
    with torch.no_grad():
        codes = translator.translate(face.columns, config.domain, reference=reference, seed=config.seed)
        return grid_png(method.render(codes, face.picture).cpu()[None])


def _translating(method: Method) -> Translator | None:
    return method if isinstance(method, Translator) else None

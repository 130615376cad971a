"""A face with other attributes, or strips of it with more and more of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow.compute as pc
import torch
from torch import Tensor

from raypipe import faces, storage
from raypipe.attributes import Edit, parse_edit
from raypipe.contract import Columns, Method
from raypipe.errors import WrongUsage
from raypipe.pipeline.encode.agreement import require_w_plus
from raypipe.pipeline.encode.dataset import PLAN, Dataset
from raypipe.pipeline.encode.face_decoder import FaceConfig, FaceDecoder
from raypipe.pipeline.grid import grid_png
from raypipe.pipeline.loading import method_that, picture_size, represent, shared_inputs
from raypipe.pipeline.reconstruct import original
from raypipe.weights import Bundle, open_bundle

ID_MARK = "id:"
"""What the id of a row begins with, where the path of a picture may stand as well."""


@dataclass(frozen=True, kw_only=True)
class EditConfig:
    """What to edit. ``source``: a picture, or an encoded dataset, of which ``image_id`` is a row.

    ``strip``: how many strengths from 0 to the whole edit are drawn; 0 draws the edited face alone.
    """

    source: str
    edits: tuple[str, ...]
    image_id: str = ""
    model: str = "small"
    method: str = ""
    strip: int = 0
    face: FaceConfig = field(default_factory=FaceConfig)


@dataclass(frozen=True)
class Face:
    """One face: its columns, and its picture [1,3,s,s] in [-1,1]."""

    columns: Columns
    picture: Tensor


def edit(config: EditConfig, device: str) -> bytes:
    """The PNG of the edited face; of a strip: the face as it is, then strengths from none to all, a row for each
    attribute and, of several, a last row for all together.

    Raises:
        WrongUsage: no picture or row there, or an edit that the method does not have.
        ModelMismatch: the dataset was encoded by another model.
    """
    bundle = open_bundle(config.model)
    method, attributes = method_that(lambda each: each.attributes or None, bundle, config.method, device)
    edits = [parse_edit(text, attributes) for text in config.edits]
    where = f"{ID_MARK}{config.image_id}" if config.image_id else config.source
    face = face_at(where, config.source, config.face, method, bundle, device)
    if not config.strip:
        return grid_png(_render(method, face, edits)[None])
    rows = [[single] for single in edits] + ([list(edits)] if len(edits) > 1 else [])
    return grid_png(torch.stack([_strip(method, face, row, config.strip) for row in rows]))


def face_at(where: str, dataset: str, config: FaceConfig, method: Method, bundle: Bundle, device: str) -> Face:
    """The face of a picture, or, where ``where`` is an id with its mark, of a row of the dataset.

    Raises:
        WrongUsage, ModelMismatch: as ``face_of_picture`` and ``face_of_dataset``.
    """
    if where.startswith(ID_MARK):
        return face_of_dataset(dataset, where.removeprefix(ID_MARK), method, bundle, device)
    return face_of_picture(where, config, method, bundle, device)


def face_of_picture(file: str, config: FaceConfig, method: Method, bundle: Bundle, device: str) -> Face:
    """Raises:
    WrongUsage: no picture there, or not one that can be read.
    """
    try:
        content = storage.read_bytes(file)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise WrongUsage(f"no picture at {file!r}; a row of an encoded dataset is given with --id") from error
    size = picture_size(bundle)
    decoded = FaceDecoder(config, size)(content, None)
    if decoded.pixels is None:
        raise WrongUsage(f"{file!r}: {decoded.status}: {decoded.error}")
    picture = faces.to_signed(torch.from_numpy(decoded.pixels[None])).to(device)
    return Face(represent(method, shared_inputs(method.needs, picture, bundle, device)), picture)


def face_of_dataset(uri: str, image_id: str, method: Method, bundle: Bundle, device: str) -> Face:
    """Raises:
    WrongUsage: no dataset there, no such row, or one that is not ok.
    WrongUsage, BadWeights, ModelMismatch: as ``require_w_plus``, where the method needs such codes.
    """
    dataset = Dataset(uri)
    plan = dataset.read_json(*PLAN)
    if plan is None:
        raise WrongUsage(f"{uri!r} is not an encoded dataset")
    if "w_plus" in method.needs:
        require_w_plus(uri, plan, bundle)
    chunk, row = _find(dataset, image_id)
    part = dataset.read_part(chunk).slice(row, 1)
    if (status := part.column("status")[0].as_py()) != faces.OK:
        raise WrongUsage(f"{image_id!r} has no code: {status}: {part.column('error')[0].as_py()}")
    picture = faces.to_signed(torch.from_numpy(original(dataset, plan, chunk, row)[None])).to(device)
    inputs = {"image": picture}
    if "w_plus" in method.needs:
        shape = faces.code_shape(part.schema.field("w_plus"))
        code = np.array(part.column("w_plus")[0].as_py(), np.float32).reshape(1, *shape)
        inputs["w_plus"] = torch.from_numpy(code).to(device)
    return Face(represent(method, inputs), picture)


def _find(dataset: Dataset, image_id: str) -> tuple[int, int]:
    """The chunk of a row, and its place there."""
    for chunk in sorted(dataset.finished_chunks()):
        place = pc.index(dataset.read_part(chunk).column("image_id"), image_id).as_py()
        if place >= 0:
            return chunk, place
    raise WrongUsage(f"{dataset.uri!r} has no row {image_id!r}")


def _strip(method: Method, face: Face, edits: Sequence[Edit], count: int) -> Tensor:
    """[1 + count, 3, h, w]: the picture itself, then strengths from none to all."""
    shares = torch.linspace(0, 1, count).tolist() if count > 1 else [1.0]
    made = [_render(method, face, [Edit(e.attribute, share * e.strength) for e in edits])[0] for share in shares]
    size = made[0].shape[-1]
    picture = torch.nn.functional.interpolate(face.picture, (size, size), mode="bicubic", antialias=True)
    return torch.stack([picture[0].clamp(-1, 1).cpu(), *made])


def _render(method: Method, face: Face, edits: Sequence[Edit]) -> Tensor:
    """[1,3,h,w]."""
    with torch.no_grad():
        return method.render(method.edit(face.columns, edits), face.picture).cpu()

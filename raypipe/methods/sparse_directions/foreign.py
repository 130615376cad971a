"""Other people's directions: InterFaceGAN's ``.npy`` boundaries and e4e's ``.pt`` directions, read and written."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from raypipe.backbones.stylegan2.foreign_reading import is_torch_file, read_torch
from raypipe.errors import BadWeights, UnknownAttribute, WrongUsage
from raypipe.methods.sparse_directions.directions import Directions, directions_part, read_directions
from raypipe.methods.sparse_directions.orthogonal import nearest_orthonormal
from raypipe.weights import Part

_NUMPY_MAGIC = b"\x93NUMPY"


def import_directions(files: Mapping[str, bytes], codes_NLD: Tensor) -> Directions:
    """Directions of files, by attribute, for codes like the given ones.

    An edit of strength 1 adds a file's direction once. Several directions are replaced by the nearest orthogonal set,
    as in training; a single one stays as it is. The files say nothing of where an attribute begins, so that is taken
    to be at the mean of the codes.

    Args:
        files: the content of a ``.npy`` or ``.pt`` file for each attribute: [D], [1,D], [L,D], [1,L,D] or [1,LD].
        codes_NLD: over which the ranges of T are measured, at least two.

    Raises:
        BadWeights: a file that is no array, of another shape, zero, or not finite; its attribute is named.
        WrongUsage: no files, fewer than two codes, or directions that are linearly dependent.
    """
    if not files or len(codes_NLD) < 2:
        raise WrongUsage(f"got {len(files)} file(s) and {len(codes_NLD)} code(s); at least 1 and 2 are needed")
    layers, width = codes_NLD.shape[1:]
    given_AP = torch.stack([_full(name, read_array(name, files[name]), layers, width) for name in files])
    lengths_A = given_AP.norm(dim=1)
    vectors_AP = (nearest_orthonormal(given_AP) if len(files) > 1 else given_AP / lengths_A[:, None]).float()
    projections_NA = codes_NLD.detach().cpu().float().flatten(1) @ vectors_AP.T
    return Directions(
        attributes=tuple(files),
        code_shape=(layers, width),
        vectors=vectors_AP,
        biases=-projections_NA.mean(0),
        lowest=projections_NA.amin(0),
        highest=projections_NA.amax(0),
        units=lengths_A.float(),
    )


def imported_part(files: Mapping[str, bytes], codes_NLD: Tensor) -> Part:
    """The same as a part of a model bundle."""
    return directions_part(import_directions(files, codes_NLD))


def exported_files(part: Part, form: str) -> dict[str, bytes]:
    """A file for each attribute, ``npy`` or ``pt``.

    Raises:
        BadWeights: the part holds no directions.
    """
    directions = read_directions(part)
    export: Mapping[str, Callable[[Directions, str], bytes]] = {"npy": export_npy, "pt": export_pt}
    return {name: export[form](directions, name) for name in directions.attributes}


def export_npy(directions: Directions, attribute: str) -> bytes:
    """A ``.npy`` file of what an edit of strength 1 adds: [1,L,D] float32."""
    sink = io.BytesIO()
    np.save(sink, _exported(directions, attribute).numpy(), allow_pickle=False)
    return sink.getvalue()


def export_pt(directions: Directions, attribute: str) -> bytes:
    """The same as a ``.pt`` file, a plain tensor."""
    sink = io.BytesIO()
    torch.save(_exported(directions, attribute), sink)
    return sink.getvalue()


def read_array(name: str, content: bytes) -> Tensor:
    """The float64 array of a ``.npy`` or ``.pt`` file; nothing in it is executed.

    Raises:
        BadWeights: neither, damaged, or not an array of numbers.
    """
    if content.startswith(_NUMPY_MAGIC):
        try:
            array = np.load(io.BytesIO(content), allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise BadWeights(f"{name}: a damaged .npy file, or one with objects in it: {error}") from error
        if array.dtype.kind != "f":
            raise BadWeights(f"{name}: an array of {array.dtype}, not of floating-point numbers")
        return torch.from_numpy(array.astype(np.float64))
    if is_torch_file(content):
        tensor = read_torch(content)
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            raise BadWeights(f"{name}: the .pt file holds {type(tensor).__name__}, not a tensor of numbers")
        return tensor.detach().double()
    raise BadWeights(f"{name}: neither a .npy nor a .pt file")


def _full(name: str, array: Tensor, layers: int, width: int) -> Tensor:
    """[P], the same for every layer where the file has one row only."""
    shape = tuple(array.shape[1:] if array.ndim > 1 and array.shape[0] == 1 else array.shape)
    allowed = {(width,), (layers, width), (layers * width,)}
    if shape not in allowed:
        raise BadWeights(f"{name}: a direction of {list(array.shape)} does not fit codes of [{layers}, {width}]")
    if not torch.isfinite(array).all() or not array.any():
        raise BadWeights(f"{name}: the direction is zero or not finite")
    return array.reshape(-1, width).expand(layers, width).flatten()


def _exported(directions: Directions, attribute: str) -> Tensor:
    if attribute not in directions.attributes:
        raise UnknownAttribute(f"{attribute!r} is not one of {', '.join(directions.attributes)}")
    row = directions.attributes.index(attribute)
    return (directions.units[row] * directions.vectors[row]).reshape(1, *directions.code_shape).cpu()

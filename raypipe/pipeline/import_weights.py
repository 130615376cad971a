"""Foreign weights -> a bundle of ours. Nothing in the file is executed."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raypipe import catalog, storage
from raypipe.backbones.identity.foreign import identity_part_of_state, is_identity_state
from raypipe.backbones.perceptual.foreign import is_trunk_state, lpips_part_of_states
from raypipe.backbones.psp.foreign import encoder_checkpoint_parts, is_encoder_checkpoint
from raypipe.backbones.stargan2.foreign import is_stargan2_checkpoint, stargan2_parts
from raypipe.backbones.stylegan2.foreign import model_of_checkpoint, model_of_pickle
from raypipe.backbones.stylegan2.foreign_reading import is_torch_file, read_pickle, read_torch
from raypipe.errors import BadWeights, WrongUsage
from raypipe.weights import Bundle, Part, save_bundle

FORMATS = (
    "StyleGAN2 checkpoints of rosinality",
    "StyleGAN2 pickles of NVlabs (PyTorch, TensorFlow)",
    "pSp and e4e checkpoints",
    "identity networks: model_ir_se50.pth, MobileFaceNet, FaceNet (vggface2, casia-webface)",
    "torchvision's AlexNet and VGG-16 with the linear heads of LPIPS",
    "StarGAN v2 checkpoints (nets_ema)",
    "L2M-GAN checkpoints (nets_ema)",
    "torchvision's ResNet-18",
    "cluster centres of Retrieve in Style (.npz)",
)


@dataclass(frozen=True)
class Found:
    """What a file held: whose format it is, its parts, and what it lacked and was made up."""

    format: str
    parts: Mapping[str, Part]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Imported:
    """The bundle that was written and what it was made from; ``sha256`` is of the first file."""

    bundle: Bundle
    found: Found
    sha256: str


def import_weights(file: str, out: str, *, heads: str | None = None) -> Imported:
    """Read foreign weights from a path or URI and write them as a bundle, with their provenance.

    Args:
        file: the weights.
        out: the bundle to write, a folder or URI.
        heads: the linear heads of LPIPS, where ``file`` is the trunk that they stand on.

    Raises:
        WrongUsage: there is no such file.
        BadWeights: damaged, of an unknown format, incomplete, or naming code to run.
    """
    files = {file: _content(file)} if heads is None else {file: _content(file), heads: _content(heads)}
    found = _read_file(file, files[file]) if heads is None else _read_lpips(file, heads, files)
    name = os.path.basename(file)
    digest = storage.sha256(files[file])
    provenance: dict[str, Any] = {"imported_from": name, "sha256": digest, "format": found.format}
    if heads is not None:
        provenance |= {"heads": os.path.basename(heads), "heads_sha256": storage.sha256(files[heads])}
    provenance["remarks"] = list(found.remarks)
    bundle = save_bundle(out, os.path.splitext(name)[0], found.parts, provenance)
    return Imported(bundle, found, digest)


def read_weights(content: bytes) -> Found:
    """The parts that a file's content holds.

    Raises:
        BadWeights: as ``import_weights``.
    """
    if _is_numpy_archive(content):
        part = catalog.method_module("retrieve_in_style").centres_part(content)
        return Found("cluster centres of Retrieve in Style", {"cluster_centres": part})
    found = _of_torch(read_torch(content)) if is_torch_file(content) else _of_pickle(read_pickle(content))
    if found is None:
        raise BadWeights("its content is of no known format; known: " + ", ".join(FORMATS))
    return found


def _content(file: str) -> bytes:
    try:
        return storage.read_bytes(file)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise WrongUsage(f"no weights file at {file!r}") from error


def _is_numpy_archive(content: bytes) -> bool:
    """What ``numpy.savez`` wrote; ``torch.save`` writes zip files, too."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return any(name.endswith(".npy") for name in archive.namelist())
    except zipfile.BadZipFile:
        return False


def _read_file(file: str, content: bytes) -> Found:
    try:
        return read_weights(content)
    except BadWeights as error:
        raise BadWeights(f"{file}: {error}") from error


def _read_lpips(file: str, heads: str, files: Mapping[str, bytes]) -> Found:
    """Two files make one part."""
    states = []
    for name in (file, heads):
        tree = read_torch(files[name]) if is_torch_file(files[name]) else None
        if not isinstance(tree, Mapping):
            raise BadWeights(f"{name}: not a state dict, as the trunk and the heads of LPIPS are")
        states.append(tree)
    try:
        return Found("LPIPS", {"perceptual": lpips_part_of_states(*states)})
    except BadWeights as error:
        raise BadWeights(f"{file} with {heads}: {error}") from error


def _of_torch(tree: Any) -> Found | None:
    """A new kind of checkpoint gets its line here."""
    if is_encoder_checkpoint(tree):
        parts, remarks = encoder_checkpoint_parts(tree)
        return Found("pSp or e4e checkpoint", parts, tuple(remarks))
    if isinstance(tree, Mapping) and is_identity_state(tree):
        return Found("identity network", {"identity": identity_part_of_state(tree)})
    if isinstance(tree, Mapping) and is_trunk_state(tree):
        raise BadWeights("a trunk of LPIPS is of use only with its linear heads: name their file as well (--heads)")
    if is_stargan2_checkpoint(tree):
        parts, remarks = stargan2_parts(tree)
        return Found("StarGAN v2 checkpoint", parts, tuple(remarks))
    if (found := catalog.method_module("l2m_gan").imported(tree)) is not None:
        return Found(found.format, found.parts, found.remarks)
    model = model_of_checkpoint(tree)
    return None if model is None else Found(model.format, model.parts, model.remarks)


def _of_pickle(tree: Any) -> Found | None:
    model = model_of_pickle(tree)
    return None if model is None else Found(model.format, model.parts, model.remarks)

"""Model bundles: a directory with ``model.json`` and one safetensors file a part. Nothing in them is executed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from raypipe import storage
from raypipe.errors import BadWeights, WrongUsage

FORMAT = 1
MODEL_FILE = "model.json"


@dataclass(frozen=True)
class Part:
    """One network's weights: ``kind`` names the architecture, ``config`` its constructor's arguments."""

    kind: str
    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True)
class PartInfo:
    """What ``model.json`` says of a part. ``sha256`` is of its safetensors file; ``shipped``: the shipped model beside
    which this file lies, where it is not the bundle's own."""

    file: str
    kind: str
    config: Mapping[str, Any]
    sha256: str
    shipped: str = ""


@dataclass(frozen=True)
class Bundle:
    """A model: its parts by name (generator, encoder, identity, attributes, and one for each method)."""

    uri: str
    name: str
    parts: Mapping[str, PartInfo]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """sha256 over the names, kinds, configs and file hashes of all parts."""
        return self.fingerprint_of(tuple(self.parts))

    def fingerprint_of(self, names: tuple[str, ...]) -> str:
        """The same over some parts only: what an artefact made from just these must be bound to."""
        told = {name: [self.parts[name].kind, dict(self.parts[name].config), self.parts[name].sha256] for name in names}
        return storage.sha256(json.dumps(told, sort_keys=True).encode())

    def size(self, names: tuple[str, ...]) -> int:
        """Bytes of the files of some parts."""
        return sum(storage.size(self._place_of(self.describe(name))) for name in names)

    def describe(self, name: str) -> PartInfo:
        if name not in self.parts:
            raise BadWeights(f"model {self.name!r} has no {name!r} part; it has: {', '.join(self.parts) or 'none'}")
        return self.parts[name]

    def read(self, name: str) -> Part:
        """Load a part's tensors, checked against their hash.

        Raises:
            BadWeights: the bundle has no such part, or its file is missing or damaged.
        """
        info = self.describe(name)
        try:
            content = storage.read_bytes(self._place_of(info))
        except FileNotFoundError as error:
            raise BadWeights(f"{self.uri}: {info.file} of part {name!r} is missing") from error
        if storage.sha256(content) != info.sha256:
            where = f"{info.file} of the shipped model {info.shipped!r}" if info.shipped else info.file
            raise BadWeights(f"{self.uri}: {where} is damaged: its sha256 is not the one in {MODEL_FILE}")
        return Part(info.kind, info.config, safetensors.torch.load(content))

    def _place_of(self, info: PartInfo) -> str:
        if info.shipped and info.shipped not in shipped_models():
            raise BadWeights(f"{self.uri}: {info.file} is to be of {info.shipped!r}, which is not a shipped model")
        return storage.join(_shipped(info.shipped) if info.shipped else self.uri, info.file)


def file_of(part: Part) -> bytes:
    """The content of a part's safetensors file; the same tensors, the same bytes."""
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in part.tensors.items()}
    content: bytes = safetensors.torch.save(tensors)
    return content


def open_bundle(model: str) -> Bundle:
    """Open a bundle by directory, fsspec URI, or the name of a shipped model (``small``).

    Raises:
        WrongUsage: no bundle there.
        BadWeights: ``model.json`` is not one that this version reads.
    """
    uri = _shipped(model) if model in shipped_models() else model
    try:
        text = storage.read_bytes(storage.join(uri, MODEL_FILE))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise WrongUsage(
            f"no model at {model!r}: it must be a directory or URI with a {MODEL_FILE}, "
            f"or one of the shipped models: {', '.join(shipped_models()) or 'none'}"
        ) from error
    try:
        tree = json.loads(text)
        if tree["format"] != FORMAT:
            raise BadWeights(f"{uri}: bundle format {tree['format']!r}; this version reads {FORMAT}")
        parts = {name: PartInfo(**info) for name, info in tree["parts"].items()}
        return Bundle(uri, tree["name"], parts, tree.get("provenance", {}))
    except (ValueError, KeyError, TypeError) as error:
        raise BadWeights(f"{uri}: {MODEL_FILE} is not a bundle's description: {error}") from error


def shipped_models() -> list[str]:
    """Names of the models inside the package."""
    folder = resources.files("raypipe") / "models"
    return sorted(entry.name for entry in folder.iterdir() if entry.joinpath(MODEL_FILE).is_file())


def _shipped(model: str) -> str:
    return str(resources.files("raypipe") / "models" / model)


def save_bundle(
    uri: str, name: str, parts: Mapping[str, Part], provenance: Mapping[str, Any], *, shipped: str = ""
) -> Bundle:
    """Write a bundle to a directory or URI; ``model.json`` comes last, so half a bundle is never read.

    ``shipped``: a shipped model whose parts the bundle has as well, without copies of their files.
    """
    infos: dict[str, PartInfo] = {}
    if shipped:
        infos = {name: replace(info, shipped=shipped) for name, info in open_bundle(shipped).parts.items()}
    for part_name, part in parts.items():
        content = file_of(part)
        info = PartInfo(f"{part_name}.safetensors", part.kind, dict(part.config), storage.sha256(content))
        storage.write_bytes(storage.join(uri, info.file), content)
        infos[part_name] = info
    tree = {
        "format": FORMAT,
        "name": name,
        "parts": {part_name: _told(info) for part_name, info in infos.items()},
        "provenance": dict(provenance),
    }
    storage.write_bytes(storage.join(uri, MODEL_FILE), json.dumps(tree, indent=2).encode())
    return Bundle(uri, name, infos, dict(provenance))


def _told(info: PartInfo) -> dict[str, Any]:
    return {name: value for name, value in vars(info).items() if value or name != "shipped"}

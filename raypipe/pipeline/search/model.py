"""A model, opened to ask with: its methods and its encoder, loaded when they are first needed and then kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from raypipe import faces
from raypipe.backbones.psp import load_encoder
from raypipe.contract import Method
from raypipe.errors import WrongUsage
from raypipe.pipeline.binding import binding_of
from raypipe.pipeline.loading import ENCODER, Completed, load_method, picture_size
from raypipe.retrieval.manifest import Binding
from raypipe.weights import Bundle


class OpenedModel:
    """Safe to use from several threads."""

    def __init__(self, bundle: Bundle, device: str) -> None:
        self.bundle, self.device = bundle, device
        self._methods: dict[str, Method] = {}
        self._encoded: dict[str, frozenset[str]] = {}
        self._loaded_encoder: torch.nn.Module | None = None
        self._lock = Lock()

    @property
    def image_size(self) -> int:
        """Side in pixels of the faces that it takes."""
        return picture_size(self.bundle)

    def method(self, name: str) -> Method:
        """Raises:
        WrongUsage: no such method.
        BadWeights: the model lacks a part of it.
        """
        with self._lock:
            if name not in self._methods:
                self._methods[name] = load_method(name, self.bundle, self.device)
            return self._methods[name]

    def binding(self, space: str) -> Binding:
        """What this model's vectors in METHOD.SPACE are."""
        method, name = space.split(".", 1)
        return binding_of(self.bundle, method, name)

    def encode(self, pixels: npt.NDArray[np.uint8], method: str) -> dict[str, Tensor]:
        """The columns of one face, uint8 [s,s,3], rounded as ``raypipe encode`` stores them: the same picture asks the
        same by its file and by its id.

        Raises:
            WrongUsage: another size than the model's.
        """
        return self.encode_all(pixels[None], (method,))

    def encode_all(self, pixels: npt.NDArray[np.uint8], methods: Sequence[str]) -> dict[str, Tensor]:
        """The columns of several methods, [n,...] each, of several faces, uint8 [n,s,s,3]; as ``encode``."""
        size = self.image_size
        if pixels.shape[1:] != (size, size, 3) or pixels.dtype != np.uint8:
            raise WrongUsage(f"a face must be uint8 [{size}, {size}, 3], got {pixels.dtype} {list(pixels.shape[1:])}")
        asked = [self.method(name) for name in methods]
        with torch.no_grad():
            columns = {"image": faces.to_signed(torch.from_numpy(pixels.copy()).to(self.device))}
            if any("w_plus" in method.needs for method in asked):
                columns["w_plus"] = self._encoder()(columns["image"])
            for method in asked:
                columns |= method.represent({name: columns[name] for name in method.needs})
        return {name: column.half().float() for name, column in columns.items() if name != "image"}

    def completed(self, columns: Mapping[str, Tensor], method: str) -> dict[str, Tensor]:
        """``Completed``, as far as the columns hold what the method takes; in plain tensors, which can travel."""
        asked = self.method(method)
        can_be = set(asked.needs) <= set(columns)
        return dict(Completed(asked, columns) if can_be and self._lacks(columns, method) else columns)

    def needs_picture(self, columns: Mapping[str, Tensor], method: str) -> bool:
        """Whether some of what a method adds is not there, and only the picture of the face can give it."""
        return "image" in self.method(method).needs and self._lacks(columns, method)

    def _lacks(self, columns: Mapping[str, Tensor], method: str) -> bool:
        """Whether the columns are not all that a face has when it is encoded for the method."""
        if method not in self._encoded:
            nobody = np.zeros((self.image_size, self.image_size, 3), np.uint8)
            self._encoded[method] = frozenset(self.encode(nobody, method))
        return not self._encoded[method] <= set(columns)

    def tensors(self, columns: Mapping[str, npt.NDArray[Any]]) -> dict[str, Tensor]:
        """Stored columns of one face as a method takes them, float32 [1, ...] on the model's device."""
        return {
            name: torch.from_numpy(np.array(column, np.float32)[None]).to(self.device)
            for name, column in columns.items()
        }

    def _encoder(self) -> torch.nn.Module:
        with self._lock:
            if self._loaded_encoder is None:
                self._loaded_encoder = load_encoder(self.bundle.read(ENCODER), self.device)
            return self._loaded_encoder

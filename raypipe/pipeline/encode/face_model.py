"""The networks of an encode job in one process: shared inputs first, then every method's columns."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from raypipe import faces
from raypipe.backbones.psp import load_encoder
from raypipe.backbones.psp.refine import RefineConfig, refine
from raypipe.backbones.stylegan2 import load_generator
from raypipe.blocks.sizes import of_size
from raypipe.contract import Method
from raypipe.errors import BadWeights, WrongUsage
from raypipe.pipeline.encode.config import EncodeConfig
from raypipe.pipeline.interrupts import never
from raypipe.pipeline.loading import ENCODER, load_method, methods_of, picture_size
from raypipe.weights import Bundle

FIRST_BATCH = {"cpu": 32, "cuda": 256}

Network = Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]
"""``image`` [n,3,s,s] in [-1,1] and the columns so far -> more columns, [n, ...] each."""

Networks = Mapping[str, Network]
"""By name, in order."""


def load_networks(bundle: Bundle, config: EncodeConfig, device: str) -> tuple[Networks, int]:
    """Load the inversion encoder, where the model has one, and the methods; returns what they compute and the input
    size in pixels.

    Raises:
        BadWeights: the model lacks a part that a method needs, or has no encoder and no method is asked for.
    """
    methods = {name: load_method(name, bundle, device) for name in config.methods}
    if ENCODER not in bundle.parts and not methods:
        raise BadWeights(
            f"model {bundle.name!r} has no encoder: say with --methods what is to be computed of the faces; "
            f"it has: {', '.join(methods_of(bundle)) or 'none'}"
        )
    networks = {name: _network(method) for name, method in methods.items()}
    if ENCODER in bundle.parts or config.refine.steps or any("w_plus" in method.needs for method in methods.values()):
        networks = {ENCODER: _encoder(bundle, config.refine, device), **networks}
    return networks, picture_size(bundle)


def _encoder(bundle: Bundle, config: RefineConfig, device: str) -> Network:
    encoder = load_encoder(bundle.read(ENCODER), device)
    generator = load_generator(bundle.read("generator"), device) if config.steps else None

    def encode(columns: Mapping[str, Tensor]) -> dict[str, Tensor]:
        images = of_size(columns["image"], encoder.input_size)
        w_plus = encoder(images)
        return {"w_plus": w_plus if generator is None else refine(generator, images, w_plus, config)}

    return encode


def _network(method: Method) -> Network:
    return lambda columns: method.represent({name: columns[name] for name in method.needs})


class FaceModel:
    """Pixels to code columns on one device, in batches that fit its memory. ``seconds``: what each network took."""

    def __init__(
        self,
        networks: Networks,
        *,
        device: str,
        precision: str,
        batch_size: int = 0,
        check: Callable[[], None] = never,
    ) -> None:
        """``batch_size`` 0: the largest that fits, from 32 on a CPU and 256 on a GPU. ``check`` is called between
        batches; it may raise."""
        self._check = check
        self._networks = networks
        self._device = torch.device(device)
        self._bfloat16 = precision == "bfloat16"
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.batch_size = batch_size or FIRST_BATCH.get(self._device.type, FIRST_BATCH["cpu"])

    def __call__(self, pixels: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.float16]]:
        """uint8 [n,s,s,3] -> float16 [n, ...] by column. Values that float16 cannot hold come out as inf."""
        done: list[dict[str, npt.NDArray[np.float16]]] = []
        start = 0
        while start < len(pixels):
            self._check()
            batch = pixels[start : start + self.batch_size]
            try:
                done.append(self._encode(batch))
            except torch.OutOfMemoryError:
                if self.batch_size == 1:
                    raise
                self.batch_size = max(1, self.batch_size // 2)
                if self._device.type == "cuda":
                    torch.cuda.empty_cache()
                continue
            start += len(batch)
        return {name: np.concatenate([part[name] for part in done]) for name in done[0]} if done else {}

    def column_shapes(self, image_size: int) -> dict[str, tuple[int, ...]]:
        """Shape of each code column, per image: found by encoding one blank image."""
        blank = np.zeros((1, image_size, image_size, 3), np.uint8)
        return {name: codes.shape[1:] for name, codes in self(blank).items()}

    @torch.no_grad()
    def _encode(self, pixels: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[np.float16]]:
        raw = torch.from_numpy(np.require(pixels, requirements="W")).to(self._device)
        images = faces.to_signed(raw)
        if self._device.type == "cuda":
            images = images.contiguous(memory_format=torch.channels_last)
        mixed: Any = torch.autocast(self._device.type, torch.bfloat16) if self._bfloat16 else nullcontext()
        columns: dict[str, Tensor] = {"image": images}
        with mixed:
            for name, network in self._networks.items():
                with self._timed(name):
                    columns |= network(columns)
        del columns["image"]
        return {name: codes.float().to(torch.float16).cpu().numpy() for name, codes in columns.items()}

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)  # else whoever comes next would pay
        self.seconds[name] += time.perf_counter() - begun


def pick_device(require_gpu: bool) -> str:
    """``cuda`` where there is one.

    Raises:
        WrongUsage: a GPU is required and there is none.
    """
    if torch.cuda.is_available():
        return "cuda"
    if require_gpu:
        raise WrongUsage("--require-gpu: PyTorch sees no CUDA device on this machine")
    return "cpu"


def resolve_precision(precision: str, device: str) -> str:
    """``auto`` is bfloat16 on a GPU and float32 on a CPU."""
    if precision != "auto":
        return precision
    return "bfloat16" if device == "cuda" else "float32"

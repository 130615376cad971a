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
from raypipe.backbones.psp.refine import refine
from raypipe.backbones.stylegan2 import load_generator
from raypipe.contract import Method
from raypipe.errors import WrongUsage
from raypipe.pipeline.encode.config import EncodeConfig
from raypipe.pipeline.interrupts import never
from raypipe.pipeline.loading import load_method
from raypipe.weights import Bundle

FIRST_BATCH = {"cpu": 32, "cuda": 256}

Networks = Mapping[str, Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]]
"""By name, in order: ``image`` [n,3,s,s] in [-1,1] and the columns so far -> more columns, [n, ...] each."""


def load_networks(bundle: Bundle, config: EncodeConfig, device: str) -> tuple[Networks, int]:
    """Load the inversion encoder and the methods; returns what they compute and the input size in pixels.

    Raises:
        BadWeights: the model lacks a part that a method needs.
    """
    encoder = load_encoder(bundle.read("encoder"), device)
    generator = load_generator(bundle.read("generator"), device) if config.refine.steps else None
    methods = {name: _network(load_method(name, bundle, device)) for name in config.methods}

    def encode(columns: Mapping[str, Tensor]) -> dict[str, Tensor]:
        w_plus, images = encoder(columns["image"]), columns["image"]
        return {"w_plus": w_plus if generator is None else refine(generator, images, w_plus, config.refine)}

    return {"encoder": encode, **methods}, encoder.input_size


def _network(method: Method) -> Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]:
    return lambda columns: method.represent({name: columns[name] for name in method.needs})


def image_size_of(bundle: Bundle) -> int:
    """Side in pixels of what the model's encoder takes, without loading it."""
    return int(bundle.describe("encoder").config["input_size"])


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

"""Codes with the statistics of the shipped encoder's, as many as are wanted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from raypipe.backbones.psp import load_encoder
from raypipe.faces import to_signed
from raypipe.synthfaces import attributes, render, sample_factors
from raypipe.weights import open_bundle

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Faces:
    """Statistics to draw codes from: ``mean`` [P], ``components`` [D,P] scaled by their deviations, F [A,P]."""

    mean: Array
    components: Array
    directions: Array

    def codes(self, rows: int, seed: int) -> Array:
        """float16 [rows,P]."""
        luck = np.random.default_rng(seed).standard_normal((rows, len(self.components)), dtype=np.float32)
        return (luck @ self.components + self.mean).astype(np.float16)

    def vectors(self, codes_NP: Array) -> Array:
        """[F w, w - F^T F w] float32, as the method gives them."""
        codes = codes_NP.astype(np.float32)
        along = codes @ self.directions.T
        return np.concatenate([along, codes - along @ self.directions], axis=1)


def measured_faces(count: int) -> Faces:
    """The shipped encoder's codes of made-up faces."""
    encoder = load_encoder(open_bundle("small").read("encoder"), "cpu")
    codes, labels = [], []
    with torch.no_grad():
        for start in range(0, count, 250):
            factors = sample_factors(min(250, count - start), 0, start=start, correlated=True)
            pictures = to_signed(torch.from_numpy(render(factors, 64).images))
            codes.append(encoder(pictures).flatten(1).double().numpy())
            labels.append(np.stack(list(attributes(factors).values()), axis=1))
    codes_NP, labels_NA = np.concatenate(codes), np.concatenate(labels).astype(np.float64)
    mean = codes_NP.mean(0)
    left, sizes, axes = np.linalg.svd(codes_NP - mean, full_matrices=False)
    kept = min(512, count // 2)
    along = np.linalg.lstsq(left[:, :128] * sizes[:128], labels_NA - labels_NA.mean(0), rcond=None)[0].T @ axes[:128]
    turn, _, back = np.linalg.svd(along / np.linalg.norm(along, axis=1, keepdims=True), full_matrices=False)
    components = sizes[:kept, None] / np.sqrt(count) * axes[:kept]
    return Faces(mean.astype(np.float32), components.astype(np.float32), (turn @ back).astype(np.float32))

"""Few numbers in place of many: principal axes of the rest, the length of what they leave out, and lists of neighbours.

With orthonormal axes P, y = P (r - mean) and t = |r - mean - P^T y| (the length of what was cut off), the triangle
inequality gives |r_q - r|^2 >= |y_q - y|^2 + (t_q - t)^2. That holds for any axes; principal ones make it tight. So
they are fitted to a sample, and the lists, which only save work, too. All numbers are divided by one ``scale``, for
float16.
N rows, S sampled rows, A attributes, R numbers of the rest, D axes, L lists, W = A + R.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass

import faiss
import numpy as np

from raypipe.errors import RaypipeError
from raypipe.retrieval.space import Array, Target

TYPICAL_LENGTH = 8.0
"""Of a reduced vector after scaling: squares of it, and of outliers 30 times as long, fit float16."""

ENERGY = 0.999
"""Axes beyond this share of the sample's variance prove nothing more."""

_SMALLEST_SCALE = 1e-30
"""Rows that are even nearer to each other are stored as denormal numbers, which a process may be told to drop."""

_SPARE_AXES, _ROUNDS = 16, 4


class RowSample:
    """A uniform sample of a stream of rows, in bounded memory; the same stream gives the same sample."""

    def __init__(self, width: int, limit: int, seed: int = 0) -> None:
        self._rows = np.empty((limit, width), np.float32)
        self._keys = np.empty(0)
        self._random = np.random.default_rng(seed)

    @property
    def rows(self) -> Array:
        return self._rows[: len(self._keys)]

    def add(self, vectors_NW: Array) -> None:
        """Every row draws a key; those with the smallest keys of all rows so far stay."""
        free = len(self._rows) - len(self._keys)
        head, tail = vectors_NW[:free], vectors_NW[free:]
        self._rows[len(self._keys) : len(self._keys) + len(head)] = head
        self._keys = np.concatenate([self._keys, self._random.random(len(head))])
        if not len(tail):
            return
        keys = np.concatenate([self._keys, self._random.random(len(tail))])
        stays = np.zeros(len(keys), np.bool_)
        stays[np.argpartition(keys, len(self._rows) - 1)[: len(self._rows)]] = True
        leaves, enters = ~stays[: len(self._rows)], stays[len(self._rows) :]
        self._rows[leaves] = tail[enters]
        self._keys[leaves] = keys[len(self._rows) :][enters]


@dataclass(frozen=True, eq=False)
class Reduced:
    """N rows, centred and scaled, float64.

    ``axes`` y [N,D], ``cut`` t [N], ``attributes`` u [N,A], ``length`` |r| [N].
    """

    axes: Array
    cut: Array
    attributes: Array
    length: Array


@dataclass(frozen=True, eq=False)
class Reduction:
    """How the rows of an index are reduced: ``mean`` [W] and ``axes`` [D,R] float64, ``centroids`` float32 [L,D+A]."""

    mean: Array
    axes: Array
    centroids: Array
    scale: float

    @property
    def attribute_count(self) -> int:
        return int(len(self.mean) - self.axes.shape[1])

    @property
    def typical_distance(self) -> float:
        """Of two of the rows that the axes were fitted to, in the mean, without preferences."""
        return 2 * (TYPICAL_LENGTH * self.scale) ** 2

    def reduce(self, vectors_NW: Array) -> Reduced:
        centred = vectors_NW - self.mean
        rest = centred[:, self.attribute_count :]
        axes = rest @ self.axes.T
        squared_N = np.einsum("nr,nr->n", rest, rest)
        cut_N = np.sqrt(np.maximum(squared_N - (axes * axes).sum(1), 0.0))
        attributes = centred[:, : self.attribute_count] / self.scale
        return Reduced(axes / self.scale, cut_N / self.scale, attributes, np.sqrt(squared_N) / self.scale)

    def reduce_target(self, target: Target) -> Reduced:
        """As one row."""
        return self.reduce(np.concatenate([target.wanted, target.rest])[None])

    def to_bytes(self) -> bytes:
        content = io.BytesIO()
        np.savez(content, mean=self.mean, axes=self.axes, centroids=self.centroids, scale=self.scale)
        return content.getvalue()

    @staticmethod
    def from_bytes(content: bytes) -> Reduction:
        """Raises:
        RaypipeError: not what ``to_bytes`` wrote.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                return Reduction(file["mean"], file["axes"], file["centroids"], float(file["scale"]))
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise RaypipeError(f"the index's reduction is damaged: {error}") from error


def fit_reduction(sample_SW: Array, *, attributes: int, axes: int, lists: int, seed: int = 0) -> Reduction:
    """Principal axes of the sample's rest and centroids of its lists.

    Args:
        sample_SW: float32; no rows are fine: then nothing is known, and every axis is as good.
        axes: at most; fewer where they would explain no more of the sample.
        lists: at most; fewer for small samples.
    """
    most = min(axes, sample_SW.shape[1] - attributes)
    mean_W = sample_SW.mean(0, dtype=np.float64) if len(sample_SW) else np.zeros(sample_SW.shape[1])
    centred = (sample_SW - mean_W).astype(np.float32)
    axes_DR = _principal_axes(centred[:, attributes:], most, seed)
    typical = float(np.sqrt((centred.astype(np.float64) ** 2).sum(1).mean())) if len(centred) else 0.0
    scale = max(typical / TYPICAL_LENGTH, _SMALLEST_SCALE) if typical else 1.0
    reduction = Reduction(mean_W, axes_DR, np.zeros((1, len(axes_DR) + attributes), np.float32), scale)
    reduced = reduction.reduce(sample_SW)
    return Reduction(mean_W, axes_DR, _centroids(list_points(reduced), lists, seed), scale)


def list_points(reduced: Reduced) -> Array:
    """What lists are made of: [y, u], float32."""
    return np.ascontiguousarray(np.concatenate([reduced.axes, reduced.attributes], axis=1), dtype=np.float32)


def _principal_axes(centred_SR: Array, most: int, seed: int) -> Array:
    """Orthonormal float64 [D,R] by subspace iteration (Halko et al. 2011, algorithm 4.4); D <= most."""
    width = centred_SR.shape[1]
    guess = np.random.default_rng(seed).standard_normal((width, min(width, most + _SPARE_AXES)))
    basis_RB = np.linalg.qr(guess)[0]
    if not centred_SR.any():
        return np.ascontiguousarray(basis_RB.T[:most])
    for _ in range(_ROUNDS):
        image_SB = centred_SR @ basis_RB.astype(np.float32)
        basis_RB = np.linalg.qr((centred_SR.T @ image_SB).astype(np.float64))[0]
    image_SB = (centred_SR @ basis_RB.astype(np.float32)).astype(np.float64)
    variances_B, turns_BB = np.linalg.eigh(image_SB.T @ image_SB)
    share = np.cumsum(variances_B[::-1]) / max(float((centred_SR.astype(np.float64) ** 2).sum()), 1e-300)
    count = min(most, int(np.searchsorted(share, ENERGY)) + 1)
    return np.ascontiguousarray((basis_RB @ turns_BB[:, ::-1]).T[:count])


def _centroids(points: Array, lists: int, seed: int) -> Array:
    count = max(1, min(lists, len(points) // 32))
    if count == 1:
        return points.mean(0, keepdims=True) if len(points) else np.zeros((1, points.shape[1]), np.float32)
    kmeans = faiss.Kmeans(points.shape[1], count, niter=10, seed=seed + 1, min_points_per_centroid=1)
    kmeans.train(points)
    return np.asarray(kmeans.centroids, dtype=np.float32)

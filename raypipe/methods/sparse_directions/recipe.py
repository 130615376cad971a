"""Algorithm 2 of Zaeemzadeh et al., CVPR 2021: linear classifiers whose normals stay orthogonal and become sparse.

N rows of this worker's share, A attributes, P = L x D numbers of a code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from raypipe.contract import Columns, Recipe, Site
from raypipe.errors import WrongUsage
from raypipe.methods.sparse_directions.config import SparseDirectionsConfig
from raypipe.methods.sparse_directions.directions import Directions, directions_part
from raypipe.methods.sparse_directions.examples import Examples, chosen_attributes, read_examples
from raypipe.methods.sparse_directions.orthogonal import nearest_orthogonal, nearest_orthonormal
from raypipe.methods.sparse_directions.ranges import RangeMeter, Ranges
from raypipe.methods.sparse_directions.scores import HeldOutScores, mean_entries
from raypipe.weights import Part

PART = "sparse_directions"


def columns(config: SparseDirectionsConfig) -> tuple[str, ...]:
    """What each batch must hold."""
    return "w_plus", "labels"


def build_recipe(config: SparseDirectionsConfig, site: Site) -> Recipe:
    """The recipe, before its first step.

    Raises:
        WrongUsage: the data has no codes, no such labels, too few rows, or no end where all its rows are asked for.
    """
    if config.batch == 0 and site.data.rows == 0:
        raise WrongUsage("batch 0 means all rows at every step, but this data has no end: set a batch")
    return SparseDirectionsRecipe(config, site, chosen_attributes(config.attributes, site.data))


class SparseDirectionsRecipe:
    """One step is one iteration: a gradient step on every f_m and b_m, then the nearest orthogonal set."""

    def __init__(self, config: SparseDirectionsConfig, site: Site, attributes: tuple[str, ...]) -> None:
        layers, width = site.data.code_shape
        first = torch.Generator().manual_seed(site.seed)
        vectors_AP = torch.randn(len(attributes), layers * width, generator=first)
        self._config, self._site, self._attributes = config, site, attributes
        self._label_columns = [site.data.attributes.index(name) for name in attributes]
        self._vectors_AP = config.initial_length * nearest_orthonormal(vectors_AP).to(site.device)
        self._biases_A = torch.zeros(len(attributes), device=site.device)
        self._centre_P = torch.zeros(layers * width, device=site.device)
        self._scale = torch.ones((), device=site.device)
        self._step = 0
        self._ranges: Ranges | None = None

    @torch.no_grad()
    def step(self, batch: Columns) -> dict[str, Tensor]:
        """One iteration. The numbers are of the whole global batch: ``hinge`` (mean over rows and attributes),
        ``l1`` and ``length`` (means over the directions).

        Raises:
            WrongUsage: codes that are not finite, labels that are not 0 or 1, codes that are all equal; with full
                batches, an attribute that all faces have, or none.
        """
        examples = self._read(batch)
        faces_2A = self._count(examples)
        if self._step == 0 and self._config.batch == 0:
            self._check_classes(faces_2A)
        if self._step == 0 and self._config.normalised:
            self._centre_P, self._scale = self._spread(examples.codes)
        hinge, gradient_AP, gradient_A = self._hinge(examples, faces_2A)
        # sign(0) = 0: of the subgradients of |f| at 0, the one that leaves a zero where it is.
        gradient_AP = gradient_AP + self._config.sparsity * self._vectors_AP.sign()
        self._vectors_AP = nearest_orthogonal(self._vectors_AP - self._config.learning_rate * gradient_AP)
        self._biases_A = self._biases_A - self._config.learning_rate * gradient_A
        self._step += 1
        self._ranges = None
        lengths_A, l1_A = self._vectors_AP.norm(dim=1), self._vectors_AP.norm(p=1, dim=1)
        return {"hinge": hinge, "l1": l1_A.mean(), "length": lengths_A.mean()}

    @torch.no_grad()
    def finish(self, batches: Iterable[Columns]) -> None:
        """Measure the ranges of T, and the units of edits, along the directions as they are now.

        Raises:
            WrongUsage: an attribute that all training faces have, or none.
        """
        meter = RangeMeter(len(self._attributes), self._site.device)
        unit_AP = _unit(self._vectors_AP)
        for batch in batches:
            examples = self._read(batch)
            meter.add(examples.codes @ unit_AP.T, examples.labels)
        ranges = meter.over_all_workers(self._site.share)
        self._check_classes(ranges.faces)
        self._ranges = ranges

    @torch.no_grad()
    def evaluate(self, batches: Iterable[Columns]) -> dict[str, float]:
        """``error`` and ``hinge`` as ``HeldOutScores``; ``entries``: mean number of them with 95 % of the energy."""
        scores = HeldOutScores(len(self._attributes))
        vectors_AP, offsets_A = self._in_raw_codes()
        for batch in batches:
            examples = self._read(batch)
            scores.add(examples.codes @ vectors_AP.T + offsets_A, examples.labels)
        return {**scores.result(), "entries": mean_entries(self._vectors_AP)}

    def samples(self, batch: Columns) -> Tensor:
        """Nothing to see: directions have no pictures of their own."""
        return torch.zeros(0, 1, 3, 1, 1)

    def state_dict(self) -> dict[str, Any]:
        return {
            "step": self._step,
            "vectors": self._vectors_AP,
            "biases": self._biases_A,
            "centre": self._centre_P,
            "scale": self._scale,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        device = self._site.device
        self._step = int(state["step"])
        self._vectors_AP, self._biases_A = state["vectors"].to(device), state["biases"].to(device)
        self._centre_P, self._scale = state["centre"].to(device), state["scale"].to(device)
        self._ranges = None

    def export(self) -> dict[str, Part]:
        """The directions at unit length, and what ``finish`` measured along them.

        Raises:
            WrongUsage: ``finish`` has not been called since the last step.
        """
        if self._ranges is None:
            raise WrongUsage("the directions' ranges are not measured: finish() comes before export()")
        vectors_AP, offsets_A = self._in_raw_codes()
        directions = Directions(
            attributes=self._attributes,
            code_shape=self._site.data.code_shape,
            vectors=_unit(vectors_AP),
            biases=offsets_A / vectors_AP.norm(dim=1),
            lowest=self._ranges.lowest,
            highest=self._ranges.highest,
            units=self._ranges.halves,
        )
        return {PART: directions_part(directions)}

    def _read(self, batch: Columns) -> Examples:
        return read_examples(batch, self._label_columns, self._site.data.code_shape)

    def _count(self, examples: Examples) -> Tensor:
        """[2,A] faces of the global batch with and without each attribute, divided by the number of workers."""
        faces_2A = torch.stack([examples.labels.sum(0), (1 - examples.labels).sum(0)]).double()
        self._site.share.average([faces_2A])
        return faces_2A

    def _check_classes(self, faces_2A: Tensor) -> None:
        one_sided = (faces_2A < 0.5 / self._site.share.count).any(0).tolist()
        names = [name for name, is_bad in zip(self._attributes, one_sided, strict=True) if is_bad]
        if names:
            raise WrongUsage(
                f"all training faces have or all lack {', '.join(names)}: set attributes to those to be learned"
            )

    def _spread(self, codes_NP: Tensor) -> tuple[Tensor, Tensor]:
        """Centre [P] and root mean square [] of the global batch's codes."""
        rows = torch.tensor(len(codes_NP), dtype=torch.float64, device=codes_NP.device)
        sums_P = codes_NP.sum(0, dtype=torch.float64)
        self._site.share.average([sums_P, rows])
        centre_P = (sums_P / rows).float()
        squares = (codes_NP - centre_P).square().sum(dtype=torch.float64)
        self._site.share.average([squares])
        scale = (squares / (rows * len(centre_P))).sqrt().float()
        if not scale > 0:
            raise WrongUsage("the codes of the first batch are all equal: nothing can be learned from them")
        return centre_P, scale

    def _hinge(self, examples: Examples, faces_2A: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Loss [] (always a mean) and gradients [A,P], [A] of the global batch's hinge loss (a mean or a sum).

        Workers may have unequal numbers of rows: sums and counts are averaged, never means.
        """
        signs_NA = 2 * examples.labels - 1
        vectors_AP, offsets_A = self._in_raw_codes()
        slack_NA = (1 - signs_NA * (examples.codes @ vectors_AP.T + offsets_A)).clamp_min(0)
        weights_NA = self._weights(examples.labels, faces_2A)
        # The derivative of max(0, 1 - y f.w) is -y w inside the margin, and taken as 0 on its border.
        pull_NA = -signs_NA * weights_NA * (slack_NA > 0)
        pulls_A, pulls_AP = pull_NA.sum(0), pull_NA.T @ examples.codes
        loss = (weights_NA * slack_NA).mean(1).sum()
        rows = loss.new_tensor(len(signs_NA))
        self._site.share.average([loss, pulls_A, pulls_AP, rows])
        divisor = rows if self._config.mean_loss else 1 / self._site.share.count
        gradient_AP = (pulls_AP - pulls_A[:, None] * self._centre_P) / self._scale
        return loss / rows, gradient_AP / divisor, pulls_A / divisor

    def _weights(self, labels_NA: Tensor, faces_2A: Tensor) -> Tensor:
        """[N,A]: 1, or what makes both kinds of faces weigh half of the whole; a kind without faces is left out."""
        if not self._config.balanced:
            return torch.ones_like(labels_NA)
        with_A, without_A = (faces_2A.sum(0) / (2 * faces_2A)).float()
        return torch.where(labels_NA > 0, with_A, without_A)

    def _in_raw_codes(self) -> tuple[Tensor, Tensor]:
        """The classifiers, vectors [A,P] and offsets [A], for codes that are not centred and divided."""
        vectors_AP = self._vectors_AP / self._scale
        return vectors_AP, self._biases_A - vectors_AP @ self._centre_P


def _unit(vectors_AP: Tensor) -> Tensor:
    lengths_A1: Tensor = vectors_AP.norm(dim=1, keepdim=True)
    return vectors_AP / lengths_A1

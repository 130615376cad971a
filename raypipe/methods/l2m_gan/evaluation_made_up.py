"""Edits of made-up faces, whose exact edits are known: where pictures changed, and which factors moved that should not
have. N faces, F factors, d features of the judge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from raypipe.backbones.attributes import AttributeNet
from raypipe.blocks.sizes import of_size
from raypipe.contract import Rival
from raypipe.faces import to_signed
from raypipe.synthfaces import FACTOR_NAMES, Factors, attributes, render, sample_factors

CAUSES = {
    "Smiling": ("smile", 0.8, -0.2),
    "Male": ("masculinity", 0.9, 0.1),
    "Eyeglasses": ("eyeglasses", 1.0, 0.0),
    "Mouth_Slightly_Open": ("mouth_open", 0.8, 0.0),
    "Wearing_Hat": ("hat", 1.0, 0.0),
    "Bangs": ("bangs", 1.0, 0.0),
    "Young": ("age", 0.2, 0.8),
}
"""Attribute -> the one factor that it is a threshold of, with a value that has it and one that does not."""

FACES_SEED, READOUT_SEED = 717_171, 727_272

CLEAR = 16 / 255
"""An exact edit is where it changes a colour by more, of 2 from black to white, and the pixels beside these."""

LEAST_R2 = 0.5
"""Of a factor's variance, on fresh faces: one of which a linear readout of features explains less is not read."""

_PICTURES_AT_ONCE = 64


@dataclass(frozen=True, kw_only=True)
class Moved:
    """Of one attribute by one system, means over the faces.

    Attributes:
        inside, outside: absolute change of pixels, of 2, where the exact edit changes them and elsewhere.
        own: how far the attribute's own factor moved the way that was asked for, in its standard deviations; nan where
            it cannot be read.
        others: how far the other factors moved either way, in theirs.
        most: the factor that moved most among them, and how far.

    ``others`` is nan, and ``most`` nothing, where no factor but the own can be read.
    """

    inside: float
    outside: float
    own: float
    others: float
    most: tuple[str, float]


@dataclass(frozen=True)
class MadeUp:
    """``by_system``, and ``exact``: the same of the exact edits. ``read``: how many factors could be read."""

    by_system: Mapping[str, Moved]
    exact: Moved
    read: int


@dataclass(frozen=True)
class Readout:
    """Factors in standard deviations as a linear function of features; ``names`` of those that can be read."""

    names: tuple[str, ...]
    weights: Tensor
    judge: AttributeNet

    def __call__(self, images: Tensor) -> Tensor:
        """[n,3,s,s] -> [n,F]."""
        return self.judge.features(images).double().cpu() @ self.weights


def measure_on_made_up(
    attribute: str, systems: Mapping[str, Rival], judge: AttributeNet, faces: int, readout: int, size: int
) -> MadeUp | None:
    """Every face edited to what it is not; None for an attribute that no single factor is the cause of."""
    if attribute not in CAUSES:
        return None
    factor, having, lacking = CAUSES[attribute]
    factors = sample_factors(faces, FACES_SEED, images_per_identity=1)
    has_it = attributes(factors)[attribute]
    exact = factors.changed(factor, np.where(has_it, lacking, having).astype(np.float32))
    device = next(judge.parameters()).device
    before, wanted = (_drawn(some, size).to(device) for some in (factors, exact))
    signs = torch.where(torch.from_numpy(has_it), -1.0, 1.0)
    comparison = Comparison(before, wanted, signs, factor, fitted_readout(judge, readout, size))
    by_system = {
        name: comparison.moved(_edited(system, before, attribute, signs))
        for name, system in systems.items()
        if attribute in system.attributes
    }
    return MadeUp(by_system, comparison.moved(wanted), len(comparison.readout.names))


@dataclass(frozen=True, eq=False)
class Comparison:
    """Faces ``before`` and ``wanted`` [N,3,s,s], exactly edited, and whether ``factor`` is to rise (1.0) or fall."""

    before: Tensor
    wanted: Tensor
    signs: Tensor
    factor: str
    readout: Readout

    def moved(self, made: Tensor) -> Moved:
        """How ``made`` [N,3,t,t] differs from the faces before."""
        change_N1ss = (of_size(made, self.before.shape[-1]) - self.before).abs().mean(1, keepdim=True)
        inside = self._inside()
        steps_NF = torch.cat(
            [
                self.readout(some) - self.readout(those)
                for some, those in zip(_pieces(made), _pieces(self.before), strict=True)
            ]
        )
        names = self.readout.names
        far = {name: float(steps_NF[:, i].abs().mean()) for i, name in enumerate(names) if name != self.factor}
        own = float((steps_NF[:, names.index(self.factor)] * self.signs).mean()) if self.factor in names else torch.nan
        most = max(far, key=far.__getitem__, default="")
        return Moved(
            inside=float((change_N1ss * inside).sum() / inside.sum()),
            outside=float((change_N1ss * ~inside).sum() / (~inside).sum()),
            own=own,
            others=sum(far.values()) / len(far) if far else torch.nan,
            most=(most, far.get(most, torch.nan)),
        )

    def _inside(self) -> Tensor:
        """bool [N,1,s,s]."""
        clear = (self.wanted - self.before).abs().amax(1, keepdim=True) > CLEAR
        return F.max_pool2d(clear.float(), 3, stride=1, padding=1) > 0


def fitted_readout(judge: AttributeNet, faces: int, size: int) -> Readout:
    """By least squares on one half of the faces; what is read is decided on the other."""
    factors = sample_factors(faces, READOUT_SEED, images_per_identity=1)
    device = next(judge.parameters()).device
    rows = [factors.rows(slice(first, first + _PICTURES_AT_ONCE)) for first in range(0, faces, _PICTURES_AT_ONCE)]
    features = torch.cat([judge.features(_drawn(some, size).to(device)).double().cpu() for some in rows])
    values = torch.from_numpy(factors.values).double()
    spread_F = values.std(0)
    varied = (spread_F > 0).nonzero().flatten()
    values = (values[:, varied] - values[:, varied].mean(0)) / spread_F[varied]
    half = faces // 2
    inputs = torch.cat([features, features.new_ones(faces, 1)], 1)
    weights = torch.linalg.lstsq(inputs[:half], values[:half]).solution
    errors_F = (inputs[half:] @ weights - values[half:]).square().mean(0)
    readable = 1 - errors_F / values[half:].var(0) >= LEAST_R2
    names = tuple(FACTOR_NAMES[int(column)] for column in varied[readable])
    return Readout(names, weights[:-1, readable], judge)


def _drawn(factors: Factors, size: int) -> Tensor:
    return to_signed(torch.from_numpy(render(factors, size).images))


def _pieces(rows: Tensor) -> tuple[Tensor, ...]:
    return torch.split(rows, _PICTURES_AT_ONCE)


def _edited(system: Rival, images: Tensor, attribute: str, signs: Tensor) -> Tensor:
    """Rows in their order, each edited its own way."""
    made: dict[int, Tensor] = {}
    for sign in (1.0, -1.0):
        rows = (signs == sign).nonzero().flatten()
        for some in _pieces(rows):
            if len(some):
                made |= dict(zip(some.tolist(), system.edited(images[some], attribute, sign), strict=True))
    return torch.stack([made[row] for row in range(len(images))])

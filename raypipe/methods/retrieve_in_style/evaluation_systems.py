"""What is compared: ways to say which style channels are a feature's. N faces, F features, C style channels."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from raypipe.methods.retrieve_in_style.catalogue import Catalogue, transferable
from raypipe.methods.retrieve_in_style.config import PUBLIC_CODE
from raypipe.methods.retrieve_in_style.contribution import mean_contributions
from raypipe.methods.retrieve_in_style.lens import FacesSeen
from raypipe.methods.retrieve_in_style.membership import greedy_membership, membership, pair_membership, with_pose
from raypipe.methods.retrieve_in_style.spaces import feature_vectors
from raypipe.methods.retrieve_in_style.styles import StyleLayout
from raypipe.methods.retrieve_in_style.transfer import Step, transferred

RIS, RIS_CODE, RIS_BY_CHANNEL, EIS, WHOLE = (
    "RIS, as set",
    "RIS, as the public code",
    "RIS, normalised by channel",
    "EIS",
    "all channels",
)


@dataclass(frozen=True, eq=False)
class System:
    """``fixed`` [F,C]: q of every face alike; None: each face, or pair of faces, has its own."""

    name: str
    catalogue: Catalogue
    layout: StyleLayout
    fixed: Tensor | None = None

    def vectors(self, faces: FacesSeen, feature: str) -> Tensor:
        """Equation 7, [N,C] of length 1."""
        variant = self.catalogue.variant
        q_NFC = membership(faces.contributions, self.layout, variant) if self.fixed is None else self.fixed[None]
        statistics = (
            self.catalogue.statistics if variant.by_channel else self.catalogue.statistics.by_layer(self.layout)
        )
        vectors_N1C = feature_vectors(self._of(q_NFC, feature)[:, None], statistics.normalised(faces.styles))
        return torch.nn.functional.normalize(vectors_N1C[:, 0], dim=1)

    def transferred(self, source: FacesSeen, reference: FacesSeen, feature: str, strength: float) -> Tensor:
        """Equation 6, styles [N,C]."""
        variant = self.catalogue.variant
        if self.fixed is None:
            q_NFC = pair_membership(source.contributions, reference.contributions, self.layout, variant)
        else:
            q_NFC = self.fixed[None]
        step = Step(self._of(q_NFC, feature), reference.styles, strength)
        return transferred(source.styles, [step], keep_length=variant.keep_length)

    def _of(self, q_NFC: Tensor, feature: str) -> Tensor:
        names = tuple(self.catalogue.features)
        if self.fixed is not None:
            return q_NFC[:, names.index(feature)]
        return with_pose(q_NFC, names, self.layout)[:, transferable(self.catalogue.features).index(feature)]


def systems_of(
    catalogue: Catalogue, layout: StyleLayout, many: FacesSeen, *, least: float, share: float, coarse_share: float
) -> list[System]:
    """All that are compared; of ``many`` faces Editing in Style takes its mean contributions.

    ``share`` and ``coarse_share``: its budgets, as shares of all channels and of those of the first layers.
    """

    def with_variant(name: str, **changes: object) -> System:
        variant = dataclasses.replace(catalogue.variant, **changes)  # type: ignore[arg-type]
        return System(name, dataclasses.replace(catalogue, variant=variant), layout)

    code = {name: getattr(PUBLIC_CODE, name) for name in ("threshold", "maximum_first", "rgb_channels", "keep_length")}
    fixed_FC = greedy_membership(
        mean_contributions([many.contributions]),
        layout,
        least=least,
        budget=share * layout.channels,
        coarse_budget=coarse_share * layout.coarse_channels,
    )
    whole_FC = torch.ones_like(fixed_FC)
    plain = dataclasses.replace(catalogue, variant=dataclasses.replace(catalogue.variant, keep_length=False))
    return [
        System(RIS, catalogue, layout),
        with_variant(RIS_CODE, **code),
        with_variant(RIS_BY_CHANNEL, by_channel=True),
        System(EIS, plain, layout, fixed_FC),
        System(WHOLE, plain, layout, whole_FC),
    ]


def joined(faces: Sequence[FacesSeen]) -> FacesSeen:
    """All of them, in order."""
    return FacesSeen(
        torch.cat([some.styles for some in faces]),
        torch.cat([some.contributions for some in faces]),
        torch.cat([some.is_there for some in faces]),
    )

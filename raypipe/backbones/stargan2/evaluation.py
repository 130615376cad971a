"""How good translations of held-out faces are, as numbers. N faces, A attributes, D the width of styles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from raypipe.backbones.attributes import load_attributes
from raypipe.backbones.stargan2.domains import Domains
from raypipe.backbones.stylegan2.evaluation import describer
from raypipe.blocks.frechet import GaussianStatistics, frechet_distance
from raypipe.contract import Site
from raypipe.errors import WrongUsage

PIECE = 64
"""Pictures that are looked at at once."""

StylesOf = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Faces [n,3,s,s], their domains and the domains that they are to be of, int64 [n] each -> styles [n,D]."""


class HeldOutTranslations:
    """Every held-out face as a member of each other domain."""

    def __init__(
        self, draw: Callable[[Tensor, Tensor], Tensor], domains: Domains, styles_of: StylesOf, *, site: Site
    ) -> None:
        """``draw``: faces [n,3,s,s] and styles [n,D] -> faces. The site's attribute network judges, if it has one."""
        self._draw, self._domains, self._styles_of = draw, domains, styles_of
        self._name, self._describe = describer(site.parts, site.device)
        judge = load_attributes(site.parts["attributes"], site.device) if "attributes" in site.parts else None
        self._judge = judge if judge is not None and set(domains.attributes) <= set(judge.names) else None
        self._reals: defaultdict[int, list[Tensor]] = defaultdict(list)
        self._made: defaultdict[int, list[Tensor]] = defaultdict(list)
        self._hits: list[Tensor] = []

    @torch.no_grad()
    def add(self, images: Tensor, sources_N: Tensor) -> None:
        """[n, 3, s, s] and the faces' own domains."""
        features = self._describe(images)
        for target in range(len(self._domains)):
            is_other_N = sources_N != target
            self._reals[target].append(features[~is_other_N])
            if is_other_N.any():
                others, of_others = images[is_other_N], sources_N[is_other_N]
                styles_ND = self._styles_of(others, of_others, torch.full_like(of_others, target))
                self._add_made(self._draw(others, styles_ND).float().clamp(-1, 1), target)

    def numbers(self) -> dict[str, float]:
        """The mean over domains of the Fréchet distance of translations into one to its faces (``fid_attributes`` or
        ``fd_pixels8``, see ``describer``); ``accuracy``: the share of translations in which the model's attribute
        network, if it knows all the attributes, sees the target's values.

        Raises:
            WrongUsage: no domain has two faces and two translations.
        """
        distances = [
            frechet_distance(made, reals)
            for target in self._reals
            if (made := _statistics(self._made[target])).count > 1
            and (reals := _statistics(self._reals[target])).count > 1
        ]
        if not distances:
            raise WrongUsage("a distance takes at least 2 held-out faces of a domain and 2 of others")
        numbers = {self._name: sum(distances) / len(distances)}
        if self._hits:
            numbers["accuracy"] = float(torch.cat(self._hits).float().mean())
        return numbers

    def _add_made(self, pictures: Tensor, target: int) -> None:
        self._made[target].append(self._describe(pictures))
        if self._judge is None:
            return
        places = [self._judge.names.index(name) for name in self._domains.attributes]
        seen_NA = self._judge(pictures)[:, places] > 0
        wanted_A = torch.tensor(self._domains.values(target), device=seen_NA.device).bool()
        self._hits.append((seen_NA == wanted_A).all(1))


def pieces(batches: Iterable[tuple[Tensor, Tensor]], limit: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The first ``limit`` rows of two columns, a few at a time; what is not needed is not asked for."""
    left = limit
    for these, those in batches:
        for start in range(0, min(len(these), left), PIECE):
            stop = min(start + PIECE, left)
            yield these[start:stop], those[start:stop]
        left -= len(these)
        if left <= 0:
            return


def _statistics(features: list[Tensor]) -> GaussianStatistics:
    statistics = GaussianStatistics(features[0].shape[1] if features else 0)
    for piece in features:
        statistics.add(piece)
    return statistics

"""How good translations of held-out faces are, as numbers. N faces, A attributes, K domains."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from raypipe.backbones.attributes import load_attributes
from raypipe.backbones.stargan2 import of_domain
from raypipe.backbones.stylegan2.evaluation import describer
from raypipe.blocks.frechet import GaussianStatistics, frechet_distance
from raypipe.errors import WrongUsage
from raypipe.methods.l2m_gan.networks import L2MGAN
from raypipe.weights import Part


class HeldOutTranslations:
    """Every held-out face as a member of each other domain, by the label."""

    def __init__(self, network: L2MGAN, parts: Mapping[str, Part], device: torch.device) -> None:
        self._network = network
        self._name, self._describe = describer(parts, device)
        attributes = network.config.attributes
        judge = load_attributes(parts["attributes"], device) if "attributes" in parts else None
        self._judge = judge if judge is not None and set(attributes) <= set(judge.names) else None
        self._reals: defaultdict[int, list[Tensor]] = defaultdict(list)
        self._made: defaultdict[int, list[Tensor]] = defaultdict(list)
        self._hits: list[Tensor] = []
        self._differences: list[Tensor] = []

    @torch.no_grad()
    def add(self, images: Tensor, domains_N: Tensor) -> None:
        """[n, 3, s, s] and the faces' own domains."""
        network = self._network
        own_ND = of_domain(network.style_encoder(images), domains_N)
        self._differences.append((network.generator(images, own_ND) - images).abs().mean((1, 2, 3)))
        features = self._describe(images)
        for target in range(len(network.domains)):
            is_other = domains_N != target
            self._reals[target].append(features[~is_other])
            if is_other.any():
                targets = torch.full_like(domains_N[is_other], target)
                style_ND = network.transformer(own_ND[is_other], targets)
                self._add_made(network.generator(images[is_other], style_ND).clamp(-1, 1), target)

    def numbers(self) -> dict[str, float]:
        """The mean over domains of the Fréchet distance of translations into one to its faces (``fid_attributes`` or
        ``fd_pixels8``, see ``describer``); ``accuracy``: the share of translations in which the model's attribute
        network, if it knows all the attributes, sees the target's values; ``reconstruction``: mean absolute difference
        of faces drawn in their own style.

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
        return {**numbers, "reconstruction": float(torch.cat(self._differences).mean())}

    def _add_made(self, pictures: Tensor, target: int) -> None:
        self._made[target].append(self._describe(pictures))
        if self._judge is None:
            return
        places = [self._judge.names.index(name) for name in self._network.config.attributes]
        seen_NA = self._judge(pictures)[:, places] > 0
        wanted_A = torch.tensor(self._network.domains.values(target), device=seen_NA.device).bool()
        self._hits.append((seen_NA == wanted_A).all(1))


def evaluated(
    translations: HeldOutTranslations, batches: Iterable[tuple[Tensor, Tensor]], limit: int
) -> dict[str, float]:
    """Of at most ``limit`` pictures with their domains."""
    count = 0
    for images, domains_N in batches:
        some = min(len(images), limit - count)
        translations.add(images[:some], domains_N[:some])
        count += some
        if count == limit:
            break
    return translations.numbers()


def _statistics(features: list[Tensor]) -> GaussianStatistics:
    statistics = GaussianStatistics(features[0].shape[1] if features else 0)
    for piece in features:
        statistics.add(piece)
    return statistics

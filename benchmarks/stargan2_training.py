"""StarGAN v2's training step against the public one, and L2M-GAN's beside it, in turns in one run.

    git clone https://github.com/clovaai/stargan-v2
    python -m benchmarks.stargan2_training --stargan2 stargan-v2

A step is theirs: the discriminator by noise and by references, then generator, style encoder and mapping network by
noise, and the generator by references, with R1 each time; without augmentation and landmarks. Both begin with the same
weights, and pictures and logits are compared. They take turns step by step, so that whatever else the machine does hits
both; ratios are medians over the turns. L2M-GAN has no public training: its step (one by labels, with the perceptual
loss of a ResNet-18 with random weights) is told as a share of their step. Prints a table, then JSON. Without a checkout
it says so and ends.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.machine import machine
from benchmarks.stylegan2_forward import timed
from raypipe.backbones.attributes import AttributeNet, AttributeNetConfig, attribute_part
from raypipe.backbones.perceptual.resnet18 import ResNet18, ResNet18Config, resnet18_part
from raypipe.backbones.stargan2 import load_discriminator, of_domain
from raypipe.backbones.stargan2.recipe import Config, StarGAN2Recipe, build_recipe
from raypipe.backbones.stylegan2.losses import r1_penalties
from raypipe.contract import Columns, DataFacts, Site
from raypipe.methods import l2m_gan
from raypipe.methods.l2m_gan.recipe import L2MGANRecipe

STYLE_DIM, LATENT_DIM, DOMAINS, DIVERSITY_STEPS, EMA_DECAY = 64, 16, 2, 100_000, 0.999
TOLERANCE = 1e-4
"""Of pictures and logits, relative to the largest."""


@dataclass(frozen=True)
class Result:
    """Seconds a step, medians over the turns; ratios are medians of theirs / ours of each turn."""

    size: int
    width: int
    batch: int
    turns: int
    theirs_s: float
    ours_s: float
    ratio: float
    l2m_s: float
    l2m_ratio: float
    difference: float


def main() -> None:
    """Read the options, run every case, print."""
    chosen = parsed()
    theirs = import_stargan2(chosen.stargan2)
    print("  size  width  batch  turns       theirs         ours   ratio      L2M-GAN   ratio  difference")
    results = []
    for size in chosen.sizes:
        result = compare(theirs, size, chosen.width, chosen.batch, turns=chosen.turns, device=chosen.device)
        results.append(result)
        print(
            f"{size:6}  {result.width:5}  {result.batch:5}  {result.turns:5}  {result.theirs_s * 1e3:8.1f} ms  "
            f"{result.ours_s * 1e3:8.1f} ms  {result.ratio:5.2f}x  {result.l2m_s * 1e3:8.1f} ms  "
            f"{result.l2m_ratio:5.2f}x  {result.difference:.1e}",
            flush=True,
        )
    about = {"benchmark": "stargan2_training", "machine": machine(), "device": chosen.device, "threads": chosen.threads}
    print(json.dumps({**about, "results": [asdict(result) for result in results]}, indent=2))
    if any(result.difference > TOLERANCE for result in results):
        sys.exit(f"pictures or logits differ by more than {TOLERANCE:g} of their size")


def parsed() -> argparse.Namespace:
    """Ends the program where there is nothing to compare with."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--stargan2", type=Path, help="a checkout of clovaai/stargan-v2")
    options.add_argument("--sizes", type=int, nargs="+", default=(128,), help="channels at full size are 16384 / size")
    options.add_argument("--width", type=int, default=128, help="most channels; theirs are 512")
    options.add_argument("--batch", type=int, default=4, help="faces that are changed in a step; theirs are 8")
    options.add_argument("--turns", type=int, default=5)
    options.add_argument("--device", default="cpu")
    options.add_argument("--threads", type=int, default=torch.get_num_threads())
    chosen = options.parse_args()
    if chosen.stargan2 is None:
        print("nothing to compare with: give --stargan2 PATH, a checkout of clovaai/stargan-v2")
        sys.exit()
    torch.set_num_threads(chosen.threads)
    return chosen


def import_stargan2(checkout: Path) -> Any:
    """Their ``core/model.py``, without the network of landmarks and its packages."""
    if not (checkout / "core" / "model.py").is_file():
        sys.exit(f"{checkout} has no core/model.py: it must be a checkout of clovaai/stargan-v2")
    munch, wing = ModuleType("munch"), ModuleType("core.wing")
    vars(munch)["Munch"], vars(wing)["FAN"] = SimpleNamespace, None
    sys.modules |= {"munch": munch, "core.wing": wing}
    sys.path.insert(0, str(checkout))
    return importlib.import_module("core.model")


def compare(theirs: Any, size: int, width: int, batch: int, *, turns: int, device: str) -> Result:
    """One turn to warm up, then ``turns`` that count."""
    their_training = TheirTraining(theirs, size, width, device)
    our_training = build_ours(their_training, size, width, batch, device)
    l2m_training = build_l2m(size, width, batch, device)
    difference = difference_of(their_training, our_training, size, device)
    measured = []
    for _ in range(turns + 1):
        images = (torch.rand(3 * batch, 3, size, size) * 2 - 1).to(device)
        labels = torch.randint(0, 2, (3 * batch, 1), device=device).float()
        of_l2m: Columns = {"image": images[:batch], "labels": labels[:batch]}
        measured.append(
            (
                timed(partial(their_training.step, images, labels[:, 0].long())),
                timed(partial(our_training.step, {"image": images, "labels": labels})),
                timed(partial(l2m_training.step, of_l2m)),
            )
        )
    counted = measured[1:]
    return Result(
        size=size,
        width=width,
        batch=batch,
        turns=turns,
        theirs_s=statistics.median(t for t, _, _ in counted),
        ours_s=statistics.median(o for _, o, _ in counted),
        ratio=statistics.median(t / o for t, o, _ in counted),
        l2m_s=statistics.median(m for _, _, m in counted),
        l2m_ratio=statistics.median(t / m for t, _, m in counted),
        difference=difference,
    )


class TheirTraining:
    """Their networks, trained as their solver does: passes, what gradients are taken of, optimisers and average."""

    def __init__(self, theirs: Any, size: int, width: int, device: str) -> None:
        torch.manual_seed(0)
        self.generator = theirs.Generator(size, STYLE_DIM, width, w_hpf=0).to(device)
        self.mapping = theirs.MappingNetwork(LATENT_DIM, STYLE_DIM, DOMAINS).to(device)
        self.style_encoder = theirs.StyleEncoder(size, STYLE_DIM, DOMAINS, width).to(device)
        self.discriminator = theirs.Discriminator(size, DOMAINS, width).to(device)
        self._learning = {
            "generator": self.generator,
            "mapping": self.mapping,
            "style_encoder": self.style_encoder,
            "discriminator": self.discriminator,
        }
        self._averaged = [copy.deepcopy(self._learning[name]) for name in ("generator", "mapping", "style_encoder")]
        self._optimisers = {
            name: torch.optim.Adam(
                network.parameters(), lr=1e-6 if name == "mapping" else 1e-4, betas=(0.0, 0.99), weight_decay=1e-4
            )
            for name, network in self._learning.items()
        }
        self._done = 0

    def step(self, images: Tensor, domains: Tensor) -> None:
        reals, *references = images.chunk(3)
        sources, targets, _ = domains.chunk(3)
        z = [torch.randn(len(reals), LATENT_DIM, device=images.device) for _ in range(2)]
        for network, readings in ((self.mapping, z), (self.style_encoder, references)):
            self._descend(self._judged(reals, sources, targets, network, readings[0]), ("discriminator",))
        for network, readings, learning in (
            (self.mapping, z, ("generator", "mapping", "style_encoder")),
            (self.style_encoder, references, ("generator",)),
        ):
            self._descend(self._drawn(reals, sources, targets, network, readings), learning)
        for kept, network in zip(self._averaged, self._learning.values(), strict=False):
            for average, now in zip(kept.parameters(), network.parameters(), strict=True):
                average.data = torch.lerp(now.data, average.data, EMA_DECAY)
        self._done += 1

    def _judged(self, reals: Tensor, sources: Tensor, targets: Tensor, network: Any, reading: Tensor) -> Tensor:
        reals.requires_grad_()
        logits = self.discriminator(reals, sources)
        with torch.no_grad():
            fakes = self.generator(reals, network(reading, targets))
        fake_logits = self.discriminator(fakes, targets)
        return F.softplus(-logits).mean() + F.softplus(fake_logits).mean() + 0.5 * r1_penalties(logits, reals).mean()

    def _drawn(
        self, reals: Tensor, sources: Tensor, targets: Tensor, network: Any, readings: Sequence[Tensor]
    ) -> Tensor:
        style = network(readings[0], targets)
        made = self.generator(reals, style)
        adversarial = F.softplus(-self.discriminator(made, targets)).mean()
        of_style = F.l1_loss(self.style_encoder(made, targets), style)
        others = self.generator(reals, network(readings[1], targets)).detach()
        diversity = F.l1_loss(made, others)
        cycle = F.l1_loss(self.generator(made, self.style_encoder(reals, sources)), reals)
        loss: Tensor = adversarial + of_style - (1 - self._done / DIVERSITY_STEPS) * diversity + cycle
        return loss

    def _descend(self, loss: Tensor, learning: Sequence[str]) -> None:
        for optimiser in self._optimisers.values():
            optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        for name in learning:
            self._optimisers[name].step()


def build_ours(theirs: TheirTraining, size: int, width: int, batch: int, device: str) -> StarGAN2Recipe:
    """Our recipe with their weights and settings."""
    config = Config(batch=3 * batch, max_width=width, mirror=False, crop=0.0, attributes=("Smiling",))
    recipe = build_recipe(config, site(size, device))
    state = recipe.state_dict()
    networks = {
        "generator": theirs.generator.state_dict(),
        "mapping": theirs.mapping.state_dict(),
        "style_encoder": theirs.style_encoder.state_dict(),
        "discriminator": theirs.discriminator.state_dict(),
    }
    players = {name: {**state["players"][name], "network": tensors} for name, tensors in networks.items()}
    average = {
        f"{name}.{key}": tensor
        for name, tensors in networks.items()
        if name != "discriminator"
        for key, tensor in tensors.items()
    }
    recipe.load_state_dict({**state, "players": players, "average": average})
    return recipe


def build_l2m(size: int, width: int, batch: int, device: str) -> L2MGANRecipe:
    """Its recipe with networks of the same sizes, and new weights."""
    config = l2m_gan.Config(batch=batch, max_width=width, mirror=False, crop=0.0, attributes=("Smiling",))
    torch.manual_seed(0)
    judge = AttributeNet(AttributeNetConfig(names=("Smiling",)))
    parts = {"attributes": attribute_part(judge), "resnet18": resnet18_part(ResNet18(ResNet18Config()).eval())}
    return l2m_gan.build_recipe(config, site(size, device, parts))


def site(size: int, device: str, parts: Any = ()) -> Site:
    facts = DataFacts(rows=0, size=size, attributes=("Smiling",))
    return Site(data=facts, parts=dict(parts), device=torch.device(device))


@torch.no_grad()
def difference_of(theirs: TheirTraining, ours: StarGAN2Recipe, size: int, device: str) -> float:
    """Of made pictures and of their logits, by each side's own networks, relative to the largest."""
    images = (torch.rand(2, 3, size, size) * 2 - 1).to(device)
    z, domains = torch.randn(2, LATENT_DIM).to(device), torch.tensor([0, 1], device=device)
    expected = theirs.generator(images, theirs.mapping(z, domains))
    actual = ours.average.generator(images, of_domain(ours.average.mapping(z), domains))
    expected_logits = theirs.discriminator(expected, domains)
    discriminator = load_discriminator(ours.export()["stargan2_discriminator"], device)
    logits = of_domain(discriminator(actual), domains)
    return max(float((a - e).abs().max() / e.abs().max()) for a, e in ((actual, expected), (logits, expected_logits)))


if __name__ == "__main__":
    main()

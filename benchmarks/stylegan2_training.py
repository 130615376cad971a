"""StyleGAN2's training steps against rosinality's, side by side in one run.

    git clone https://github.com/rosinality/stylegan2-pytorch
    python -m benchmarks.stylegan2_training --rosinality stylegan2-pytorch

A cycle is 16 steps of both networks with one R1 and four path length steps, as in their train.py, whose order of passes
is kept; without augmentation. Both begin with the same weights, and logits are compared. They take turns step by step,
so that whatever else the machine does hits both; the ratio is the median over the cycles. On the CPU their code needs
no compiler: its CUDA extensions are not built. Prints a table, then JSON. Without a checkout it says so and ends.
"""

from __future__ import annotations

import copy
import json
import random
import statistics
import sys
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.machine import machine
from benchmarks.stylegan2_forward import (
    TOLERANCE,
    WIDTHS,
    import_rosinality,
    narrowed,
    options_of_cases,
    parsed,
    timed,
)
from raypipe.backbones.stylegan2.config import DiscriminatorConfig
from raypipe.backbones.stylegan2.foreign_rosinality import rosinality_discriminator_part, rosinality_generator_part
from raypipe.backbones.stylegan2.losses import (
    discriminator_loss,
    generator_loss,
    path_length_penalty,
    path_lengths,
    r1_penalties,
)
from raypipe.backbones.stylegan2.recipe import Config, StyleGAN2Recipe, build_recipe
from raypipe.contract import DataFacts, Site

R1_GAMMA, PATH_WEIGHT, LEARNING_RATE, MIXING = 10.0, 2.0, 0.002, 0.9
D_INTERVAL, G_INTERVAL, PATH_SHRINK = 16, 4, 2
EMA_DECAY = 0.5 ** (32 / 10_000)


@dataclass(frozen=True)
class Result:
    """Seconds a step, medians over the cycles; ``ratio`` is the median of theirs / ours of each cycle."""

    size: int
    width: str
    batch: int
    cycles: int
    theirs_s: float
    ours_s: float
    ratio: float
    difference: float


def main() -> None:
    """Read the options, run every case, print."""
    options = options_of_cases(__doc__, sizes=(64,), widths=("narrow",), batches=(8,))
    options.add_argument("--cycles", type=int, default=3, help="of 16 steps, for each case")
    chosen = parsed(options)
    theirs = import_rosinality(chosen.rosinality, chosen.device)
    results = []
    print("  size  width   batch  cycles   theirs a step  ours a step   ratio  difference")
    for size in chosen.sizes:
        for width in chosen.widths:
            for batch in chosen.batches:
                result = compare(theirs, size, width, batch, cycles=chosen.cycles, device=chosen.device)
                results.append(result)
                print(
                    f"{size:6}  {width:6}  {batch:5}  {result.cycles:6}  {result.theirs_s * 1e3:10.1f} ms "
                    f"{result.ours_s * 1e3:9.1f} ms  {result.ratio:5.2f}x  {result.difference:.1e}",
                    flush=True,
                )
    about = {"benchmark": "stylegan2_training", "machine": machine(), "device": chosen.device}
    about["threads"] = chosen.threads
    print(json.dumps({**about, "results": [asdict(result) for result in results]}, indent=2))
    if any(result.difference > TOLERANCE for result in results):
        sys.exit(f"the logits differ by more than {TOLERANCE:g} of their size")


def compare(theirs: Any, size: int, width: str, batch: int, *, cycles: int, device: str) -> Result:
    """One cycle to warm up, then ``cycles`` that count."""
    their_training = TheirTraining(theirs, size, WIDTHS[width], device)
    our_training = build_ours(their_training, size, batch, device)
    difference = logits_difference(their_training, our_training, size, device)
    measured: list[tuple[float, float]] = []
    for _ in range(cycles + 1):
        theirs_s = ours_s = 0.0
        for _ in range(D_INTERVAL):
            images = (torch.rand(batch, 3, size, size) * 2 - 1).to(device)
            theirs_s += timed(partial(their_training.step, images))
            ours_s += timed(partial(our_training.step, {"image": images}))
        measured.append((theirs_s / D_INTERVAL, ours_s / D_INTERVAL))
    counted = measured[1:]
    return Result(
        size=size,
        width=width,
        batch=batch,
        cycles=cycles,
        theirs_s=statistics.median(t for t, _ in counted),
        ours_s=statistics.median(o for _, o in counted),
        ratio=statistics.median(t / o for t, o in counted),
        difference=difference,
    )


class TheirTraining:
    """Their networks, trained as their train.py does on one device: passes, optimisers and average."""

    def __init__(self, theirs: Any, size: int, divisor: int, device: str) -> None:
        torch.manual_seed(0)
        self.style_dim = 512 // divisor
        with narrowed(theirs, divisor):
            self.generator = theirs.Generator(size, self.style_dim, 8).to(device)
        self.discriminator = narrow_discriminator(theirs, size, divisor).to(device)
        self.average = copy.deepcopy(self.generator).eval()
        self._g_optimiser = their_adam(self.generator, G_INTERVAL)
        self._d_optimiser = their_adam(self.discriminator, D_INTERVAL)
        self._mean_length: Tensor | float = 0.0
        self._done = 0

    def step(self, reals: Tensor) -> None:
        self.generator.requires_grad_(False)
        self.discriminator.requires_grad_(True)
        fakes = self._fakes(len(reals))[0]
        fake_logits, real_logits = self.discriminator(fakes), self.discriminator(reals)
        descend(self.discriminator, self._d_optimiser, discriminator_loss(real_logits, fake_logits))
        if self._done % D_INTERVAL == 0:
            reals.requires_grad_()
            penalty = r1_penalties(self.discriminator(reals), reals).mean()
            descend(self.discriminator, self._d_optimiser, R1_GAMMA / 2 * D_INTERVAL * penalty)
        self.generator.requires_grad_(True)
        self.discriminator.requires_grad_(False)
        logits = self.discriminator(self._fakes(len(reals))[0])
        descend(self.generator, self._g_optimiser, generator_loss(logits))
        if self._done % G_INTERVAL == 0:
            images, w_plus = self._fakes(len(reals) // PATH_SHRINK, return_latents=True)
            lengths = path_lengths(images, w_plus, torch.randn_like(images))
            mean = self._mean_length + 0.01 * (lengths.mean() - self._mean_length)
            penalty = path_length_penalty(lengths, mean)
            descend(self.generator, self._g_optimiser, PATH_WEIGHT * G_INTERVAL * penalty)
            self._mean_length = mean.detach()
        for kept, now in zip(self.average.parameters(), self.generator.parameters(), strict=True):
            kept.data.mul_(EMA_DECAY).add_(now.data, alpha=1 - EMA_DECAY)
        self._done += 1

    def _fakes(self, rows: int, *, return_latents: bool = False) -> tuple[Tensor, Tensor]:
        device = next(self.generator.parameters()).device
        styles = 2 if random.random() < MIXING else 1
        z = torch.randn(styles, rows, self.style_dim, device=device)
        made: tuple[Tensor, Tensor] = self.generator(list(z), return_latents=return_latents)
        return made


def narrow_discriminator(theirs: Any, size: int, divisor: int) -> nn.Module:
    """Their discriminator with so many times fewer channels: its table is no option, so its parts are replaced."""
    discriminator: nn.Module = theirs.Discriminator(size)
    channels = {r: c // divisor for r, c in DiscriminatorConfig(size=size).channel_table.items()}
    resolutions = sorted((r for r in channels if r > 4), reverse=True)
    last = channels[4]
    discriminator.convs = nn.Sequential(
        theirs.ConvLayer(3, channels[size], 1), *(theirs.ResBlock(channels[r], channels[r // 2]) for r in resolutions)
    )
    discriminator.final_conv = theirs.ConvLayer(last + 1, last, 3)
    discriminator.final_linear = nn.Sequential(
        theirs.EqualLinear(last * 16, last, activation="fused_lrelu"), theirs.EqualLinear(last, 1)
    )
    return discriminator


def their_adam(network: nn.Module, interval: int) -> torch.optim.Optimizer:
    share = interval / (interval + 1)
    return torch.optim.Adam(network.parameters(), lr=LEARNING_RATE * share, betas=(0.0, 0.99**share))


def descend(network: nn.Module, optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    network.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimiser.step()


def build_ours(theirs: TheirTraining, size: int, batch: int, device: str) -> StyleGAN2Recipe:
    """Our recipe with their weights and settings."""
    generator, _ = rosinality_generator_part(theirs.generator.state_dict(), torch.zeros(theirs.style_dim))
    discriminator = rosinality_discriminator_part(theirs.discriminator.state_dict())
    config = Config(
        batch=batch,
        style_dim=theirs.style_dim,
        channels=tuple(generator.config["channels"]),
        learning_rate=LEARNING_RATE,
        r1_gamma=R1_GAMMA,
        d_reg_interval=D_INTERVAL,
        g_reg_interval=G_INTERVAL,
        path_batch_shrink=PATH_SHRINK,
        path_length_weight=PATH_WEIGHT,
        mixing=MIXING,
        augment=False,
        mirror=False,
    )
    recipe = build_recipe(config, Site(data=DataFacts(rows=0, size=size), device=torch.device(device)))
    state = recipe.state_dict()
    state["generator"] = {**state["generator"], "network": generator.tensors}
    state["discriminator"] = {**state["discriminator"], "network": discriminator.tensors}
    recipe.load_state_dict({**state, "average": generator.tensors})
    return recipe


@torch.no_grad()
def logits_difference(theirs: TheirTraining, ours: StyleGAN2Recipe, size: int, device: str) -> float:
    """Of made pictures' logits, by each side's own networks, relative to the largest."""
    z = torch.randn(4, theirs.style_dim).to(device)
    expected = theirs.discriminator(theirs.generator([z], randomize_noise=False)[0])
    actual = ours.discriminator(ours.average(z))
    return float((actual - expected).abs().max() / expected.abs().max())


if __name__ == "__main__":
    main()

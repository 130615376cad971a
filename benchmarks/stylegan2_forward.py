"""StyleGAN2's forward pass against rosinality's, side by side in one run.

    git clone https://github.com/rosinality/stylegan2-pytorch
    python -m benchmarks.stylegan2_forward --rosinality stylegan2-pytorch

Both get the same random weights, z and noise maps. They take turns, so that whatever else the machine does hits both;
the ratio is the median over the pairs. The pictures are compared in the same run. On the CPU their code needs no
compiler: its CUDA extensions are not built. Prints a table, then JSON. Without a checkout it says so and ends.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.utils.cpp_extension
from torch import Tensor, nn

from benchmarks.machine import machine
from raypipe.backbones.stylegan2 import Generator, load_generator
from raypipe.backbones.stylegan2.foreign_rosinality import rosinality_generator_part

SIZES = (64, 256, 1024)
WIDTHS = {"narrow": 8, "full": 1}
"""Name -> what the channels and the width of w of config-f are divided by."""

BATCHES = (1, 4)
TOLERANCE = 1e-4
"""Of the pictures, relative to their standard deviation."""


@dataclass(frozen=True)
class Result:
    """Medians over the pairs, in seconds; ``ratio`` is the median of theirs / ours of each pair."""

    size: int
    width: str
    batch: int
    pairs: int
    theirs_s: float
    ours_s: float
    ratio: float
    difference: float


def main() -> None:
    """Read the options, run every case, print."""
    options = options_of_cases(__doc__, sizes=SIZES, widths=tuple(WIDTHS), batches=BATCHES)
    options.add_argument("--seconds", type=float, default=20.0, help="how long to take pairs of one case")
    chosen = parsed(options)
    theirs = import_rosinality(chosen.rosinality, chosen.device)
    results = []
    print("  size  width   batch  pairs   theirs      ours   ratio  difference")
    for size in chosen.sizes:
        for width in chosen.widths:
            pair = build_pair(theirs, size, WIDTHS[width], chosen.device)
            for batch in chosen.batches:
                result = compare(*pair, batch=batch, width=width, seconds=chosen.seconds)
                results.append(result)
                print(
                    f"{size:6}  {width:6}  {batch:5}  {result.pairs:5}  {result.theirs_s * 1e3:6.1f} ms "
                    f"{result.ours_s * 1e3:6.1f} ms  {result.ratio:5.2f}x  {result.difference:.1e}",
                    flush=True,
                )
    about = {"benchmark": "stylegan2_forward", "machine": machine(), "device": chosen.device, "threads": chosen.threads}
    print(json.dumps({**about, "results": [asdict(result) for result in results]}, indent=2))
    if any(result.difference > TOLERANCE for result in results):
        sys.exit(f"the pictures differ by more than {TOLERANCE:g} of their standard deviation")


def options_of_cases(
    description: str | None, *, sizes: tuple[int, ...], widths: tuple[str, ...], batches: tuple[int, ...]
) -> argparse.ArgumentParser:
    """What both comparisons with rosinality's code can be told."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rosinality", type=Path, help="a checkout of rosinality/stylegan2-pytorch")
    options.add_argument("--sizes", type=int, nargs="+", default=sizes)
    options.add_argument("--widths", nargs="+", choices=WIDTHS, default=widths)
    options.add_argument("--batches", type=int, nargs="+", default=batches)
    options.add_argument("--device", default="cpu")
    options.add_argument("--threads", type=int, default=torch.get_num_threads())
    return options


def parsed(options: argparse.ArgumentParser) -> argparse.Namespace:
    """Ends the program where there is nothing to compare with."""
    chosen = options.parse_args()
    if chosen.rosinality is None:
        print("nothing to compare with: give --rosinality PATH, a checkout of rosinality/stylegan2-pytorch")
        sys.exit()
    torch.set_num_threads(chosen.threads)
    return chosen


def import_rosinality(checkout: Path, device: str) -> Any:
    """Their ``model.py``."""
    if not (checkout / "model.py").is_file():
        sys.exit(f"{checkout} has no model.py: it must be a checkout of rosinality/stylegan2-pytorch")
    sys.path.insert(0, str(checkout))
    build = torch.utils.cpp_extension.load
    if device == "cpu":
        torch.utils.cpp_extension.load = lambda *_, **__: None
    try:
        return importlib.import_module("model")
    finally:
        torch.utils.cpp_extension.load = build
        sys.path.remove(str(checkout))


def build_pair(theirs: Any, size: int, divisor: int, device: str) -> tuple[nn.Module, Generator]:
    """Their generator and ours with the same random weights; noise and biases are not zero."""
    torch.manual_seed(0)
    with narrowed(theirs, divisor):
        their_generator = theirs.Generator(size, 512 // divisor, 8).eval().requires_grad_(False)
    for name, parameter in their_generator.named_parameters():
        if name.endswith(("noise.weight", "bias")):
            parameter.add_(0.1 * torch.randn_like(parameter))
    part, _ = rosinality_generator_part(their_generator.state_dict(), torch.zeros(512 // divisor))
    return their_generator.to(device), load_generator(part, device)


@contextmanager
def narrowed(theirs: Any, divisor: int) -> Iterator[None]:
    """While it lasts, their layers are built with so many times fewer channels: the table itself is no option."""
    constant, conv, to_rgb = theirs.ConstantInput, theirs.StyledConv, theirs.ToRGB
    theirs.ConstantInput = lambda channels: constant(channels // divisor)
    theirs.StyledConv = lambda inputs, outputs, *rest, **more: conv(
        inputs // divisor, outputs // divisor, *rest, **more
    )
    theirs.ToRGB = lambda inputs, *rest, **more: to_rgb(inputs // divisor, *rest, **more)
    try:
        yield
    finally:
        theirs.ConstantInput, theirs.StyledConv, theirs.ToRGB = constant, conv, to_rgb


def compare(theirs: nn.Module, ours: Generator, *, batch: int, width: str, seconds: float) -> Result:
    """Take turns for ``seconds``, at least three times."""
    z = torch.randn(batch, ours.config.z_dim).to(ours.w_avg.device)

    def run_theirs() -> Tensor:
        image: Tensor = theirs([z], randomize_noise=False)[0]
        return image

    with torch.no_grad():
        expected, actual = run_theirs(), ours(z)
        difference = float((actual - expected).abs().max() / expected.std())
        pairs: list[tuple[float, float]] = []
        started = time.perf_counter()
        while len(pairs) < 3 or time.perf_counter() - started < seconds:
            pairs.append((timed(run_theirs), timed(lambda: ours(z))))
    return Result(
        size=ours.config.size,
        width=width,
        batch=batch,
        pairs=len(pairs),
        theirs_s=statistics.median(t for t, _ in pairs),
        ours_s=statistics.median(o for _, o in pairs),
        ratio=statistics.median(t / o for t, o in pairs),
        difference=difference,
    )


def timed(run: Callable[[], Any]) -> float:
    """Seconds that one run takes, to its end also on a GPU."""
    started = time.perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()

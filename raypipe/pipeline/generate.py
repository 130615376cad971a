"""Pictures from a model's generator: of seeds, or of latent codes in a file."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from raypipe import storage
from raypipe.backbones.stylegan2 import Generator, load_generator
from raypipe.errors import WrongUsage
from raypipe.pipeline.grid import rows_png
from raypipe.weights import open_bundle

NOISES = ("const", "none", "random")
SPACES = ("z", "w")
FORMATS = (".png", ".npy")

MOST_SEEDS = 1_000_000
LARGEST_RESULT = 4 << 30

_PIXELS_A_BATCH = 1 << 20


@dataclass(frozen=True, kw_only=True)
class GenerateConfig:
    """What to draw and how. Exactly one of ``seeds`` and ``latents``.

    Attributes:
        model: a bundle with a generator.
        out: a ``.png`` (a grid) or a ``.npy`` (float32 [n, 3, h, w], as the generator gives it, not clipped).
        seeds: ``0-31`` or ``1,5,9``.
        latents: a ``.npy`` of numbers: [n, L, D] is w+, [n, d] is z or w, as ``space`` says.
        label: number of the class, for a conditional generator.
        noise: ``const`` (the model's own maps), ``none``, or ``random`` (of each picture's seed or row number).
        truncation: 1 = as it is, 0 = the mean face.
        truncation_cutoff: truncate only so many layers, from the coarsest; None = all.
        columns: of the grid; 0 = as square as possible.
    """

    model: str
    out: str
    seeds: str | None = None
    latents: str | None = None
    space: str = "z"
    label: int | None = None
    noise: str = "const"
    truncation: float = 1.0
    truncation_cutoff: int | None = None
    columns: int = 0

    def __post_init__(self) -> None:
        problems: list[str] = []
        if (self.seeds is None) == (self.latents is None):
            problems.append("give either seeds or latents")
        if not self.out.endswith(FORMATS):
            problems.append(f"out must end in {' or '.join(FORMATS)}, got {self.out!r}")
        for name, allowed in (("noise", NOISES), ("space", SPACES)):
            if getattr(self, name) not in allowed:
                problems.append(f"{name} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}")
        if not math.isfinite(self.truncation):
            problems.append(f"truncation must be a finite number, got {self.truncation}")
        if self.truncation_cutoff is not None and self.truncation_cutoff < 0:
            problems.append(f"truncation-cutoff must be at least 0, got {self.truncation_cutoff}")
        if self.columns < 0:
            problems.append(f"columns must be at least 0, got {self.columns}")
        if problems:
            raise WrongUsage("; ".join(problems))


def generate(config: GenerateConfig, progress: Callable[[int, int], None]) -> int:
    """Draw the pictures and write ``config.out``; returns how many. ``progress`` is told pictures done and in all.

    Raises:
        WrongUsage: a setting that cannot be meant, or latents that do not fit the model.
        BadWeights: the bundle has no generator, or a damaged one.
    """
    generator = load_generator(
        open_bundle(config.model).read("generator"), "cuda" if torch.cuda.is_available() else "cpu"
    )
    if config.seeds is not None:
        seeds = parse_seeds(config.seeds)
        codes = z_of_seeds(seeds, generator.config.z_dim)
    else:
        codes = _read_array(str(config.latents))
        seeds = list(range(len(codes)))
    _check_size_of_result(len(codes), generator)
    batches: list[Tensor] = []
    for batch in draw(codes, seeds, generator, config):
        batches.append(batch)
        progress(sum(map(len, batches)), len(codes))
    images = torch.cat(batches)
    storage.write_bytes(config.out, _npy(images) if config.out.endswith(".npy") else _png(images, config.columns))
    return len(images)


def draw(codes: Tensor, seeds: Sequence[int], generator: Generator, config: GenerateConfig) -> Iterator[Tensor]:
    """Batches of pictures, float32 [b, 3, h, w] on the CPU, as the generator gives them.

    Args:
        codes: [n, d] or [n, L, D] float32, see ``GenerateConfig.latents``.
        seeds: of each picture's noise, where that is random.
    """
    batch_size = max(1, _PIXELS_A_BATCH // generator.config.size**2)
    for start in range(0, len(codes), batch_size):
        some = slice(start, start + batch_size)
        yield _draw_batch(codes[some], seeds[some], generator, config)


def _draw_batch(codes: Tensor, seeds: Sequence[int], generator: Generator, config: GenerateConfig) -> Tensor:
    device = generator.w_avg.device
    # TensorFloat-32 would cost three of the seven digits.
    with torch.no_grad(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        w_plus = _w_plus(codes.to(device), generator, config)
        w_plus = generator.truncate(w_plus, config.truncation, cutoff=config.truncation_cutoff)
        if config.noise == "random":
            maps = [_noise_maps(seed, generator.synthesis.noise_sizes) for seed in seeds]
            images = generator.synthesis(w_plus, [torch.stack(level).to(device) for level in zip(*maps, strict=True)])
        else:
            images = generator.synthesis(w_plus, "none" if config.noise == "none" else "const")
        on_cpu: Tensor = images.cpu()
        return on_cpu


def parse_seeds(text: str) -> list[int]:
    """``0-31`` or ``1,5,9`` or a mixture -> the seeds, in order.

    Raises:
        WrongUsage: another form, a range that goes down, or a seed above 2^32 - 1.
    """
    ranges: list[range] = []
    for item in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,10})(?:-(\d{1,10}))?\s*", item)
        if match is None:
            raise WrongUsage(f"{item!r} in seeds {text!r} is neither a number nor a range such as 0-31")
        first, last = int(match[1]), int(match[2] or match[1])
        if not first <= last < 2**32:
            raise WrongUsage(f"seeds {item!r} must go up and stay below 2^32")
        ranges.append(range(first, last + 1))
    if sum(map(len, ranges)) > MOST_SEEDS:
        raise WrongUsage(f"seeds {text!r} are {sum(map(len, ranges)):,}, at most {MOST_SEEDS:,} are drawn at once")
    return [seed for numbers in ranges for seed in numbers]


def z_of_seeds(seeds: Sequence[int], z_dim: int) -> Tensor:
    """The z that public StyleGAN2 code gives to a seed: float32 [n, z_dim]."""
    rows = [np.random.RandomState(seed).randn(1, z_dim) for seed in seeds]
    return torch.from_numpy(np.concatenate(rows).astype(np.float32))


def _read_array(uri: str) -> Tensor:
    """Any array of finite numbers, as float32."""
    try:
        array = np.load(io.BytesIO(storage.read_bytes(uri)), allow_pickle=False)
    except FileNotFoundError as error:
        raise WrongUsage(f"no latents at {uri!r}") from error
    except (ValueError, EOFError, MemoryError) as error:
        raise WrongUsage(f"{uri}: not a .npy file of numbers: {error}") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu" or array.ndim < 2 or not len(array):
        raise WrongUsage(f"{uri}: latents must be an array of numbers [n, d] or [n, L, D], n at least 1")
    if not np.isfinite(array).all():
        raise WrongUsage(f"{uri}: latents must be finite; some are not")
    return torch.from_numpy(array.astype(np.float32))


def _w_plus(codes: Tensor, generator: Generator, config: GenerateConfig) -> Tensor:
    rows, style_dim, z_dim = generator.num_layers, generator.config.style_dim, generator.config.z_dim
    if codes.shape[1:] == (rows, style_dim):
        return codes
    if config.space == "w" and codes.shape[1:] == (style_dim,):
        return generator.broadcast(codes)
    if config.space == "z" and codes.shape[1:] == (z_dim,):
        return generator.broadcast(generator.mapping(codes, _labels(len(codes), generator, config.label)))
    width = z_dim if config.space == "z" else style_dim
    shape = ", ".join(map(str, codes.shape[1:]))
    raise WrongUsage(
        f"latents are [n, {shape}]; this model takes {config.space} [n, {width}] or w+ [n, {rows}, {style_dim}]"
    )


def _labels(n: int, generator: Generator, label: int | None) -> Tensor | None:
    classes = generator.config.label_dim
    if not classes and label is None:
        return None
    if label is None or not 0 <= label < classes:
        wanted = f"a class from 0 to {classes - 1}" if classes else "no class"
        raise WrongUsage(f"this model takes {wanted}, got {'none' if label is None else label}")
    one_hot = torch.zeros(n, classes, device=generator.w_avg.device)
    one_hot[:, label] = 1.0
    return one_hot


def _noise_maps(seed: int, sizes: Sequence[int]) -> list[Tensor]:
    random = torch.Generator().manual_seed(seed)
    return [torch.randn(1, size, size, generator=random) for size in sizes]


def _check_size_of_result(n: int, generator: Generator) -> None:
    size = generator.config.size
    needed = n * 3 * size * size * 4
    if needed > LARGEST_RESULT:
        raise WrongUsage(
            f"{n:,} pictures of {size}x{size} are {needed / 2**30:.1f} GiB; at most {LARGEST_RESULT / 2**30:.0f} GiB, "
            f"{LARGEST_RESULT * n // needed:,} pictures, are drawn at once"
        )


def _npy(images: Tensor) -> bytes:
    file = io.BytesIO()
    np.save(file, images.numpy(), allow_pickle=False)
    return file.getvalue()


def _png(images: Tensor, columns: int) -> bytes:
    return rows_png(images, min(len(images), columns or math.ceil(math.sqrt(len(images)))))

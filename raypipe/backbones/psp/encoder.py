"""The inversion encoder as the product uses it: pictures in, W+ codes out, the average code included."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from raypipe.backbones.psp.config import EncoderConfig
from raypipe.backbones.psp.networks import GradualStyleEncoder, LastLayerIntoW, LastLayerIntoWPlus
from raypipe.blocks.columns import pictures
from raypipe.blocks.loading import load_exactly
from raypipe.config import as_dict, read_config
from raypipe.errors import BadWeights, WrongUsage
from raypipe.weights import Part

LATENT_AVG = "latent_avg"


def rows_as_they_are(rows_NLD: Tensor) -> Tensor:
    return rows_NLD


def rows_from_first(rows_NLD: Tensor) -> Tensor:
    """The first row is the base, the others are offsets from it (Tov et al., Designing an Encoder, section 4.1)."""
    base = rows_NLD[:, :1]
    return torch.cat([base, base + rows_NLD[:, 1:]], dim=1)


KINDS: Mapping[str, tuple[Callable[[EncoderConfig], nn.Module], Callable[[Tensor], Tensor]]] = {
    "psp": (GradualStyleEncoder, rows_as_they_are),
    "e4e": (GradualStyleEncoder, rows_from_first),
    "psp_into_w": (LastLayerIntoW, rows_as_they_are),
    "psp_into_w_plus": (LastLayerIntoWPlus, rows_as_they_are),
}
"""Kind of the part -> the network, and how its rows become the code."""


class Encoder(nn.Module):
    """A network of ``KINDS`` and the average code that its output is relative to."""

    latent_avg: Tensor

    def __init__(self, kind: str, config: EncoderConfig) -> None:
        super().__init__()
        if kind not in KINDS:
            raise BadWeights(f"{kind!r} is not a kind of encoder; kinds: {', '.join(KINDS)}")
        network, self._code_of_rows = KINDS[kind]
        self.kind = kind
        self.config = config
        self.network = network(config)
        self.register_buffer(LATENT_AVG, torch.zeros(self.code_shape))

    @property
    def input_size(self) -> int:
        """Side of the pictures that it looks at."""
        return self.config.input_size

    @property
    def code_shape(self) -> tuple[int, int]:
        """Rows and width of a code."""
        return self.config.num_layers, self.config.style_dim

    def forward(self, images: Tensor) -> Tensor:
        """float32 [n,3,s,s] in [-1,1] -> W+ codes [n, *code_shape]; larger pictures are shrunk to ``input_size``.

        Raises:
            WrongUsage: the pictures are smaller, or not square.
        """
        images = pictures({"image": images}, "image", self.input_size)
        # Convolutions on a CPU and on tensor cores are fastest with the channels last in memory.
        rows = self.network(images.contiguous(memory_format=torch.channels_last))
        return self._code_of_rows(rows) + self.latent_avg


def load_encoder(part: Part, device: str | torch.device) -> Encoder:
    """The encoder of a bundle, ready for inference.

    Raises:
        BadWeights: the part is not an encoder, or its tensors do not fit its config.
    """
    try:
        config = read_config(EncoderConfig, part.config)
    except WrongUsage as error:
        raise BadWeights(f"encoder config: {error}") from error
    with torch.device("meta"):
        encoder = Encoder(part.kind, config)
    load_exactly(encoder, _inner_names(part.tensors), f"encoder of kind {part.kind!r}")
    return encoder.to(device).eval().requires_grad_(False)


def encoder_part(encoder: Encoder) -> Part:
    """What ``load_encoder`` reads; the tensors have the public checkpoints' names, and ``latent_avg`` [L,D]."""
    tensors = {name.removeprefix("network."): tensor for name, tensor in encoder.state_dict().items()}
    return Part(encoder.kind, as_dict(encoder.config), tensors)


def _inner_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name if name == LATENT_AVG else f"network.{name}": tensor for name, tensor in tensors.items()}

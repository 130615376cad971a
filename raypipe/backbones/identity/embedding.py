"""A small identity network that trains on a CPU: pictures of any alignment, as long as it is the training data's."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raypipe.blocks.loading import load_network
from raypipe.blocks.residual_trunk import ResidualTrunk, trunk_problems
from raypipe.blocks.sizes import of_size
from raypipe.config import as_dict
from raypipe.errors import WrongUsage
from raypipe.weights import Part

KIND = "embedding_net"


@dataclass(frozen=True, kw_only=True)
class EmbeddingConfig:
    """``size`` of the pictures it sees; ``depth`` residual blocks for each width; ``embedding_dim`` of the vector."""

    size: int = 64
    widths: tuple[int, ...] = (24, 48, 72, 96)
    depth: int = 1
    grid: int = 4
    embedding_dim: int = 128

    def __post_init__(self) -> None:
        if problems := trunk_problems(self.size, self.widths, self.depth):
            raise WrongUsage("\n".join(problems))


class EmbeddingNet(nn.Module):
    """Pictures of any size, brought to the network's own."""

    def __init__(self, config: EmbeddingConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk = ResidualTrunk(
            widths=config.widths, depth=config.depth, grid=config.grid, features=config.embedding_dim
        )

    def forward(self, images: Tensor) -> Tensor:
        """RGB [n,3,h,w] in [-1,1] -> [n,embedding_dim], rows of unit length."""
        return F.normalize(self.trunk(of_size(images, self.config.size)))

    def embed(self, images: Tensor) -> Tensor:
        """The same, by the name that all identity networks share."""
        vectors: Tensor = self(images)
        return vectors


def load_embedding(part: Part, device: str | torch.device) -> EmbeddingNet:
    """The network of a bundle's part, ready for inference.

    Raises:
        BadWeights: the part is not an embedding network, or its tensors do not fit its config.
    """
    return load_network(part, KIND, EmbeddingConfig, EmbeddingNet, device)


def embedding_part(network: EmbeddingNet) -> Part:
    """What ``load_embedding`` reads."""
    return Part(KIND, as_dict(network.config), network.state_dict())

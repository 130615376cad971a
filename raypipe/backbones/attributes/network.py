"""One network for all attributes of a face: a shared vector of features, and one logit for each attribute."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from raypipe.blocks.residual_trunk import ResidualTrunk, trunk_problems
from raypipe.blocks.sizes import of_size
from raypipe.errors import WrongUsage


@dataclass(frozen=True, kw_only=True)
class AttributeNetConfig:
    """``names`` of the attributes, ``size`` of the pictures it sees; ``depth`` residual blocks for each width.

    The defaults, with 40 attributes, have 0.47 million parameters.
    """

    names: tuple[str, ...]
    size: int = 64
    widths: tuple[int, ...] = (24, 48, 72, 96)
    depth: int = 1
    grid: int = 4
    feature_dim: int = 128

    def __post_init__(self) -> None:
        problems = trunk_problems(self.size, self.widths, self.depth)
        if not self.names or len(set(self.names)) < len(self.names):
            problems.append(f"names must be at least one and all different, got {', '.join(self.names) or 'none'}")
        if problems:
            raise WrongUsage("\n".join(problems))


class AttributeNet(nn.Module):
    """Pictures of any size, brought to the network's own."""

    def __init__(self, config: AttributeNetConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk = ResidualTrunk(
            widths=config.widths, depth=config.depth, grid=config.grid, features=config.feature_dim
        )
        self.head = nn.Linear(config.feature_dim, len(config.names))

    @property
    def names(self) -> tuple[str, ...]:
        """The attributes, in the order of the logits."""
        return self.config.names

    def forward(self, images: Tensor) -> Tensor:
        """[n,3,h,w] in [-1,1] -> logits [n,A]; above 0: the face has the attribute."""
        logits: Tensor = self.head(self.features(images))
        return logits

    def features(self, images: Tensor) -> Tensor:
        """[n,3,h,w] in [-1,1] -> [n,feature_dim]: what the logits are linear in."""
        return F.silu(self.trunk(of_size(images, self.config.size)))

"""Settings of the method, and of how its catalogue is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from raypipe.config import Range, check_ranges


@dataclass(frozen=True, kw_only=True)
class Variant:
    """Where the paper and its authors' code differ. Defaults are the paper's; ``PUBLIC_CODE`` is theirs.

    Attributes:
        squared: clusters are of squared activations; off, of activations as they are.
        instance_norm: activations have mean 0 and variance 1 in every channel before they are squared. The paper does
            not say so, but its M in [0,1] and its temperature fit nothing else.
        temperature: tau of equation 4.
        threshold: q becomes 1 where it is over this and 0 elsewhere; None: it stays soft.
        maximum_first: of a pair, q is made of the maximum of both contributions (equation 3); off, it is the maximum of
            the q of each.
        rgb_channels: channels of toRGB layers may belong to features, too.
        keep_length: what a transfer takes from a reference is brought to the length of what it replaces.
        by_channel: for retrieval, style coefficients are normalised channel by channel; off, by one mean and one
            deviation a layer.
    """

    squared: bool = False
    instance_norm: bool = True
    temperature: float = 0.1
    threshold: float | None = None
    maximum_first: bool = True
    rgb_channels: bool = True
    keep_length: bool = False
    by_channel: bool = False

    def __post_init__(self) -> None:
        check_ranges(self, {"temperature": Range(above=0), "threshold": Range(least=0, below=1)})


PUBLIC_CODE = Variant(squared=True, threshold=0.8, maximum_first=False, rgb_channels=False, keep_length=True)


@dataclass(frozen=True, kw_only=True)
class RetrieveInStyleConfig:
    """How a catalogue is made. Defaults are those of the public code where it has any.

    Attributes:
        steps: how many batches of generated pictures the clusters are fitted to; 0: the clusters of the model's own
            catalogue stay, or imported centres, and its features unless others are given; the rest is made anew.
        batch: pictures of a step, over all workers.
        pictures: generated pictures that one pass of k-means goes over, the same in every pass.
        truncation: psi of these pictures.
        clusters: K.
        resolution: side of the feature map that is clustered, the output of its last convolution; 0: 32, as in the
            public code, or a quarter of the picture's, if that is less.
        features: clusters by feature; empty: those that made-up faces suggest, see ``assignment``. What a model's
            catalogue has is in its ``model.json``, to be copied, edited and given.
        assignment_faces: made-up faces that clusters are compared with.
        width: numbers that are stored of a face for each space.
        axes_faces: faces of the data, spread over all of it, that the axes of the spaces are fitted to.
        variant: of the method.
    """

    steps: int = 300
    batch: int = 20
    pictures: int = 200
    truncation: float = 0.5
    clusters: int = 18
    resolution: int = 0
    features: Mapping[str, tuple[int, ...]] = field(default_factory=dict, hash=False)  # jobs are keys of caches
    assignment_faces: int = 256
    width: int = 128
    axes_faces: int = 1_000
    variant: Variant = Variant()

    def __post_init__(self) -> None:
        others = []
        if 0 < self.steps * self.batch < self.pictures:
            others.append(f"steps must be 0 or at least one pass over {self.pictures} pictures, got {self.steps}")
        ranges = dict.fromkeys(("batch", "pictures", "assignment_faces", "width", "axes_faces"), Range(least=1))
        check_ranges(self, ranges | {"steps": Range(least=0), "clusters": Range(least=2)}, others)

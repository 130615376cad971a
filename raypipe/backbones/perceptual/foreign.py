"""Reading the public weights of LPIPS: a classifier of torchvision's, and the heads of richzhang/PerceptualSimilarity.

The heads' files, ``lpips/weights/v0.1/alex.pth`` and ``vgg.pth``, hold ``lin{0..4}.model.1.weight`` [1,C,1,1].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from raypipe.backbones.perceptual.lpips import KIND, TRUNKS, LpipsConfig, load_lpips
from raypipe.config import as_dict
from raypipe.errors import BadWeights
from raypipe.weights import Part

FIRST = "features.0.weight"
FIRST_SHAPES = {"alexnet": (64, 3, 11, 11), "vgg16": (64, 3, 3, 3)}


def is_trunk_state(tree: Mapping[str, Any]) -> bool:
    """Whether a checkpoint is torchvision's AlexNet or VGG-16, with or without the classifier."""
    return _trunk(tree) is not None


def lpips_part_of_states(trunk_state: Mapping[str, Any], heads_state: Mapping[str, Any]) -> Part:
    """The two files' contents as one part; the classifier is left out.

    Raises:
        BadWeights: not a known trunk, not heads, or heads of another trunk; names what is missing.
    """
    trunk = _trunk(trunk_state)
    if trunk is None:
        raise BadWeights(f"not the weights of a trunk of LPIPS, torchvision's {' or '.join(TRUNKS)}")
    wanted = {f"lin{index}.model.1.weight": (1, width, 1, 1) for index, width in enumerate(TRUNKS[trunk].widths)}
    given = {name: tuple(tensor.shape) for name, tensor in heads_state.items()}
    if given != wanted:
        raise BadWeights(f"the heads of {trunk} are {wanted}, got {given}")
    features = {name: tensor for name, tensor in trunk_state.items() if name.startswith("features.")}
    heads = {f"heads.{index}": heads_state[name].flatten() for index, name in enumerate(wanted)}
    part = Part(KIND, as_dict(LpipsConfig(trunk=trunk)), {**features, **heads})
    load_lpips(part, "cpu")
    return part


def _trunk(tree: Mapping[str, Any]) -> str | None:
    first = tree.get(FIRST)
    shape = tuple(first.shape) if isinstance(first, Tensor) else None
    # VGG-19 and the nets with batch norm begin alike; load_exactly tells them from VGG-16.
    return next((name for name, wanted in FIRST_SHAPES.items() if shape == wanted), None)

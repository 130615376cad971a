"""Checkpoints of L2M-GAN (rucmlcv/L2M-GAN), ``*_nets_ema.ckpt``, and torchvision's ResNet-18, as parts of a bundle.

A checkpoint holds a state dict for each network: ``generator``, ``style_encoder`` (with the style transformer in it),
``fan`` (face landmarks, StarGAN v2's) and ``vgg``, which is the ResNet-18 of the perceptual loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from raypipe.backbones.perceptual.resnet18 import PART, resnet18_part_of_state
from raypipe.backbones.stargan2.foreign import generator_part_of, landmarks_beside, style_encoder_config, tensors_of
from raypipe.config import as_dict
from raypipe.errors import BadWeights
from raypipe.methods.l2m_gan.networks import KIND, L2MConfig, load_l2m
from raypipe.weights import Part

TRANSFORMER = {"transform1": "decomposer", "transform2": "transformers"}
"""Their names of the decomposer and of the domain transformer -> ours."""

ATTRIBUTES = ("Smiling",)
"""Of the published checkpoint, whose domains are faces without and with a smile."""

NO_NAMES = f"the file does not say what its 2 domains are of: taken for {ATTRIBUTES[0]}"
NO_JUDGE = (
    "it takes an attribute network to see which faces smile: raypipe train attributes --attributes "
    f"{ATTRIBUTES[0]} with this as its --model makes a model of both"
)


@dataclass(frozen=True)
class Imported:
    """Whose format a file has, its parts, and remarks on what it lacks."""

    format: str
    parts: Mapping[str, Part]
    remarks: tuple[str, ...] = field(default=())


def imported(tree: object) -> Imported | None:
    """The parts of a file's content; None if it is of neither kind.

    Raises:
        BadWeights: it is, and incomplete, or for another number of domains than 2.
    """
    if isinstance(tree, Mapping) and _is_checkpoint(tree):
        return _checkpoint(tree)
    if isinstance(tree, Mapping) and _is_resnet18(tree):
        return Imported("torchvision's ResNet-18", {PART: resnet18_part_of_state(tree)})
    return None


def _is_checkpoint(tree: Mapping[str, object]) -> bool:
    encoder = tree.get("style_encoder")
    return "generator" in tree and isinstance(encoder, Mapping) and "transform1.0.weight" in encoder


def _is_resnet18(tree: Mapping[str, object]) -> bool:
    """Not the deeper ones, whose blocks have three convolutions or whose stages more blocks."""
    first = tree.get("conv1.weight")
    is_resnet = isinstance(first, Tensor) and tuple(first.shape) == (64, 3, 7, 7) and "layer4.1.bn2.weight" in tree
    return is_resnet and "layer1.0.conv3.weight" not in tree and "layer1.2.conv1.weight" not in tree


def _checkpoint(tree: Mapping[str, object]) -> Imported:
    state = tensors_of(tree, "style_encoder")
    encoder = style_encoder_config(state)
    if encoder.domains != 2 ** len(ATTRIBUTES):
        raise BadWeights(f"{encoder.domains} domains: the file does not say of what; files of 2 domains can be read")
    generator = generator_part_of(tensors_of(tree, "generator"), encoder.size)
    config = L2MConfig(
        attributes=ATTRIBUTES,
        size=encoder.size,
        style_dim=encoder.style_dim,
        first_width=encoder.first_width,
        max_width=encoder.max_width,
        high_pass=generator.config["high_pass"],
        own_branch=True,
    )
    tensors = {f"generator.{name}": tensor for name, tensor in generator.tensors.items()}
    for name, tensor in state.items():
        module, _, rest = name.partition(".")
        if module in TRANSFORMER:
            tensors[f"transformer.{TRANSFORMER[module]}.{rest}"] = tensor
        elif module != "attention":
            tensors[f"style_encoder.{name}"] = tensor
    parts = {"l2m_gan": Part(KIND, as_dict(config), tensors)}
    load_l2m(parts["l2m_gan"], "cpu")
    if "vgg" in tree:
        parts[PART] = resnet18_part_of_state(tensors_of(tree, "vgg"))
    landmarks, remarks = landmarks_beside(generator, tree)
    return Imported("L2M-GAN checkpoint", parts | landmarks, (NO_NAMES, NO_JUDGE, *remarks))

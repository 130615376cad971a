"""Pickles of NVlabs' TensorFlow versions (stylegan2, stylegan2-ada): ``(G, D, Gs)`` of ``dnnlib`` networks.

A network is a list of named variables and the arguments of the function that builds its graph. Kernels are stored
[h, w, inputs, outputs], those of upsampling convolutions flipped along h and w; linear weights [inputs, outputs];
style biases without their constant 1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from raypipe.backbones.stylegan2.foreign_nvlabs import discriminator_part_of, generator_part_of
from raypipe.backbones.stylegan2.foreign_reading import PickledArray, TFNetwork
from raypipe.errors import BadWeights
from raypipe.weights import Part

OLDEST_VERSION = 4

# fmt: off
SHAPE_ARGUMENTS = (
    "num_channels", "resolution", "label_size", "latent_size", "dlatent_size", "mapping_layers", "mapping_fmaps",
    "label_fmaps", "fmap_base", "fmap_decay", "fmap_min", "fmap_max", "mbstd_num_features", "architecture",
)
"""What these decide is read from the shapes."""

TRAINING_ARGUMENTS = (
    "truncation_psi", "truncation_cutoff", "truncation_psi_val", "truncation_cutoff_val", "style_mixing_prob",
    "dlatent_avg_beta", "w_avg_beta", "structure", "num_fp16_res", "freeze_layers", "dtype", "fused_modconv",
    "randomize_noise",
)
"""What these decide is no property of the weights."""
# fmt: on

USED_ARGUMENTS = ("mapping_lrmul", "conv_clamp", "mbstd_group_size")

EXPECTED_ARGUMENTS: Mapping[str, Any] = {
    "mapping_nonlinearity": "lrelu",
    "nonlinearity": "lrelu",
    "normalize_latents": True,
    "resample_kernel": [1, 3, 3, 1],
    "use_noise": True,
}
"""Where these are given, this is what they must be."""


def is_tf_pickle(tree: Any) -> bool:
    """Whether a pickle's content is a snapshot of theirs."""
    return isinstance(tree, tuple) and len(tree) == 3 and all(isinstance(network, TFNetwork) for network in tree)


def tf_generator_part(network: TFNetwork) -> Part:
    """Their generator -> our part.

    Raises:
        BadWeights: too old; built with arguments that this version does not know; or lists every tensor that is
            missing, unknown or of another shape.
    """
    arguments = _arguments(network)
    return generator_part_of(
        dict(_pytorch_generator(name, tensor) for name, tensor in _variables(network).items()),
        mapping_lr_multiplier=float(arguments.get("mapping_lrmul", 0.01)),
        clamp=arguments.get("conv_clamp"),
    )


def tf_discriminator_part(network: TFNetwork) -> Part:
    """Their discriminator -> our part.

    Raises:
        BadWeights: as above.
    """
    arguments = _arguments(network)
    return discriminator_part_of(
        dict(_pytorch_discriminator(name, tensor) for name, tensor in _variables(network).items()),
        mapping_lr_multiplier=float(arguments.get("mapping_lrmul", 0.1)),
        clamp=arguments.get("conv_clamp"),
        stddev_group=int(arguments.get("mbstd_group_size", 4) or 0),
    )


def _arguments(network: TFNetwork) -> Mapping[str, Any]:
    version, arguments = network.state.get("version", 0), network.state.get("static_kwargs", {})
    if version < OLDEST_VERSION:
        raise BadWeights(f"a TensorFlow network of version {version}; this version reads {OLDEST_VERSION} and newer")
    unknown = set(arguments) - {*SHAPE_ARGUMENTS, *TRAINING_ARGUMENTS, *USED_ARGUMENTS, *EXPECTED_ARGUMENTS}
    unknown |= {name for name, value in EXPECTED_ARGUMENTS.items() if arguments.get(name, value) != value}
    if unknown:
        told = ", ".join(f"{name}={arguments[name]!r}" for name in sorted(unknown))
        raise BadWeights(f"a TensorFlow network with arguments that this version does not read: {told}")
    return dict(arguments)


def _variables(network: TFNetwork, prefix: str = "") -> dict[str, Tensor]:
    """All variables but progressive growing's level of detail; those of components with the component's name."""
    found: dict[str, Tensor] = {}
    for name, value in network.state.get("variables", ()):
        if name != "lod" and isinstance(value, PickledArray):
            found[f"{prefix}{name}"] = torch.from_numpy(value.array().astype(np.float32))
    for name, component in network.state.get("components", {}).items():
        found |= _variables(component, f"{prefix}{name}/")
    return found


def _pytorch_generator(name: str, tensor: Tensor) -> tuple[str, Tensor]:
    """A variable's name and content in NVlabs' PyTorch version; an unknown name stays."""
    if match := re.fullmatch(r"synthesis/(\d+)x\d+/(Conv|Conv0_up|Conv1|ToRGB|Skip)/(\w+)", name):
        resolution, layer, field = match.groups()
        layers = {"Conv": "conv1", "Conv0_up": "conv0", "Conv1": "conv1", "ToRGB": "torgb", "Skip": "skip"}
        return _pytorch_styled(f"synthesis.b{resolution}.{layers[layer]}", field, tensor, is_up=layer == "Conv0_up")
    if match := re.fullmatch(r"synthesis/noise(\d\d?)", name):
        number = int(match[1])
        layer = "conv0" if number % 2 else "conv1"
        return f"synthesis.b{2 ** ((number + 5) // 2)}.{layer}.noise_const", tensor
    if match := re.fullmatch(r"mapping/(Dense\d+|LabelEmbed)/(weight|bias)", name):
        return _pytorch_linear(
            "mapping." + match[1].replace("Dense", "fc").replace("LabelEmbed", "embed"), match[2], tensor
        )
    others = {"dlatent_avg": "mapping.w_avg", "synthesis/4x4/Const/const": "synthesis.b4.const"}
    return others.get(name, name), tensor


def _pytorch_discriminator(name: str, tensor: Tensor) -> tuple[str, Tensor]:
    """A variable's name and content in NVlabs' PyTorch version; an unknown name stays."""
    if match := re.fullmatch(r"(\d+)x\d+/(FromRGB|Conv0|Conv1_down|Skip|Conv)/(weight|bias)", name):
        resolution, layer, field = match.groups()
        layers = {"FromRGB": "fromrgb", "Conv0": "conv0", "Conv1_down": "conv1", "Skip": "skip", "Conv": "conv"}
        return _pytorch_styled(f"b{resolution}.{layers[layer]}", field, tensor, is_up=False)
    if match := re.fullmatch(r"(4x4/Dense0|Output|Mapping\d+|LabelEmbed)/(weight|bias)", name):
        layer = match[1].replace("4x4/Dense0", "b4.fc").replace("Output", "b4.out")
        return _pytorch_linear(
            layer.replace("Mapping", "mapping.fc").replace("LabelEmbed", "mapping.embed"), match[2], tensor
        )
    return name, tensor


def _pytorch_styled(layer: str, field: str, tensor: Tensor, *, is_up: bool) -> tuple[str, Tensor]:
    if field == "weight" and tensor.ndim == 4:
        kernel = tensor.permute(3, 2, 0, 1)
        return f"{layer}.weight", kernel.flip(2, 3) if is_up else kernel
    if field == "mod_weight":
        return f"{layer}.affine.weight", tensor.T
    if field == "mod_bias":
        return f"{layer}.affine.bias", tensor + 1
    return f"{layer}.{field}", tensor


def _pytorch_linear(layer: str, field: str, tensor: Tensor) -> tuple[str, Tensor]:
    return f"{layer}.{field}", tensor.T if field == "weight" else tensor

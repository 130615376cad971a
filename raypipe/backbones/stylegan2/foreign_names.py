"""Which of our tensors is which of theirs, in the two PyTorch layouts that StyleGAN2 weights come in.

The layouts hold the same numbers in the same order: only axes of length one come and go, and we keep the kernel of an
upsampling convolution in the layout of transposed convolutions.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from raypipe.backbones.stylegan2.config import DiscriminatorConfig, GeneratorConfig
from raypipe.errors import BadWeights

Tensors = Mapping[str, Tensor]
Names = dict[str, str]
"""Ours -> theirs."""


def rosinality_generator_names(config: GeneratorConfig) -> Names:
    """rosinality/stylegan2-pytorch, ``Generator``."""
    names = {"w_avg": "latent_avg", "synthesis.const": "input.input"}
    for i in range(config.mapping_layers):
        names |= _same(f"mapping.layers.{i}", f"style.{i + 1}", "weight", "bias")
    for k in range(len(config.resolutions)):
        ours = f"synthesis.blocks.{k}"
        if k == 0:
            names |= _rosinality_conv(f"{ours}.conv", "conv1", 0)
            names |= _rosinality_rgb(f"{ours}.to_rgb", "to_rgb1")
        else:
            names |= _rosinality_conv(f"{ours}.up", f"convs.{2 * k - 2}", 2 * k - 1)
            names |= _rosinality_conv(f"{ours}.conv", f"convs.{2 * k - 1}", 2 * k)
            names |= _rosinality_rgb(f"{ours}.to_rgb", f"to_rgbs.{k - 1}")
    return names


def rosinality_discriminator_names(config: DiscriminatorConfig) -> Names:
    """rosinality/stylegan2-pytorch, ``Discriminator``."""
    names = {"from_rgb.weight": "convs.0.0.weight", "from_rgb.bias": "convs.0.1.bias"}
    for k in range(len(config.resolutions) - 1):
        ours, theirs = f"blocks.{k}", f"convs.{k + 1}"
        names |= {
            f"{ours}.conv.weight": f"{theirs}.conv1.0.weight",
            f"{ours}.conv.bias": f"{theirs}.conv1.1.bias",
            f"{ours}.down.weight": f"{theirs}.conv2.1.weight",
            f"{ours}.down.bias": f"{theirs}.conv2.2.bias",
            f"{ours}.skip.weight": f"{theirs}.skip.1.weight",
        }
    names |= {"conv.weight": "final_conv.0.weight", "conv.bias": "final_conv.1.bias"}
    names |= _same("linear", "final_linear.0", "weight", "bias")
    return names | _same("out", "final_linear.1", "weight", "bias")


def nvlabs_generator_names(config: GeneratorConfig) -> Names:
    """NVlabs/stylegan2-ada-pytorch, ``Generator``."""
    names = {"w_avg": "mapping.w_avg", "synthesis.const": "synthesis.b4.const"}
    names |= _nvlabs_mapping(config.mapping_layers, conditional=config.label_dim > 0)
    for k, resolution in enumerate(config.resolutions):
        ours, theirs = f"synthesis.blocks.{k}", f"synthesis.b{resolution}"
        names |= _nvlabs_conv(f"{ours}.conv", f"{theirs}.conv1")
        if k > 0:
            names |= _nvlabs_conv(f"{ours}.up", f"{theirs}.conv0")
            if config.residual:
                names |= _same(f"{ours}.skip", f"{theirs}.skip", "weight")
        if resolution == config.size or not config.residual:
            names |= _same(f"{ours}.to_rgb", f"{theirs}.torgb", "weight", "bias")
            names |= _same(f"{ours}.to_rgb.style", f"{theirs}.torgb.affine", "weight", "bias")
    return names


def nvlabs_discriminator_names(config: DiscriminatorConfig) -> Names:
    """NVlabs/stylegan2-ada-pytorch, ``Discriminator`` with residual blocks."""
    names = _same("from_rgb", f"b{config.size}.fromrgb", "weight", "bias")
    for k, resolution in enumerate(reversed(config.resolutions[1:])):
        ours, theirs = f"blocks.{k}", f"b{resolution}"
        names |= _same(f"{ours}.conv", f"{theirs}.conv0", "weight", "bias")
        names |= _same(f"{ours}.down", f"{theirs}.conv1", "weight", "bias")
        names |= _same(f"{ours}.skip", f"{theirs}.skip", "weight")
    for ours, theirs in (("conv", "b4.conv"), ("linear", "b4.fc"), ("out", "b4.out")):
        names |= _same(ours, theirs, "weight", "bias")
    if config.label_dim:
        names |= _nvlabs_mapping(config.mapping_layers, conditional=True)
    return names


def translate(theirs: Tensors, names: Names, network: nn.Module, what: str) -> dict[str, Tensor]:
    """Their tensors under our names and in our shapes, float32; low-pass filters are checked and left out.

    ``network`` gives the shapes and may be on the meta device.

    Raises:
        BadWeights: lists every tensor that is missing, unknown or of another shape; or names a filter that is not
            [1, 3, 3, 1].
    """
    problems = [f"{name} is missing" for name in names.values() if name not in theirs]
    problems += [f"{name} is unknown" for name in theirs.keys() - set(names.values()) if not _is_filter(name)]
    problems += [
        f"{name} is not the low-pass filter [1, 3, 3, 1]"
        for name, tensor in theirs.items()
        if _is_filter(name) and not _is_expected_filter(tensor)
    ]
    result: dict[str, Tensor] = {}
    for ours, like in network.state_dict().items():
        if names[ours] not in theirs:
            continue
        tensor = theirs[names[ours]]
        is_up = ours.endswith(".up.conv.weight")
        shape = like.transpose(0, 1).shape if is_up else like.shape
        if _without_ones(tensor.shape) == _without_ones(shape):
            tensor = tensor.float().reshape(shape)
            result[ours] = (tensor.transpose(0, 1) if is_up else tensor).contiguous()
        else:
            problems.append(f"{names[ours]} is {list(tensor.shape)}, expected {list(shape)}")
    if problems:
        raise BadWeights(f"{what}: " + "; ".join(sorted(problems)))
    return result


def agreed_size(tensors: Tensors, *places: tuple[str, int]) -> int:
    """The length on which most of these axes of tensors agree: one bad tensor does not hide what a network is.

    Raises:
        BadWeights: none of the tensors is there.
    """
    sizes = [
        tensors[name].shape[axis]
        for name, axis in places
        if name in tensors and -tensors[name].ndim <= axis < tensors[name].ndim
    ]
    if not sizes:
        raise BadWeights(f"the network is not whole: missing {', '.join(name for name, _ in places)}")
    return int(statistics.mode(sizes))


def _same(ours: str, theirs: str, *fields: str) -> Names:
    return {f"{ours}.{field}": f"{theirs}.{field}" for field in fields}


def _rosinality_conv(ours: str, theirs: str, noise: int) -> Names:
    return {
        f"{ours}.conv.weight": f"{theirs}.conv.weight",
        f"{ours}.bias": f"{theirs}.activate.bias",
        f"{ours}.noise_strength": f"{theirs}.noise.weight",
        f"{ours}.noise": f"noises.noise_{noise}",
        **_same(f"{ours}.style", f"{theirs}.conv.modulation", "weight", "bias"),
    }


def _rosinality_rgb(ours: str, theirs: str) -> Names:
    return {
        f"{ours}.weight": f"{theirs}.conv.weight",
        f"{ours}.bias": f"{theirs}.bias",
        **_same(f"{ours}.style", f"{theirs}.conv.modulation", "weight", "bias"),
    }


def _nvlabs_conv(ours: str, theirs: str) -> Names:
    return {
        f"{ours}.conv.weight": f"{theirs}.weight",
        f"{ours}.noise": f"{theirs}.noise_const",
        **_same(ours, theirs, "bias", "noise_strength"),
        **_same(f"{ours}.style", f"{theirs}.affine", "weight", "bias"),
    }


def _nvlabs_mapping(layers: int, *, conditional: bool) -> Names:
    names = _same("mapping.embed", "mapping.embed", "weight", "bias") if conditional else {}
    for i in range(layers):
        names |= _same(f"mapping.layers.{i}", f"mapping.fc{i}", "weight", "bias")
    return names


def _is_filter(name: str) -> bool:
    return name.endswith((".kernel", "resample_filter"))


def _is_expected_filter(kernel: Tensor) -> bool:
    """[1, 3, 3, 1] along both axes, whatever the gain."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return kernel.shape == (4, 4) and torch.allclose(
        kernel.float() / kernel.float().sum(), torch.outer(taps, taps) / 64
    )


def _without_ones(shape: torch.Size) -> list[int]:
    return [size for size in shape if size != 1]

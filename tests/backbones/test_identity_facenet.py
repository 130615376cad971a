"""Inception-ResNet V1: the public file's tensors, and its blocks against slow arithmetic."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raypipe.backbones.identity import InceptionResnetV1, load_identity
from raypipe.backbones.identity.facenet import (
    ConvUnit,
    InceptionResidual,
    Reduction6A,
    Reduction7A,
    block_8,
    block_17,
    block_35,
)
from raypipe.backbones.identity.foreign import identity_part_of_state, is_identity_state
from raypipe.errors import BadWeights
from raypipe.pipeline.import_weights import import_weights
from tests.hash_fill import fill_tensor
from tests.shared_files import oracle


def filled(network: nn.Module) -> nn.Module:
    """Every tensor from its name alone; maps keep their size from layer to layer, about."""
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point() and tensor.ndim > 1:
            tensor.copy_(fill_tensor(name, tensor.shape, (6 / tensor[0].numel()) ** 0.5, 0.0))
        elif tensor.is_floating_point():
            offset = 1.0 if name.endswith(("bn.weight", "running_var")) else 0.0
            tensor.copy_(fill_tensor(name, tensor.shape, 0.3, offset))
    return network.eval().requires_grad_(False)


def pictures(count: int, size: int) -> Tensor:
    """Smooth, so that cropping and shrinking leave something to see."""
    return F.interpolate(fill_tensor("pictures", (count, 3, 4, 4), 1.0, 0.0), size=(size, size), mode="bilinear")


def test_network_has_the_tensors_of_the_public_file() -> None:
    layout = json.loads(oracle("facenet/vggface2_layout.json").read_text())["state_dict"]
    with torch.device("meta"):
        state = InceptionResnetV1().state_dict()
    wanted = {name: shape for name, (shape, _) in layout.items() if not name.startswith("logits.")}
    assert {name: list(tensor.shape) for name, tensor in state.items()} == wanted


def test_every_batch_norm_has_the_epsilon_of_the_original() -> None:
    with torch.device("meta"):
        network = InceptionResnetV1()
    norms = [module for module in network.modules() if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d))]
    assert {norm.eps for norm in norms} == {0.001}


def slow_unit(unit: ConvUnit, maps: Tensor) -> Tensor:
    """Every output pixel from its patch, in float64; batch norm by its definition."""
    conv, norm = unit.conv, unit.bn
    assert isinstance(conv.kernel_size, tuple)
    patches = F.unfold(maps.double(), conv.kernel_size, padding=conv.padding, stride=conv.stride)
    out = conv.weight.double().flatten(1) @ patches
    height = (maps.shape[2] + 2 * conv.padding[0] - conv.kernel_size[0]) // conv.stride[0] + 1
    variance, mean = norm.running_var.double()[:, None], norm.running_mean.double()[:, None]
    normed = (out - mean) / (variance + 0.001).sqrt() * norm.weight.double()[:, None] + norm.bias.double()[:, None]
    return normed.clamp_min(0).unflatten(2, (height, -1))


def slow(module: nn.Module, maps: Tensor) -> Tensor:
    for unit in module if isinstance(module, nn.Sequential) else [module]:
        maps = slow_unit(unit, maps)
    return maps


@pytest.mark.parametrize(
    ("block", "channels", "branches", "scale"),
    [
        (block_35(), 256, 3, 0.17),
        (block_17(), 896, 2, 0.10),
        (block_8(scale=0.2), 1792, 2, 0.20),
        (block_8(scale=1.0, is_last=True), 1792, 2, 1.0),
    ],
    ids=["35", "17", "8", "last"],
)
def test_residual_blocks(block: InceptionResidual, channels: int, branches: int, scale: float) -> None:
    filled(block)
    maps = fill_tensor("maps", (2, channels, 5, 4), 1.0, 0.2)
    seen = torch.cat([slow(block.get_submodule(f"branch{index}"), maps) for index in range(branches)], 1)
    mixed = torch.einsum("oi,nihw->nohw", block.conv2d.weight.double()[:, :, 0, 0], seen)
    expected = maps.double() + scale * (mixed + block.conv2d.bias.double()[:, None, None])
    if scale < 1:
        expected = expected.clamp_min(0)
    torch.testing.assert_close(block(maps.clone()).double(), expected, rtol=0, atol=2e-5 * float(expected.std()))


@pytest.mark.parametrize(("block", "channels"), [(Reduction6A(), 256), (Reduction7A(), 896)], ids=["6a", "7a"])
def test_reductions(block: nn.Module, channels: int) -> None:
    filled(block)
    maps = fill_tensor("maps", (2, channels, 7, 5), 1.0, 0.0)
    branches = [slow(branch, maps) for branch in block.children()]
    pooled = maps.double().unfold(2, 3, 2).unfold(3, 3, 2).amax((4, 5))
    expected = torch.cat([*branches, pooled], 1)
    torch.testing.assert_close(block(maps).double(), expected, rtol=0, atol=2e-5 * float(expected.std()))


def test_the_public_file_becomes_an_identity_part(tmp_path: Path) -> None:
    """Its classifier of 8,631 persons is left out; vectors have unit length and do not depend on the batch."""
    network = filled(InceptionResnetV1())
    state = {**network.state_dict(), "logits.weight": torch.zeros(8631, 512), "logits.bias": torch.zeros(8631)}
    assert is_identity_state(state)
    file = io.BytesIO()
    torch.save(state, file)
    (tmp_path / "vggface2.pt").write_bytes(file.getvalue())
    bundle = import_weights(str(tmp_path / "vggface2.pt"), str(tmp_path / "bundle")).bundle
    assert bundle.parts["identity"].kind == "inception_resnet_v1"
    loaded = load_identity(bundle.read("identity"), "cpu")
    images = pictures(2, 96)
    together = loaded.embed(images)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(2))
    assert torch.equal(together, loaded.embed(images))
    torch.testing.assert_close(loaded.embed(images[1:]), together[1:], rtol=0, atol=1e-5)
    assert float((together[0] - together[1]).norm()) > 0.05


def test_a_file_of_another_shape_is_refused() -> None:
    state = InceptionResnetV1().state_dict()
    state["last_linear.weight"] = torch.zeros(128, 1792)
    with pytest.raises(BadWeights, match=r"last_linear.weight \[128, 1792\] instead of \[512, 1792\]"):
        identity_part_of_state(state)


def test_embed_scales_and_crops() -> None:
    """A picture of one colour c in [-1,1] is the constant (pixel - 127.5) / 128 whatever its size."""
    network = filled(InceptionResnetV1())
    images = torch.full((1, 3, 256, 256), 0.5)
    pixel = 0.5 * 127.5 + 127.5
    expected = network(torch.full((1, 3, 160, 160), (pixel - 127.5) / 128))
    torch.testing.assert_close(network.embed(images), expected, rtol=0, atol=1e-5)
    unscaled = network(torch.full((1, 3, 160, 160), 0.5))
    assert float((unscaled - expected).abs().max()) > 1e-4

"""Published checkpoints, by their layouts, become parts that compute the same; what they lack is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from raypipe.backbones import stargan2
from raypipe.backbones.attributes import attribute_part
from raypipe.backbones.perceptual.resnet18 import load_resnet18
from raypipe.errors import BadWeights
from raypipe.methods.l2m_gan import imported, load
from raypipe.methods.l2m_gan.networks import load_l2m
from raypipe.pipeline.import_weights import import_weights
from raypipe.weights import open_bundle
from tests.backbones.stargan2_landmarks import public_state, tiny_landmarks
from tests.backbones.stargan2_layouts import published, zeros
from tests.backbones.stylegan2_foreign_files import saved
from tests.l2m_models import tiny_judge, tiny_network
from tests.shared_files import oracle


def tiny_checkpoint(*, high_pass: float = 0.0, has_landmarks: bool = False) -> dict[str, dict[str, Tensor]]:
    """An L2M-GAN checkpoint of a tiny network's numbers, in their names, with what they hold beside them."""
    network = tiny_network(("Smiling",), high_pass=high_pass)
    unused = {f"attention.layers.{layer}.{kind}": torch.ones(2) for layer in (0, 2) for kind in ("weight", "bias")}
    transformer = {
        name.replace("decomposer", "transform1").replace("transformers", "transform2"): tensor
        for name, tensor in network.transformer.state_dict().items()
    }
    return {
        "generator": {**network.generator.state_dict(), **unused},
        "style_encoder": {**network.style_encoder.state_dict(), **transformer, **unused},
        **({"fan": public_state(tiny_landmarks())} if has_landmarks else {}),
    }


def test_the_published_l2m_gan_is_read() -> None:
    fan = zeros(json.loads(oracle("stargan_l2m/wing_fan_layout.json").read_text()))
    found = imported({**published("l2m_nets_ema"), "fan": fan})
    assert found is not None
    assert set(found.parts) == {"l2m_gan", "resnet18", "stargan2_landmarks"}
    config = found.parts["l2m_gan"].config
    assert (config["size"], config["style_dim"], config["high_pass"]) == (256, 64, 1.0)
    assert load_l2m(found.parts["l2m_gan"], "cpu").domains.names == ("not Smiling", "Smiling")
    assert load_resnet18(found.parts["resnet18"], "cpu")(torch.zeros(1, 3, 64, 64)).shape == (1, 512)


@torch.no_grad()
@pytest.mark.parametrize(
    ("high_pass", "has_landmarks", "told"), [(0.0, False, ()), (1.0, True, ()), (1.0, False, ("landmarks",))]
)
def test_an_imported_model_is_the_same_model(
    tmp_path: Path, high_pass: float, has_landmarks: bool, told: tuple[str, ...]
) -> None:
    tree = tiny_checkpoint(high_pass=high_pass, has_landmarks=has_landmarks)
    (tmp_path / "100000_nets_ema.ckpt").write_bytes(saved(tree))
    found = import_weights(str(tmp_path / "100000_nets_ema.ckpt"), str(tmp_path / "bundle")).found
    assert found.format == "L2M-GAN checkpoint"
    words = ("Smiling", "attribute network", *told)
    assert [word in remark for word, remark in zip(words, found.remarks, strict=True)] == [True] * len(words)
    bundle = open_bundle(str(tmp_path / "bundle"))
    parts = {name: bundle.read(name) for name in bundle.parts}
    method = load({**parts, "attributes": attribute_part(tiny_judge(("Smiling",)))}, "cpu")
    network = tiny_network(("Smiling",), high_pass=high_pass)
    x = torch.rand(3, 3, 32, 32)
    columns = method.represent({"image": x})
    own = stargan2.of_domain(network.style_encoder(x), columns["l2m_values"][:, 0].long())
    targets = torch.ones(3, dtype=torch.int64)
    masks = tiny_landmarks().masks(x) if has_landmarks else ()
    wanted = network.generator(x, network.transformer(own, targets), masks).clamp(-1, 1)
    torch.testing.assert_close(method.render(method.translate(columns, "Smiling"), x), wanted)
    unrelated, _ = network.transformer.decompose(own)
    smiling = {**columns, "l2m_values": torch.ones(3, 1)}
    by_reference = method.translate(columns, "Smiling", reference=smiling)
    torch.testing.assert_close(by_reference["l2m_un"], unrelated)  # the authors' code: of its own branch


def test_what_is_incomplete_is_named() -> None:
    tree = tiny_checkpoint()
    del tree["generator"]["to_rgb.2.weight"]
    with pytest.raises(BadWeights, match=r"missing: to_rgb\.2\.weight"):
        imported(tree)
    tree = tiny_checkpoint()
    tree["style_encoder"]["unshared.2.weight"] = torch.zeros(8, 8)
    with pytest.raises(BadWeights, match="3 domains: the file does not say of what"):
        imported(tree)
    assert imported({"weight": torch.zeros(1)}) is None


def test_torchvisions_resnet18_is_read_in_both_its_forms() -> None:
    tree = published("l2m_nets_ema")["vgg"]
    places = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
    named = {f"{places[name.split('.')[0]]}{name[1:]}": x for name, x in tree.items()}
    found = imported({**named, "fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)})
    assert found is not None
    assert set(found.parts) == {"resnet18"}
    assert imported({**named, "layer1.2.conv1.weight": torch.zeros(1)}) is None

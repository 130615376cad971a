import argparse
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from raypipe.backbones.psp import EncoderConfig, load_encoder
from raypipe.backbones.psp.codes import mean_distance
from raypipe.backbones.psp.encoder import Encoder
from raypipe.backbones.psp.foreign import encoder_checkpoint_parts, read_checkpoint
from raypipe.backbones.stylegan2 import load_generator
from raypipe.errors import BadWeights
from tests.hash_fill import fill_manifest, fill_tensor
from tests.shared_files import oracle

LAYERS, DIM = 8, 64
CONFIG = EncoderConfig(input_size=64, num_layers=LAYERS, style_dim=DIM, widths=(8, 16, 32, 64), depths=(2, 1, 2, 1))


def checkpoint(kind: str = "psp", **opts: Any) -> dict[str, Any]:
    """A tiny checkpoint in the public layout: an encoder of ours under their names, a 32 px decoder of theirs."""
    torch.manual_seed(0)
    tensors = {f"encoder.{name}": tensor for name, tensor in Encoder(kind, CONFIG).network.state_dict().items()}
    return {
        "state_dict": {**tensors, **{f"decoder.{name}": tensor for name, tensor in decoder().items()}},
        "opts": {"start_from_latent_avg": True, "device": "cuda:0", **opts},
        "latent_avg": torch.randn(LAYERS, DIM),
    }


def decoder() -> dict[str, Tensor]:
    """rosinality's 64 px generator cut down to 32 px."""
    state = torch.load(oracle("rosinality/g64_narrow8.pt"), weights_only=True)["state_dict"]
    beyond = ("convs.6.", "convs.7.", "to_rgbs.3.", "noises.noise_7", "noises.noise_8")
    return {name: tensor for name, tensor in state.items() if not name.startswith(beyond)}


def saved(content: dict[str, Any], folder: Path) -> str:
    torch.save(content, folder / "checkpoint.pt")
    return str(folder / "checkpoint.pt")


@pytest.fixture
def images() -> Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def full_size() -> tuple[dict[str, Any], dict[str, Any]]:
    """The reference case and the checkpoint that it was computed with."""
    case = torch.load(oracle("psp/psp256_full_fill.pt"), weights_only=True)
    manifest = json.loads(oracle("psp/psp256_fill_manifest.json").read_text())
    tensors = {
        prefix + name: tensor
        for prefix in ("encoder.", "decoder.")
        for name, tensor in fill_manifest(manifest[prefix[:-1]], prefix).items()
    }
    opts = {"encoder_type": "GradualStyleEncoder", "start_from_latent_avg": True, "input_nc": 3}
    return case, {"state_dict": tensors, "opts": opts, "latent_avg": case["latent_avg"]}


def test_full_size_checkpoint_computes_what_the_public_code_does(
    full_size: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    case, content = full_size
    parts, _ = encoder_checkpoint_parts(content)
    encoder, generator = load_encoder(parts["encoder"], "cpu"), load_generator(parts["generator"], "cpu")
    with torch.no_grad():
        codes = encoder(fill_tensor("input.x", (1, 3, 256, 256), 1, 0))
        mixed = codes.clone()  # style mixing of the layers in the mask
        mixed[:, case["mask"]] = codes[:, case["mask"]].lerp(case["inject"][:, case["mask"]], case["alpha"])
        image, image_mixed = generator.synthesis(codes), F.avg_pool2d(generator.synthesis(mixed), 4)
    for ours, theirs in (
        (codes, case["latents"]),
        (mixed, case["latents_mixed"]),
        (image, case["image"]),
        (image_mixed, case["image_mixed_avgpool4"]),
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4 * theirs.std().item())


@pytest.mark.parametrize(
    ("opts", "kind"),
    [
        ({"encoder_type": "GradualStyleEncoder", "output_size": 32, "learn_in_w": False}, "psp"),
        ({"encoder_type": "Encoder4Editing", "stylegan_size": 32}, "e4e"),
        ({"output_size": 32}, "psp"),
        ({"stylegan_size": 32}, "e4e"),
        ({}, "psp"),
    ],
)
def test_kind_is_told_by_the_options_old_files_lack_some(
    opts: dict[str, Any], kind: str, tmp_path: Path, images: Tensor
) -> None:
    content = checkpoint(**opts)
    parts = read_checkpoint(saved(content, tmp_path))
    reference = Encoder(kind, CONFIG)
    reference.network.load_state_dict(content_under(content, "encoder."))
    reference.latent_avg.copy_(content["latent_avg"])
    assert parts["encoder"].kind == kind
    with torch.no_grad():
        assert torch.equal(load_encoder(parts["encoder"], "cpu")(images), reference.eval()(images))


def content_under(content: dict[str, Any], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in content["state_dict"].items() if k.startswith(prefix)}


@pytest.mark.parametrize("kind", ["psp_into_w", "psp_into_w_plus"])
def test_last_layer_encoders_are_told_by_their_tensors(kind: str) -> None:
    content = checkpoint(kind)
    content["latent_avg"] = content["latent_avg"][:1]
    part = encoder_checkpoint_parts(content)[0]["encoder"]
    assert part.kind == kind
    assert torch.equal(part.tensors["latent_avg"], content["latent_avg"].expand(LAYERS, DIM))


def test_options_may_be_a_namespace(tmp_path: Path) -> None:
    content = checkpoint(encoder_type="Encoder4Editing")
    content["opts"] = argparse.Namespace(**content["opts"])
    assert read_checkpoint(saved(content, tmp_path))["encoder"].kind == "e4e"


def test_other_objects_in_the_file_are_refused(tmp_path: Path) -> None:
    content = checkpoint()
    content["opts"]["path"] = tmp_path
    with pytest.raises(BadWeights, match="pathlib"):
        read_checkpoint(saved(content, tmp_path))


def test_missing_average_is_the_mean_w_of_the_generator() -> None:
    content = checkpoint()
    del content["latent_avg"]
    parts, remarks = encoder_checkpoint_parts(content)
    generator = load_generator(parts["generator"], "cpu")
    with torch.no_grad():
        w = generator.mapping(torch.randn(20_000, DIM, generator=torch.Generator().manual_seed(9)))
    average = parts["encoder"].tensors["latent_avg"]
    assert average.shape == (LAYERS, DIM)
    assert (average - w.mean(0)).norm() < 0.05 * w.std(0).norm()
    assert any("latent_avg" in remark for remark in remarks)


def test_codes_are_not_shifted_where_training_did_not() -> None:
    part = encoder_checkpoint_parts(checkpoint(start_from_latent_avg=False))[0]["encoder"]
    assert not part.tensors["latent_avg"].any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"opts": ["a"]}, "opts is a list"),
        ({"opts": {"encoder_type": "ResNetBackboneEncoder"}}, "'ResNetBackboneEncoder' is not one that is read"),
        ({"opts": {"input_code": True}}, "gives z codes"),
        ({"latent_avg": torch.zeros(18, DIM)}, "latent_avg has 18 rows; the generator takes 8"),
        ({"state_dict": {"encoder.a": "tensor"}}, "not a dict of tensors"),
        ({"state_dict": {"decoder.a": torch.zeros(1)}}, r"no encoder\.\* tensors"),
    ],
)
def test_what_cannot_be_used_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(BadWeights, match=message):
        encoder_checkpoint_parts({**checkpoint(), **change})


def test_encoders_of_sketches_are_refused() -> None:
    content = checkpoint()
    content["state_dict"]["encoder.input_layer.0.weight"] = torch.zeros(8, 1, 3, 3)
    with pytest.raises(BadWeights, match="takes 1 channels"):
        encoder_checkpoint_parts(content)


def test_an_incomplete_encoder_is_refused() -> None:
    content = checkpoint()
    del content["state_dict"]["encoder.styles.7.linear.bias"]
    with pytest.raises(BadWeights, match=r"missing: network.styles.7.linear.bias"):
        encoder_checkpoint_parts(content)


def test_other_torch_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadWeights, match="must hold state_dict and opts"):
        read_checkpoint(saved({"g_ema": {}}, tmp_path))


def test_distance_to_the_average_is_the_public_regularisation() -> None:
    case = torch.load(oracle("psp/wnorm.pt"), weights_only=True)
    torch.testing.assert_close(mean_distance(case["latent"], case["latent_avg"]), case["loss_with_avg"])
    zero = torch.zeros_like(case["latent_avg"])
    torch.testing.assert_close(mean_distance(case["latent"], zero), case["loss_without"])

import json

import pytest
import torch

from raypipe.backbones.identity.residual import Bottleneck
from raypipe.backbones.psp import Encoder, EncoderConfig
from raypipe.backbones.psp.encoder import rows_from_first
from raypipe.backbones.psp.networks import RowHead, add_upsampled
from tests.hash_fill import fill_manifest, fill_tensor
from tests.shared_files import oracle

SMALL = EncoderConfig(
    input_size=64, num_layers=10, style_dim=16, widths=(8, 16, 16, 32), depths=(1, 1, 2, 1), shared_heads=True
)


def shapes(module: torch.nn.Module) -> dict[str, list[int]]:
    return {name: list(tensor.shape) for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize(
    ("name", "block"),
    [
        ("bottleneck_IR_SE_16_32_s2", Bottleneck(16, 32, 2, squeeze_excite=True)),
        ("bottleneck_IR_SE_32_32_s2", Bottleneck(32, 32, 2, squeeze_excite=True)),
        ("bottleneck_IR_SE_32_32_s1", Bottleneck(32, 32, 1, squeeze_excite=True)),
        ("bottleneck_IR_16_32_s2", Bottleneck(16, 32, 2, squeeze_excite=False)),
        ("GradualStyleBlock_16_16_16", RowHead(16, 16, 16)),
        ("GradualStyleBlock_8_8_64", RowHead(8, 64, 8)),
    ],
)
def test_blocks_compute_what_the_public_code_does(name: str, block: torch.nn.Module) -> None:
    case = torch.load(oracle("psp/blocks_small.pt"), weights_only=True)[name]
    block.load_state_dict(case["state_dict"])
    with torch.no_grad():
        ours = block.eval()(case["x"]).reshape(case["y"].shape)
    torch.testing.assert_close(ours, case["y"], rtol=0, atol=1e-5 * case["y"].std().item())


def test_upsampling_in_the_pyramid_puts_corners_on_corners() -> None:
    case = torch.load(oracle("psp/blocks_small.pt"), weights_only=True)["upsample_add"]
    torch.testing.assert_close(add_upsampled(case["x"], case["y"]), case["out"], rtol=0, atol=1e-5)


def test_default_encoder_has_the_tensors_of_the_public_checkpoint() -> None:
    layout = json.loads(oracle("psp/psp_ffhq_encode_layout.json").read_text())["state_dict"]
    told = {name.removeprefix("encoder."): s for name, (s, _) in layout.items() if name.startswith("encoder.")}
    with torch.device("meta"):
        assert shapes(Encoder("psp", EncoderConfig()).network) == told


def test_e4e_encoder_for_256_px_has_the_tensors_of_the_public_one() -> None:
    layout = json.loads(oracle("psp/e4e256_encoder_layout.json").read_text())
    with torch.device("meta"):
        assert shapes(Encoder("e4e", EncoderConfig(num_layers=14)).network) == {k: s for k, (s, _) in layout.items()}


def test_full_size_encoder_computes_what_the_public_code_does() -> None:
    case = torch.load(oracle("psp/psp256_full_fill.pt"), weights_only=True)
    manifest = json.loads(oracle("psp/psp256_fill_manifest.json").read_text())["encoder"]
    with torch.device("meta"):
        encoder = Encoder("psp", EncoderConfig(num_layers=14))
    tensors = {f"network.{name}": tensor for name, tensor in fill_manifest(manifest, "encoder.").items()}
    encoder.load_state_dict({**tensors, "latent_avg": case["latent_avg"]}, assign=True)
    with torch.no_grad():
        codes = encoder.eval()(fill_tensor("input.x", (1, 3, 256, 256), 1, 0))
    torch.testing.assert_close(codes, case["latents"], rtol=0, atol=1e-4 * case["latents"].std().item())


def test_e4e_code_is_the_first_row_plus_offsets() -> None:
    rows = torch.randn(3, 10, 4)
    codes = rows_from_first(rows)
    for index in range(10):
        expected = rows[:, 0] if index == 0 else rows[:, 0] + rows[:, index]
        torch.testing.assert_close(codes[:, index], expected)


@pytest.mark.parametrize("kind", ["psp", "e4e", "psp_into_w", "psp_into_w_plus"])
def test_code_of_a_face_does_not_depend_on_its_batch(kind: str) -> None:
    torch.manual_seed(0)
    encoder = Encoder(kind, SMALL).eval()
    images = torch.randn(3, 3, 64, 64)
    with torch.no_grad():
        together, alone = encoder(images), torch.cat([encoder(image[None]) for image in images])
    assert together.shape == (3, *encoder.code_shape)
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def test_rows_come_from_their_pyramid_level() -> None:
    """A change of the fine lateral connection alone moves only the fine rows."""
    torch.manual_seed(0)
    encoder = Encoder("psp", SMALL).eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        before = encoder(images)
        encoder.network.latlayer2.bias += 1.0
        moved = (encoder(images) - before).abs().amax((0, 2)) > 0
    assert moved.tolist() == [False] * 7 + [True] * 3

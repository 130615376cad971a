import json

import pytest
import torch
from torch.nn import functional as F

from raypipe.backbones.identity import IdentityConfig, IdentityNetwork, crop_face, identity_part, load_identity
from raypipe.backbones.identity.foreign import identity_part_of_state, is_identity_state
from raypipe.errors import BadWeights
from raypipe.weights import Part
from tests.shared_files import oracle

TINY = IdentityConfig(widths=(8, 16, 16, 16), depths=(1, 1, 1, 1), embedding_dim=8)


def test_network_has_the_tensors_of_the_public_file() -> None:
    layout = json.loads(oracle("psp/model_ir_se50_layout.json").read_text())
    with torch.device("meta"):
        state = IdentityNetwork(IdentityConfig()).state_dict()
    assert {name: list(tensor.shape) for name, tensor in state.items()} == {k: s for k, (s, _) in layout.items()}
    assert is_identity_state(state)


def test_a_file_of_other_sizes_is_refused() -> None:
    with pytest.raises(BadWeights, match="of another shape"):
        identity_part_of_state(IdentityNetwork(IdentityConfig(embedding_dim=8)).state_dict())


def test_vectors_have_unit_length_and_do_not_depend_on_the_batch() -> None:
    torch.manual_seed(0)
    network = load_identity(identity_part(IdentityNetwork(TINY)), "cpu")
    images = torch.randn(3, 3, 112, 112)
    together = network(images)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(together, torch.cat([network(image[None]) for image in images]), rtol=0, atol=1e-5)


def test_crop_takes_the_rows_and_columns_of_the_face() -> None:
    images = torch.zeros(1, 1, 256, 256)
    images[:, :, 35:223, 32:220] = 1.0
    assert torch.equal(crop_face(images), torch.ones(1, 1, 112, 112))
    ramp = torch.arange(256.0).expand(1, 1, 256, 256)
    torch.testing.assert_close(crop_face(ramp).mean(), torch.tensor((32 + 219) / 2), rtol=0, atol=0.1)


@pytest.mark.parametrize("size", [64, 1024])
def test_other_sizes_are_brought_to_256_first(size: int) -> None:
    images = torch.rand(1, 3, 256, 256)
    mode = "area" if size < 256 else "nearest"
    other = F.interpolate(images, size=(size, size), mode=mode)
    error = (crop_face(other) - crop_face(F.interpolate(other, size=(256, 256), mode="area"))).abs().mean()
    assert error < (0.1 if size < 256 else 1e-6)


def test_another_kind_is_refused() -> None:
    with pytest.raises(BadWeights, match="kinds: ir_se50, mobilefacenet, embedding_net, inception_resnet_v1"):
        load_identity(Part("other", {}, {}), "cpu")

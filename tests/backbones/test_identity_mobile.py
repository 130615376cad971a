from collections import defaultdict
from itertools import combinations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from raypipe.backbones.identity import MobileFaceNet, load_identity
from raypipe.backbones.identity.foreign import identity_part_of_state, is_identity_state
from raypipe.backbones.identity.mobile import crop_to_template
from raypipe.errors import BadWeights
from tests.shared_files import data

SCALE = 35.2 / 19.5
"""SphereFace's distance between the eyes over that in CelebA's aligned pictures at half size, pixels."""


def celeba_vectors(network: torch.nn.Module, names: list[str]) -> Tensor:
    """Vectors of aligned CelebA pictures of 89x109, cut to SphereFace's template."""
    left, top = 44.3 - 47.9 / SCALE, 55.7 - 51.6 / SCALE
    box = (left, top, left + 96 / SCALE, top + 112 / SCALE)
    faces = [
        np.array(
            Image.open(data("celeba10k") / "img_align_celeba" / name)
            .convert("RGB")
            .resize((96, 112), Image.Resampling.BICUBIC, box=box)
        )
        for name in names
    ]
    images = (torch.from_numpy(np.stack(faces)).permute(0, 3, 1, 2).float() - 127.5) / 128
    vectors: Tensor = network(images)
    return vectors


def test_public_weights_tell_people_apart() -> None:
    """A random pair of pictures of one person is nearer than one of two people in almost all cases."""
    checkpoint = torch.load(data("weights/mobilefacenet_xiaoccer/068.ckpt"), weights_only=True, map_location="cpu")
    assert is_identity_state(checkpoint)
    network = load_identity(identity_part_of_state(checkpoint), "cpu")
    names_of = defaultdict(list)
    for line in (data("celeba10k") / "identity_CelebA.txt").read_text().splitlines():
        name, person = line.split()
        names_of[person].append(name)
    people = [names[:2] for names in names_of.values() if len(names) >= 2][:40]
    vectors = celeba_vectors(network, [name for names in people for name in names]).reshape(40, 2, 128)
    same = (vectors[:, 0] * vectors[:, 1]).sum(1)
    different = torch.stack([vectors[i, 0] @ vectors[j, 1] for i, j in combinations(range(40), 2)])
    assert (same[:, None] > different[None]).float().mean() > 0.95


def test_vectors_have_unit_length_and_do_not_depend_on_the_batch() -> None:
    torch.manual_seed(0)
    network = MobileFaceNet().eval()
    images = torch.randn(2, 3, 128, 128)
    with torch.no_grad():
        together = network.embed(images)
        alone = torch.cat([network.embed(image[None]) for image in images])
    torch.testing.assert_close(together.norm(dim=1), torch.ones(2))
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-4)


@pytest.mark.parametrize("size", [64, 256, 1024])
def test_eyes_come_where_the_template_has_them(size: int) -> None:
    """FFHQ's alignment puts the eyes a quarter of the side apart, on a line at 0.4725 of the height."""
    y, x = torch.meshgrid((torch.arange(size) + 0.5) / size, (torch.arange(size) + 0.5) / size, indexing="ij")
    eye = torch.exp(-((x - 0.375).square() + (y - 0.4725).square()) / 0.05**2)
    crop = crop_to_template(eye.expand(1, 3, -1, -1))[0, 0]
    row, column = divmod(int(crop.argmax()), 96)
    assert abs(column - 30.3) <= 2
    assert abs(row - 51.7) <= 2


def test_other_shapes_are_refused() -> None:
    state = MobileFaceNet().state_dict()
    state["linear1.conv.weight"] = torch.zeros(64, 512, 1, 1)
    with pytest.raises(BadWeights, match=r"\[64, 512, 1, 1\] instead of \[128, 512, 1, 1\]"):
        identity_part_of_state(state)

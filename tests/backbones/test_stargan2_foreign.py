"""Published checkpoints of StarGAN v2, by their layouts, become parts."""

from __future__ import annotations

import pytest
import torch

from raypipe.backbones import stargan2
from raypipe.backbones.stargan2.foreign import (
    NO_LANDMARKS,
    NO_METHOD,
    NO_NAMES,
    is_stargan2_checkpoint,
    stargan2_parts,
)
from raypipe.errors import BadWeights
from tests.backbones.stargan2_layouts import published


@pytest.mark.parametrize(("name", "high_pass", "domains"), [("sg2_nets_ema", 2.0, 2), ("sg2_afhq_nets_ema", 0.0, 3)])
def test_the_published_stargan2_is_read(name: str, high_pass: float, domains: int) -> None:
    tree = published(name)
    if high_pass:
        tree["generator"]["hpf.filter"] = torch.tensor([[-1.0, -1, -1], [-1, 8, -1], [-1, -1, -1]]) / high_pass
    assert is_stargan2_checkpoint(tree)
    parts, remarks = stargan2_parts(tree)
    assert remarks == ([NO_NAMES, NO_LANDMARKS] if high_pass else [NO_METHOD])
    generator = stargan2.load_generator(parts["stargan2_generator"], "cpu")
    assert (generator.config.size, generator.config.high_pass) == (256, high_pass)
    mapping = stargan2.load_mapping(parts["stargan2_mapping"], "cpu")
    assert mapping(torch.zeros(1, 16)).shape == (1, domains, 64)
    encoder = stargan2.load_style_encoder(parts["stargan2_style_encoder"], "cpu").config
    assert (encoder.domains, encoder.attributes) == (domains, ("Male",) if high_pass else ())


def test_what_is_incomplete_is_named() -> None:
    tree = published("sg2_afhq_nets_ema")
    del tree["generator"]["to_rgb.0.bias"]
    with pytest.raises(BadWeights, match=r"missing: to_rgb\.0\.bias"):
        stargan2_parts(tree)
    with pytest.raises(BadWeights, match="style_encoder is not a dict of tensors"):
        stargan2_parts({**tree, "style_encoder": {"shared.0.weight": 1}})
    encoder = {name: x for name, x in tree["style_encoder"].items() if not name.startswith("unshared")}
    with pytest.raises(BadWeights, match="with 6 blocks and 0 branches"):
        stargan2_parts({**tree, "style_encoder": encoder})
    filtered = published("sg2_nets_ema")
    with pytest.raises(BadWeights, match=r"hpf\.filter is no high-pass filter: its largest number is 0"):
        stargan2_parts(filtered)
    assert not is_stargan2_checkpoint({"generator": {}, "style_encoder": {}})

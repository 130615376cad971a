"""Other people's weights become the network that they were: same pictures, same logits; or are refused with reasons."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch import Tensor

from raypipe.backbones.stylegan2 import load_discriminator, load_generator
from raypipe.backbones.stylegan2.foreign import ForeignModel, model_of_checkpoint, model_of_pickle
from raypipe.backbones.stylegan2.foreign_nvlabs import generator_part_of
from raypipe.backbones.stylegan2.foreign_reading import is_torch_file, read_pickle, read_torch
from raypipe.backbones.stylegan2.foreign_rosinality import rosinality_generator_part
from raypipe.errors import BadWeights
from tests.backbones.stylegan2_foreign_files import nvlabs_names, rosinality_checkpoint, saved, tensorflow_pickle
from tests.backbones.stylegan2_oracle import DISCRIMINATOR_FILE, GENERATOR_FILE, case
from tests.shared_files import oracle


@pytest.fixture(autouse=True)
def _no_gradients() -> object:
    with torch.no_grad():
        yield


def read(content: bytes) -> ForeignModel:
    model = (
        model_of_checkpoint(read_torch(content)) if is_torch_file(content) else model_of_pickle(read_pickle(content))
    )
    assert model is not None
    return model


def assert_oracles_generator(model: ForeignModel) -> None:
    stored = case(GENERATOR_FILE)
    generator = load_generator(model.parts["generator"], "cpu")
    assert_close(generator(stored["z"]), stored["image"])
    assert_close(generator(stored["z"], psi=0.7), stored["image_trunc07"])


def assert_oracles_discriminator(model: ForeignModel) -> None:
    stored = case(DISCRIMINATOR_FILE)
    assert_close(load_discriminator(model.parts["discriminator"], "cpu")(stored["x"]), stored["out"])


def assert_close(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=3e-5)


@pytest.mark.parametrize("legacy", [False, True])
def test_rosinality_training_checkpoint(legacy: bool) -> None:
    model = read(saved(rosinality_checkpoint(), legacy=legacy))
    assert model.format.startswith("rosinality")
    assert model.remarks == ()
    assert_oracles_generator(model)
    assert_oracles_discriminator(model)


def test_rosinality_generator_alone_as_a_state_dict() -> None:
    stored = case(GENERATOR_FILE)
    model = read(saved(stored["state_dict"]))
    assert set(model.parts) == {"generator"}
    assert_close(load_generator(model.parts["generator"], "cpu")(stored["z"]), stored["image"])


def test_rosinality_generator_is_taken_where_there_is_no_average() -> None:
    checkpoint = rosinality_checkpoint(g=case(GENERATOR_FILE)["state_dict"], g_ema=None, d=None)
    assert_oracles_generator(read(saved(checkpoint)))


def test_old_rosinality_checkpoint_without_filters_noise_maps_and_average() -> None:
    stored = case(GENERATOR_FILE)
    old = {name: t for name, t in stored["state_dict"].items() if not name.endswith("kernel") and "noises" not in name}
    model = read(saved(rosinality_checkpoint(g_ema=old, latent_avg=None)))
    assert [remark.split(":")[0] for remark in model.remarks] == [
        "the file has no noise maps",
        "the file has no latent_avg",
    ]
    generator = load_generator(model.parts["generator"], "cpu")
    assert_close(
        generator(stored["z"], noise=[stored["state_dict"][f"noises.noise_{i}"] for i in range(9)]), stored["image"]
    )
    others = generator.mapping(torch.randn(4096, 64, generator=torch.Generator().manual_seed(1)))
    assert (generator.w_avg - others.mean(0)).norm() < 0.1 * others.std(0).norm()
    again = read(saved(rosinality_checkpoint(g_ema=old, latent_avg=None))).parts["generator"].tensors
    assert all(torch.equal(tensor, again[name]) for name, tensor in model.parts["generator"].tensors.items())


def test_everything_wrong_with_a_generator_is_listed_at_once() -> None:
    state = dict(case(GENERATOR_FILE)["state_dict"])
    del state["convs.2.activate.bias"], state["to_rgb1.conv.weight"]
    state["surprise"] = torch.zeros(2)
    state["conv1.conv.weight"] = torch.zeros(1, 7, 64, 3, 3)
    with pytest.raises(BadWeights) as caught:
        rosinality_generator_part(state)
    for told in (
        "convs.2.activate.bias is missing",
        "to_rgb1.conv.weight is missing",
        "surprise is unknown",
        "conv1.conv.weight is [1, 7, 64, 3, 3], expected [64, 64, 3, 3]",
    ):
        assert told in str(caught.value)


def test_another_low_pass_filter_is_refused() -> None:
    state = dict(case(GENERATOR_FILE)["state_dict"])
    state["to_rgbs.0.upsample.kernel"] = torch.ones(4, 4) / 4
    with pytest.raises(BadWeights, match=r"to_rgbs\.0\.upsample\.kernel is not the low-pass filter"):
        rosinality_generator_part(state)


@pytest.mark.parametrize("name", ["to_rgbs.99999999999.bias", "style.99999999999.bias"])
def test_absurd_layer_numbers_are_refused_without_building_anything(name: str) -> None:
    state = {**case(GENERATOR_FILE)["state_dict"], name: torch.zeros(3)}
    with pytest.raises(BadWeights, match=r"99999999999|100000000000"):
        rosinality_generator_part(state)


def test_nvlabs_pickle_without_running_the_source_in_it() -> None:
    stored = case("nvlabs/native_persistence_expected.pt")
    model = read(oracle("nvlabs/native_persistence.pkl").read_bytes())
    generator = load_generator(model.parts["generator"], "cpu")
    discriminator = load_discriminator(model.parts["discriminator"], "cpu")
    assert_close(generator.broadcast(generator.mapping(stored["z"])), stored["ws"])
    assert_close(generator(stored["z"]), stored["image_const"])
    assert_close(discriminator(stored["image_const"]), stored["d_logits"])
    assert torch.equal(generator.w_avg, stored["G_ema"]["mapping.w_avg"])


def test_nvlabs_names_give_the_same_generator() -> None:
    part = generator_part_of(nvlabs_names(), mapping_lr_multiplier=0.01, clamp=None)
    assert_oracles_generator(ForeignModel("", {"generator": part}))


def test_tensorflow_pickle() -> None:
    model = read(tensorflow_pickle(resolution=64, fmap_max=64, mapping_lrmul=0.01, truncation_psi=0.5))
    assert model.format == "NVlabs TensorFlow pickle"
    assert_oracles_generator(model)
    assert_oracles_discriminator(model)


@pytest.mark.parametrize("argument", [{"nonlinearity": "relu"}, {"use_attention": True}])
def test_tensorflow_networks_built_otherwise_are_refused(argument: dict[str, object]) -> None:
    with pytest.raises(BadWeights, match=next(iter(argument))):
        read(tensorflow_pickle(**argument))


def test_files_of_something_else_are_no_stylegan2() -> None:
    assert model_of_checkpoint(read_torch(saved({"weight": torch.zeros(3)}))) is None
    assert model_of_checkpoint(read_torch(saved([1, 2]))) is None
    assert model_of_pickle(read_pickle(pickle.dumps({"a": 1}))) is None

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from raypipe.errors import WrongUsage
from raypipe.pipeline.encode.face_model import FaceModel, pick_device, resolve_precision


def mean_colour(columns: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {"colour": columns["image"].mean(dim=(2, 3))}


def pixels(count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)


def test_batches_are_joined_in_order() -> None:
    faces = pixels(7)
    model = FaceModel({"net": mean_colour}, device="cpu", precision="float32", batch_size=3)
    expected = faces.reshape(7, 16, 3).mean(axis=1) / 127.5 - 1
    np.testing.assert_allclose(model(faces)["colour"], expected, atol=1e-3)


def test_networks_build_on_each_other_and_each_one_s_time_is_told() -> None:
    def twice(columns: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"twice": 2 * columns["colour"]}

    model = FaceModel({"mean": mean_colour, "twice": twice}, device="cpu", precision="float32", batch_size=3)
    columns = model(pixels(7))
    assert list(columns) == ["colour", "twice"]
    np.testing.assert_allclose(columns["twice"], 2 * columns["colour"], atol=1e-3)
    assert list(model.seconds) == ["mean", "twice"]
    assert min(model.seconds.values()) > 0


def test_a_batch_that_does_not_fit_is_halved_and_nothing_is_lost() -> None:
    asked: list[int] = []

    def small_memory(columns: Mapping[str, Tensor]) -> dict[str, Tensor]:
        asked.append(len(columns["image"]))
        if len(columns["image"]) > 3:
            raise torch.OutOfMemoryError
        return mean_colour(columns)

    model = FaceModel({"net": small_memory}, device="cpu", precision="float32", batch_size=8)
    roomy = FaceModel({"net": mean_colour}, device="cpu", precision="float32", batch_size=8)
    np.testing.assert_array_equal(model(pixels(9))["colour"], roomy(pixels(9))["colour"])
    assert asked == [8, 4, 2, 2, 2, 2, 1]
    assert model.batch_size == 2


def test_one_image_that_does_not_fit_is_an_error() -> None:
    def no_memory(columns: Mapping[str, Tensor]) -> dict[str, Tensor]:
        raise torch.OutOfMemoryError

    with pytest.raises(torch.OutOfMemoryError):
        FaceModel({"net": no_memory}, device="cpu", precision="float32", batch_size=4)(pixels(4))


def test_bfloat16_runs_the_networks_in_bfloat16() -> None:
    seen: list[torch.dtype] = []
    layer = torch.nn.Conv2d(3, 2, 1)

    def network(columns: Mapping[str, Tensor]) -> dict[str, Tensor]:
        out = layer(columns["image"])
        seen.append(out.dtype)
        return {"codes": out}

    FaceModel({"net": network}, device="cpu", precision="bfloat16", batch_size=4)(pixels(1))
    assert seen == [torch.bfloat16]


def test_the_precision_follows_the_device_unless_told() -> None:
    assert [resolve_precision("auto", device) for device in ("cpu", "cuda")] == ["float32", "bfloat16"]
    assert resolve_precision("float32", "cuda") == "float32"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_required_gpu_that_is_missing_is_wrong_usage() -> None:
    assert pick_device(require_gpu=False) == "cpu"
    with pytest.raises(WrongUsage, match="no CUDA device"):
        pick_device(require_gpu=True)

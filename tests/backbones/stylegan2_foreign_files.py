"""Weights files as other projects write them, made from rosinality's small generator and discriminator."""

from __future__ import annotations

import argparse
import io
import json
import pickle
import re
import sys
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tests.backbones.stylegan2_oracle import DISCRIMINATOR_FILE, GENERATOR_FILE, case
from tests.shared_files import oracle


def saved(tree: Any, *, legacy: bool = False) -> bytes:
    file = io.BytesIO()
    torch.save(tree, file, _use_new_zipfile_serialization=not legacy)
    return file.getvalue()


def rosinality_checkpoint(**changes: Any) -> dict[str, Any]:
    """As their training saves it, with ``latent_avg`` as their converter adds it. A change to None removes a key."""
    stored = case(GENERATOR_FILE)
    tree = {
        "g": {name: tensor + 1.0 for name, tensor in stored["state_dict"].items() if not name.endswith("kernel")},
        "g_ema": dict(stored["state_dict"]),
        "d": dict(case(DISCRIMINATOR_FILE)["state_dict"]),
        "g_optim": {
            "state": {0: {"step": 3, "exp_avg": torch.zeros(2)}},
            "param_groups": [{"lr": 0.002, "betas": (0, 0.99)}],
        },
        "latent_avg": stored["w_mean"][0],
        "args": argparse.Namespace(size=64, path="/somewhere"),
        "ada_aug_p": 0.0,
        **changes,
    }
    return {name: value for name, value in tree.items() if value is not None}


def nvlabs_names() -> dict[str, Tensor]:
    """rosinality's generator under NVlabs' names; only axes of length one go."""
    stored = case(GENERATOR_FILE)
    names: dict[str, str] = json.loads(oracle("nvlabs/rosinality_key_to_nvlabs_key_g64.json").read_text())
    tensors = {theirs: _squeezed(stored["state_dict"][ours], theirs) for ours, theirs in names.items()}
    return {**tensors, "mapping.w_avg": stored["w_mean"][0]}


def tensorflow_pickle(**static_kwargs: Any) -> bytes:
    """The same networks as a pickle of the TensorFlow version: ``(G, D, Gs)``, G's being another one's."""
    averaged = _tf_generator(nvlabs_names())
    raw = [(name, array + 1) for name, array in averaged]
    with _tf_classes() as network_class:
        networks = []
        for variables in (raw, averaged):
            components = {
                part: network_class(_of_component(variables, part), {}, static_kwargs)
                for part in ("synthesis", "mapping")
            }
            own = [(name, array) for name, array in variables if "/" not in name]
            networks.append(network_class([("lod", np.float32(0)), *own], components, static_kwargs))
        discriminator = network_class(_tf_discriminator(case(DISCRIMINATOR_FILE)["state_dict"]), {}, {})
        return pickle.dumps((networks[0], discriminator, networks[1]), protocol=4)


def _squeezed(tensor: Tensor, name: str) -> Tensor:
    if name.endswith("noise_strength"):
        return tensor.reshape(())
    if name.endswith("noise_const"):
        return tensor[0, 0]
    if name.endswith("torgb.bias"):
        return tensor.flatten()
    return tensor[0] if tensor.ndim == 5 or name.endswith("const") else tensor


def _of_component(variables: list[tuple[str, Any]], part: str) -> list[tuple[str, Any]]:
    return [(name.removeprefix(f"{part}/"), array) for name, array in variables if name.startswith(f"{part}/")]


def _tf_generator(tensors: Mapping[str, Tensor]) -> list[tuple[str, Any]]:
    variables: list[tuple[str, Any]] = []
    for name, tensor in tensors.items():
        array = tensor.numpy()
        if name == "mapping.w_avg":
            variables.append(("dlatent_avg", array))
        elif match := re.fullmatch(r"mapping\.fc(\d+)\.(\w+)", name):
            variables.append((f"mapping/Dense{match[1]}/{match[2]}", array.T if match[2] == "weight" else array))
        elif name == "synthesis.b4.const":
            variables.append(("synthesis/4x4/Const/const", array[None]))
        elif match := re.fullmatch(r"synthesis\.b(\d+)\.(\w+)\.(.+)", name):
            variables.append(_tf_styled(int(match[1]), match[2], match[3], array))
    return variables


def _tf_styled(resolution: int, layer: str, field: str, array: Any) -> tuple[str, Any]:
    if field == "noise_const":
        number = 2 * resolution.bit_length() - 6 - (layer == "conv0")
        return f"synthesis/noise{number}", array[None, None]
    if field == "weight":
        array = array.transpose(2, 3, 1, 0)
        array = array[::-1, ::-1] if layer == "conv0" else array
    names = {"conv0": "Conv0_up", "conv1": "Conv" if resolution == 4 else "Conv1", "torgb": "ToRGB"}
    fields = {"affine.weight": ("mod_weight", array.T), "affine.bias": ("mod_bias", array - 1)}
    variable, value = fields.get(field, (field, array))
    return f"synthesis/{resolution}x{resolution}/{names[layer]}/{variable}", value


def _tf_discriminator(tensors: Mapping[str, Tensor]) -> list[tuple[str, Any]]:
    layers = {
        "convs.0.0": "64x64/FromRGB",
        "convs.0.1": "64x64/FromRGB",
        "final_conv.0": "4x4/Conv",
        "final_conv.1": "4x4/Conv",
    }
    layers |= {"final_linear.0": "4x4/Dense0", "final_linear.1": "Output"}
    for k, resolution in enumerate((64, 32, 16, 8), start=1):
        block = f"{resolution}x{resolution}"
        layers |= {f"convs.{k}.conv1.{i}": f"{block}/Conv0" for i in (0, 1)}
        layers |= {f"convs.{k}.conv2.{i}": f"{block}/Conv1_down" for i in (1, 2)}
        layers |= {f"convs.{k}.skip.1": f"{block}/Skip"}
    variables: list[tuple[str, Any]] = []
    for name, tensor in tensors.items():
        layer, _, field = name.rpartition(".")
        if field != "kernel":
            array = tensor.numpy()
            variables.append((f"{layers[layer]}/{field}", array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T))
    return variables


@contextmanager
def _tf_classes() -> Iterator[Any]:
    """``dnnlib.tflib.network.Network``, importable as long as the block runs: pickling looks it up."""

    class Network:
        def __init__(self, variables: Any, components: Any, static_kwargs: Any) -> None:
            self._state = {
                "version": 4, "name": "N", "static_kwargs": static_kwargs, "components": components,
                "build_module_src": "raise RuntimeError('must never be executed')", "build_func_name": "G_main",
                "variables": variables,
            }  # fmt: skip

        def __getstate__(self) -> Any:
            return self._state

    names = ("dnnlib", "dnnlib.tflib", "dnnlib.tflib.network")
    modules = {name: types.ModuleType(name) for name in names}
    Network.__module__, Network.__qualname__ = names[-1], "Network"
    modules[names[-1]].Network = Network  # type: ignore[attr-defined]
    sys.modules.update(modules)
    try:
        yield Network
    finally:
        for name in names:
            del sys.modules[name]

"""From a trained autoencoder to the bundle that ships: averaged weights, centred codes, a mapping network."""

from __future__ import annotations

import copy
import json
import platform
from collections.abc import Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor
from torch.optim.swa_utils import update_bn

import raypipe
from raypipe import storage
from raypipe.backbones.psp import Encoder, encoder_part, load_encoder
from raypipe.backbones.psp.networks import GradualStyleEncoder, SharedHead
from raypipe.backbones.stylegan2 import generator_part, load_generator
from raypipe.config import as_dict
from raypipe.faces import to_signed
from raypipe.pipeline.standin.config import StandinConfig
from raypipe.pipeline.standin.mapping import fit_mapping
from raypipe.pipeline.standin.training import Training
from raypipe.synthfaces import render, sample_factors
from raypipe.weights import Bundle, Part, save_bundle

HELD_OUT_SEED_OFFSET = 1_000_000
STATISTICS_BATCHES = 64


def export(training: Training, folder: str, record: Mapping[str, Any]) -> Bundle:
    """Write the bundle that ``open_bundle`` reads, with its ``run.json`` and its model card.

    The weights are the running averages, stored as float16. Batch statistics are measured anew for them, the encoder's
    ``latent_avg`` becomes the mean code of a face, and the mapping network is fitted to the codes of faces.
    """
    config = training.config
    model = copy.deepcopy(training.average)
    pictures = (config.pictures(training.step_index + i) for i in range(STATISTICS_BATCHES))
    update_bn(pictures, model.encoder)
    model.eval()
    base_codes = encode_faces(model.encoder, config)[:, 0]
    centre_codes(model.encoder, base_codes.mean(0))
    distance = fit_mapping(model.generator, base_codes, steps=config.mapping_steps, seed=config.seed)
    parts = {"generator": half(generator_part(model.generator)), "encoder": half(encoder_part(model.encoder))}
    record = {
        **record,
        "training": as_dict(config),
        "steps_done": training.step_index,
        "pictures_seen": training.step_index * config.batch,
        "mapping_distance": round(distance, 5),
        "held_out_faces": reconstruction_report(parts, config),
        "versions": {"raypipe": raypipe.__version__, "torch": torch.__version__, "python": platform.python_version()},
    }
    bundle = save_bundle(folder, "small", parts, {"data": "raypipe.synthfaces", "run": "run.json"})
    storage.write_bytes(storage.join(folder, "run.json"), json.dumps(record, indent=2).encode())
    storage.write_bytes(storage.join(folder, "README.md"), model_card(record).encode())
    return bundle


@torch.no_grad()
def encode_faces(encoder: Encoder, config: StandinConfig) -> Tensor:
    """Codes [mapping_codes,L,D] of faces that were not trained with."""
    return torch.cat([encoder(faces) for faces in held_out_faces(config, config.mapping_codes)])


def held_out_faces(config: StandinConfig, count: int) -> Iterator[Tensor]:
    """Faces of another seed than the training's, in batches [n,3,size,size] in [-1,1]."""
    for start in range(0, count, 256):
        factors = sample_factors(
            min(256, count - start), config.seed + HELD_OUT_SEED_OFFSET, start=start, images_per_identity=1
        )
        yield to_signed(torch.from_numpy(render(factors, config.size).images))


@torch.no_grad()
def centre_codes(encoder: Encoder, mean_D: Tensor) -> None:
    """Move the mean code from the biases of the rows' base to ``latent_avg``: the encoder's output stays the same."""
    head = cast(SharedHead, cast(GradualStyleEncoder, encoder.network).styles[0])
    head.linear.bias[: len(mean_D)] -= mean_D
    encoder.latent_avg += mean_D


def half(part: Part) -> Part:
    """The same in float16; counters stay integers."""
    tensors = {name: t.half() if t.is_floating_point() else t for name, t in part.tensors.items()}
    return Part(part.kind, part.config, tensors)


@torch.no_grad()
def reconstruction_report(parts: Mapping[str, Part], config: StandinConfig) -> dict[str, float]:
    """How well the stored networks reconstruct faces not trained with: PSNR in dB and mean absolute error in [0,1]."""
    generator, encoder = load_generator(parts["generator"], "cpu"), load_encoder(parts["encoder"], "cpu")
    squares, absolutes = [], []
    for faces in held_out_faces(config, config.held_out_faces):
        error = (generator.synthesis(encoder(faces)).clamp(-1, 1) - faces) / 2
        squares.append(error.square().mean((1, 2, 3)))
        absolutes.append(error.abs().mean((1, 2, 3)))
    psnr = -10 * torch.cat(squares).log10()
    return {"psnr_db": round(psnr.mean().item(), 2), "l1": round(torch.cat(absolutes).mean().item(), 4)}


def model_card(record: Mapping[str, Any]) -> str:
    """What the model is and is not, for people who find its files."""
    training, measured = record["training"], record["held_out_faces"]
    return f"""# The small model

A StyleGAN2 generator ({training["size"]} px, w of {training["style_dim"]} numbers) and an inversion encoder, both small
enough for a laptop without a GPU. They are here so that every command works out of the box.

What it is, honestly: a stand-in. The two networks were trained together as an autoencoder for
{record["steps_done"]} steps of {training["batch"]} pictures on a CPU ({record["minutes"]} minutes), on nothing but
the made-up faces of `raypipe.synthfaces`, half of them deformed, recoloured and partly covered. No photograph was
used. No adversary ever looked at its pictures, so they are softer than a GAN's, and its mapping network was fitted
afterwards to the encoder's codes. Photographs of faces come back recognisable at best, blurred, and without details
that the drawings do not have. Do not judge the methods by it.

On {training["held_out_faces"]} made-up faces that it was not trained with: PSNR {measured["psnr_db"]} dB, mean
absolute error {measured["l1"]} of the value range. Settings, seed, losses and versions are in `run.json`; the command
was `python -m raypipe.pipeline.train_standin`.
"""

"""What is trained, in which order, with which settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raypipe import catalog, storage
from raypipe.config import read_config
from raypipe.pipeline.train.config import DataConfig, TrainConfig, TrainJob
from raypipe.weights import open_bundle

SIZE = 64
FACES = 20_000
CHANNELS = (256, 128, 96, 64, 32)


@dataclass(frozen=True, kw_only=True)
class SmallModelConfig:
    """``work``: where checkpoints and data are kept. ``further``: a model whose generator and encoder are trained
    further and whose other networks stay, for machines on which beginning from nothing takes too long; empty = all of
    them begin from nothing. ``scale``: of all numbers of steps and faces. ``bf16``: compute in bfloat16, which a GPU
    gains by, and a CPU with AVX512-BF16 or AMX."""

    work: str
    further: str = ""
    scale: float = 1.0
    bf16: bool = False
    seed: int = 0

    def scaled(self, count: int, *, least: int = 1) -> int:
        """A number of steps or faces."""
        return max(least, round(count * self.scale))


@dataclass(frozen=True)
class Stage:
    """A recipe with its settings, and the stages whose results it builds on beside the model that goes further."""

    recipe: str
    steps: int
    settings: Mapping[str, Any]
    builds_on: tuple[str, ...] = ()


def stages(config: SmallModelConfig) -> tuple[Stage, ...]:
    """In the order in which they are trained; the directions come last, on codes of what is trained before."""
    return _further_stages(config) if config.further else _first_stages()


def encoder_of(config: SmallModelConfig) -> str:
    """The model that has the trained encoder, and all that it builds on."""
    return model_of(stages(config)[-1].recipe, config)


def _first_stages() -> tuple[Stage, ...]:
    gan = {"batch": 32, "style_dim": 128, "channels": CHANNELS, "mapping_layers": 4, "augment": False}
    encoder = {"widths": (16, 32, 64, 64), "depths": (1, 1, 2, 1), "shared_heads": True, "squeeze_excite": True}
    return (
        Stage("attributes", 4_000, {"batch": 64}),
        Stage("identity", 3_000, {"batch": 64}),
        Stage("stylegan2", 150_000, gan, ("attributes",)),
        Stage(
            "e4e",
            10_000,
            {
                "batch": 16,
                "encoder": encoder,
                "learning_rate": 2e-3,
                "decay_share": 0.5,
                "generated_share": 0.5,
                "random_noise": False,
            },
            ("attributes", "identity", "stylegan2"),
        ),
    )


def _further_stages(config: SmallModelConfig) -> tuple[Stage, ...]:
    """A CPU's share: the generator as a GAN, with a discriminator that begins alone where the model has none; then the
    encoder, which has to follow it; then both together, until reconstructions are good."""
    has_discriminator = "discriminator" in open_bundle(config.further).parts
    gan = {
        "batch": 16,
        "warm_start": True,
        "generator_from_step": 0 if has_discriminator else config.scaled(300),
        "channels": CHANNELS,
        "learning_rate": 2e-3,
        "ema_ramp": 0.0,
        "mirror": False,
        "augment": False,
        "fid_images": config.scaled(2_000, least=64),
    }
    encoder = {
        "batch": 16,
        "start_from_encoder": True,
        "progressive_start": 0,
        "progressive_every": 0,
        "learning_rate": 1e-3,
        "decay_share": 0.5,
        "generated_share": 0.5,
        "perceptual_weight": 0.0,
        "random_noise": False,
    }
    both = {"batch": 16, "fid_images": config.scaled(2_000, least=64)}
    return (
        Stage("stylegan2", 8_000, gan),
        Stage("e4e", 5_000, encoder, ("stylegan2",)),
        Stage("autoencoder", 16_000, both, ("e4e",)),
    )


def job_of(stage: Stage, config: SmallModelConfig) -> TrainJob:
    """The training run of a stage; its model lies at ``model_of``."""
    steps = config.scaled(stage.steps)
    train = TrainConfig(
        recipe=stage.recipe,
        out=model_of(stage.recipe, config),
        data=DataConfig(uri="synthfaces", size=SIZE, held_out=config.scaled(2_000, least=64)),
        models=(*([config.further] if config.further else []), *(model_of(name, config) for name in stage.builds_on)),
        seed=config.seed,
        checkpoint_every=max(1, steps // 20),
        snapshot_every=max(1, steps // 20),
        evaluate_every=max(1, steps // 10),
    )
    module = catalog.recipe_module(stage.recipe)
    settings = {**stage.settings, "steps": steps, "bf16": config.bf16}
    return TrainJob(config=train, recipe=read_config(module.Config, settings))


def directions_job(config: SmallModelConfig, codes: str) -> TrainJob:
    """Fits the directions on codes that the encoder of this model made; its result has all parts."""
    train = TrainConfig(
        recipe="sparse_directions",
        out=model_of("sparse_directions", config),
        data=DataConfig(uri=codes, held_out=config.scaled(2_000)),
        models=(encoder_of(config),),
        seed=config.seed,
        evaluate_every=250,
    )
    module = catalog.recipe_module("sparse_directions")
    return TrainJob(config=train, recipe=read_config(module.Config, {"steps": config.scaled(3_000)}))


def model_of(recipe: str, config: SmallModelConfig) -> str:
    """Where a stage's model lies."""
    return storage.join(config.work, recipe)

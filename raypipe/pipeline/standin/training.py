"""An autoencoder of a StyleGAN2 generator and an inversion encoder, and one step of its training."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raypipe.backbones.psp import Encoder, EncoderConfig
from raypipe.backbones.stylegan2 import Generator, GeneratorConfig, Synthesis
from raypipe.pipeline.standin.config import StandinConfig
from raypipe.pipeline.standin.losses import reconstruction_loss
from raypipe.pipeline.standin.principal import PrincipalCodes, fit_principal_codes

CALM = 0.1


class Autoencoder(nn.Module):
    """The two networks of the bundle."""

    def __init__(self, config: StandinConfig) -> None:
        super().__init__()
        self.generator = Generator(
            GeneratorConfig(
                size=config.size,
                style_dim=config.style_dim,
                z_dim=config.style_dim,
                mapping_layers=4,
                mapping_lr_multiplier=1.0,
                channels=config.channels,
            )
        )
        self.encoder = Encoder(
            "e4e",
            EncoderConfig(
                input_size=config.size,
                num_layers=self.generator.num_layers,
                style_dim=config.style_dim,
                widths=config.encoder_widths,
                depths=config.encoder_depths,
                shared_heads=True,
            ),
        )

        calm(self)

    def forward(self, images: Tensor) -> Tensor:
        """[n,3,s,s] in [-1,1] -> the same, through the code."""
        reconstruction: Tensor = self.generator.synthesis(self.encoder(images), "none")
        return reconstruction


class Training:
    """The state of a run and one step of it. The same config and step give the same numbers on the same machine."""

    def __init__(self, config: StandinConfig) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.step_index = 0
        self.model = Autoencoder(config)
        self.average = copy.deepcopy(self.model)
        self._lower_parts = [
            lower_part(self.model.generator, config.size >> halvings)
            for halvings in reversed(range(len(config.growth_steps) + 1))
        ]
        self._principal: PrincipalCodes | None = None
        equalised, backbone = parameter_groups(self.model)
        self._trained = [*equalised, *backbone]
        self._optimiser = torch.optim.Adam(
            [
                {"params": equalised, "full_rate": config.learning_rate},
                {"params": backbone, "full_rate": config.backbone_learning_rate},
            ],
            betas=(0.9, 0.99),
            fused=True,
        )

    def step(self, images: Tensor) -> dict[str, float]:
        """One optimiser step on [n,3,s,s] in [-1,1]; the losses by name."""
        config = self.config
        for group in self._optimiser.param_groups:
            group["lr"] = group["full_rate"] * config.pace(self.step_index)
        losses = self._losses(images)
        self._optimiser.zero_grad()
        torch.autograd.backward(losses["total"])
        nn.utils.clip_grad_norm_(self._trained, 1.0)
        self._optimiser.step()
        self._update_average()
        self.step_index += 1
        return {name: loss.item() for name, loss in losses.items()}

    def _losses(self, images: Tensor) -> dict[str, Tensor]:
        config = self.config
        noise = torch.Generator().manual_seed(self.step_index)
        synthesis = self._lower_parts[sum(self.step_index >= step for step in config.growth_steps)]
        codes = self.model.encoder(images)
        taught, teaching = self._principal_codes(images), config.teaching(self.step_index)
        base = codes[:, :1]
        is_taught = torch.rand(len(images), 1, 1, generator=noise) < 0.5 * teaching
        is_base_only = torch.rand(len(images), 1, 1, generator=noise) < config.base_only_share
        rendered = torch.where(is_taught, taught, codes)
        rendered = torch.where(is_base_only, rendered[:, :1], rendered)
        rendered = rendered + config.code_noise * torch.randn(base.shape, generator=noise)
        made = synthesis(rendered[:, : 2 * len(synthesis.blocks)], "none")
        losses = {
            "pixels": reconstruction_loss(made, F.adaptive_avg_pool2d(images, made.shape[-1])),
            "lesson": F.mse_loss(codes, taught),
            "base": base.square().mean(),
            "offset": (codes - base).square().mean(),
        }
        held_near_zero = config.base_weight * losses["base"] + config.offset_weight * losses["offset"]
        losses["total"] = losses["pixels"] + teaching * losses["lesson"] + held_near_zero
        return losses

    @torch.no_grad()
    def _principal_codes(self, images: Tensor) -> Tensor:
        if self._principal is None:
            self._principal = fit_principal_codes(self.config)
        return self._principal.of(images, self.model.generator.num_layers)

    @torch.no_grad()
    def _update_average(self) -> None:
        for average, now in zip(self.average.parameters(), self.model.parameters(), strict=True):
            average.lerp_(now, 1 - self.config.average_decay)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {
            "step": self.step_index,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self._optimiser.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there: the same steps follow."""
        self.step_index = state["step"]
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])


@torch.no_grad()
def calm(model: Autoencoder) -> None:
    """Begin near one picture for all codes and one code for all pictures: from there, large steps are stable."""
    for name, parameter in model.named_parameters():
        is_affine = name.startswith("generator.synthesis") and name.endswith("style.weight")
        is_head = name.startswith("encoder") and name.endswith("linear.weight")
        if is_affine or is_head:
            parameter.mul_(CALM)


def parameter_groups(model: Autoencoder) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """What is trained, the mapping network is not: layers with equalised weights, and the encoder's other layers."""
    is_equalised = {name: name.startswith("generator") or ".linear." in name for name, _ in model.named_parameters()}
    named = {name: p for name, p in model.named_parameters() if not name.startswith("generator.mapping")}
    return (
        [parameter for name, parameter in named.items() if is_equalised[name]],
        [parameter for name, parameter in named.items() if not is_equalised[name]],
    )


def lower_part(generator: Generator, size: int) -> Synthesis:
    """The layers up to a smaller picture size, shared with the generator: training one trains the other."""
    config = generator.config
    resolutions = [resolution for resolution in config.resolutions if resolution <= size]
    part = Synthesis(replace(config, size=size, channels=config.channels[: len(resolutions)]))
    part.const = generator.synthesis.const
    part.blocks = nn.ModuleList(list(generator.synthesis.blocks)[: len(resolutions)])
    return part

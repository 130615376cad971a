"""Training StarGAN v2, which draws faces anew as members of a domain, in styles of noise or of other faces.

N faces, K domains, D the width of styles. Source: Choi et al., StarGAN v2 (CVPR 2020), section 2.2; the order of a
step's four parts is the public code's.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raypipe.backbones.perceptual.features import perceptual_features
from raypipe.backbones.stargan2.beginning import Styled, begin_with, require_labels, require_landmarks
from raypipe.backbones.stargan2.config import DiscriminatorConfig
from raypipe.backbones.stargan2.domains import Domains, of_domain
from raypipe.backbones.stargan2.drawer import Drawer
from raypipe.backbones.stargan2.evaluation import HeldOutTranslations, pieces
from raypipe.backbones.stargan2.layers import he_initialise
from raypipe.backbones.stargan2.losses import (
    Networks,
    Task,
    classifier_losses,
    discriminator_losses,
    generator_losses,
    reconstruction_loss,
)
from raypipe.backbones.stargan2.parts import (
    discriminator_part,
    generator_part,
    landmarks_for,
    mapping_part,
    style_encoder_part,
)
from raypipe.backbones.stargan2.readers import Discriminator
from raypipe.backbones.stargan2.training_config import ROLES, Config
from raypipe.backbones.stylegan2.players import Player
from raypipe.blocks.jitter import crop, jitter
from raypipe.blocks.optimising import update_average
from raypipe.blocks.randomness import Draws
from raypipe.contract import Columns, Share, Site
from raypipe.weights import Part

__all__ = ["Config", "StarGAN2Recipe", "build_recipe", "columns"]


def columns(config: Config) -> tuple[str, ...]:
    """What each batch must hold."""
    return "image", "labels"


def build_recipe(config: Config, site: Site) -> StarGAN2Recipe:
    """Ready for the first step.

    Raises:
        WrongUsage: the data lack an attribute or are of a size that cannot be, no network for a perceptual loss or for
            the masks of a high-pass filter, or a batch that cannot be shared equally.
    """
    config.check_shares(site.share.count)
    attributes = config.attributes or site.data.attributes
    require_labels(attributes, site.data)
    require_landmarks(config.high_pass, site.parts)
    return StarGAN2Recipe(config, site, Domains(attributes))


@dataclass(frozen=True)
class Examples:
    """Thirds of a batch: faces to change, references for them, and others; pictures [n,3,s,s], domains int64 [n]."""

    images: Sequence[Tensor]
    domains: Sequence[Tensor]

    @property
    def is_comparable(self) -> Tensor:
        """1.0 where the reference and the other face are of the same domain, [n]."""
        return (self.domains[1] == self.domains[2]).float()

    def task(self, styles_ND: Tensor) -> Task:
        """The first third in these styles of the references' domains."""
        return Task(self.images[0], styles_ND, self.domains[0], self.domains[1])


@dataclass(frozen=True)
class Styles:
    """Where two styles of each domain come from: a network, and what it is given, noise or pictures."""

    network: nn.Module
    given: Sequence[Tensor]

    def of(self, domains_N: Tensor) -> Tensor:
        """[n, D]."""
        return of_domain(self.network(self.given[0]), domains_N)

    def others(self, domains_N: Tensor) -> Tensor:
        """[n, D], to differ from ``of``'s."""
        return of_domain(self.network(self.given[1]), domains_N)


class StarGAN2Recipe:
    """A step has four: of the discriminator by noise and by references; of generator, mapping network and style encoder
    by noise, and of the generator alone by references."""

    def __init__(self, config: Config, site: Site, domains: Domains) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(site.seed)
            styled = Styled(config, site.data.size, domains)
            discriminator = Discriminator(
                DiscriminatorConfig(
                    size=site.data.size,
                    domains=len(domains),
                    first_width=config.first_width,
                    max_width=config.max_width,
                )
            )
            he_initialise(styled)
            he_initialise(discriminator)
        if config.warm_start:
            begin_with(site.parts, styled, discriminator)
        styled.to(site.device)
        self.average = copy.deepcopy(styled).eval().requires_grad_(False)
        self._config, self._site, self._domains, self._styled = config, site, domains, styled
        self._label_columns = [site.data.attributes.index(name) for name in domains.attributes]
        self._players: dict[str, Player[Any]] = {
            name: Player(network, interval=None, share=site.share, weight_decay=config.weight_decay)
            for name, network in (
                ("generator", styled.generator),
                ("style_encoder", styled.style_encoder),
                ("mapping", styled.mapping),
                ("discriminator", discriminator.to(site.device)),
            )
        }
        for name, player in self._players.items():
            player.set_learning_rate(config.mapping_learning_rate if name == "mapping" else config.learning_rate)
        landmarks = landmarks_for(styled.generator, site.parts, site.device)
        self._draw_averaged = Drawer(self.average.generator, landmarks)
        self._networks = Networks(
            Drawer(styled.generator, landmarks), styled.style_encoder, self._players["discriminator"].network
        )
        self._features = perceptual_features(site, domains.attributes) if config.perceptual_weight else None
        self._done = 0

    def step(self, batch: Columns) -> dict[str, Tensor]:
        """Numbers: the losses by noise, and with ``reference_`` before their names those by references."""
        config = self._config
        draws = Draws(self._site.seed, self._done, self._site.share, self._site.device)
        images = crop(batch["image"], draws, probability=config.crop)
        images = jitter(images, draws, mirror=config.mirror, shift=config.shift)
        if self._done < config.discriminator_steps:
            self._done += 1
            return self._told_apart(images, self._domains_of(batch))
        examples = Examples(images.chunk(ROLES), self._domains_of(batch).chunk(ROLES))
        z = [draws.normal(len(examples.images[0]), config.latent_dim) for _ in range(2)]
        by_noise = Styles(self._styled.mapping, z)
        by_reference = Styles(self._styled.style_encoder, examples.images[1:])
        numbers = self._judged(examples, by_noise)
        of_references = self._judged(examples, by_reference)
        whole, comparable = torch.ones_like(examples.is_comparable), examples.is_comparable
        numbers |= self._drawn(examples, by_noise, whole, of=("generator", "mapping", "style_encoder"))
        of_references |= self._drawn(examples, by_reference, comparable, of=("generator",))
        self._done += 1
        update_average(
            self.average, self._styled, images=config.batch // ROLES, half_life_images=config.ema_half_life_images
        )
        return numbers | {f"reference_{name}": number for name, number in of_references.items()}

    def finish(self, batches: Iterable[Columns]) -> None:
        """Nothing is measured over all rows."""

    def evaluate(self, batches: Iterable[Columns]) -> dict[str, float]:
        """As ``HeldOutTranslations.numbers``, by styles of noise that is the same for the same face each time."""
        draws = self._fixed_draws()

        def styles_of(images: Tensor, sources_N: Tensor, targets_N: Tensor) -> Tensor:
            return of_domain(self.average.mapping(draws.normal(len(images), self._config.latent_dim)), targets_N)

        translations = HeldOutTranslations(self._draw_averaged, self._domains, styles_of, site=self._site)
        held_out = ((batch["image"], self._domains_of(batch)) for batch in batches)
        for images, domains_N in pieces(held_out, self._config.evaluated_faces):
            translations.add(images, domains_N)
        return translations.numbers()

    @torch.no_grad()
    def samples(self, batch: Columns) -> Tensor:
        """A row for each face: itself, as a member of each domain by noise, and in the style of the face before."""
        images, domains = batch["image"], self._domains_of(batch)
        styles_NKD = self.average.mapping(self._fixed_draws().normal(len(images), self._config.latent_dim))
        draw = self._draw_averaged.of(images)
        made = [images, *(draw(style_ND) for style_ND in styles_NKD.unbind(1))]
        before_ND = of_domain(self.average.style_encoder(images), domains).roll(1, 0)
        made.append(draw(before_ND))
        return torch.stack(made, dim=1).float().clamp(-1, 1)

    def state_dict(self) -> dict[str, Any]:
        players = {name: player.state_dict() for name, player in self._players.items()}
        return {"players": players, "average": self.average.state_dict(), "done": self._done}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name, player in self._players.items():
            player.load_state_dict(state["players"][name])
        self.average.load_state_dict(state["average"])
        self._done = state["done"]

    def export(self) -> dict[str, Part]:
        """The averaged networks, and the discriminator. Their names tell them from StyleGAN2's."""
        return {
            "stargan2_generator": generator_part(self.average.generator),
            "stargan2_mapping": mapping_part(self.average.mapping),
            "stargan2_style_encoder": style_encoder_part(self.average.style_encoder),
            "stargan2_discriminator": discriminator_part(self._networks.discriminator),
        }

    def _told_apart(self, images: Tensor, domains_N: Tensor) -> dict[str, Tensor]:
        """A step of the discriminator by real faces alone."""
        player = self._players["discriminator"]
        player.begin()
        with self._precision():
            losses = classifier_losses(player.network, images, domains_N)
        player.learn(losses["d_loss"] + losses["mismatch"])
        player.end()
        return {name: loss.detach() for name, loss in losses.items()}

    def _judged(self, examples: Examples, styles: Styles) -> dict[str, Tensor]:
        """A step of the discriminator."""
        player, weight, of_others = self._players["discriminator"], self._config.r1_weight, self._config.mismatch_weight
        player.begin()
        with self._precision():
            with torch.no_grad():
                styles_ND = styles.of(examples.domains[1])
            losses = discriminator_losses(self._networks, examples.task(styles_ND), r1=weight > 0)
        player.learn(losses["d_loss"] + of_others * losses["mismatch"] + 0.5 * weight * losses.get("r1", 0.0))
        player.end()
        return {name: loss.detach() for name, loss in losses.items()}

    def _drawn(
        self, examples: Examples, styles: Styles, is_comparable_N: Tensor, *, of: Sequence[str]
    ) -> dict[str, Tensor]:
        """A step of the generator and of what else is to learn."""
        players = [self._players[name] for name in of]
        for player in players:
            player.begin()
        with self._precision():
            styles_ND, others_ND = styles.of(examples.domains[1]), styles.others(examples.domains[1])
            losses, made = generator_losses(self._networks, examples.task(styles_ND), others_ND, is_comparable_N)
            if self._features is not None:
                with torch.no_grad():
                    wanted = self._features(examples.images[0])
                losses["perceptual"] = F.l1_loss(self._features(made).float(), wanted.float())
            if self._config.reconstruction_weight:
                losses["reconstruction"] = reconstruction_loss(self._networks, examples.images[0], examples.domains[0])
        weights = self._weights()
        players[0].learn(torch.stack([weights[name] * loss for name, loss in losses.items()]).sum())
        for player in players:
            player.end()
        return {name: loss.detach() for name, loss in losses.items()}

    def _weights(self) -> dict[str, float]:
        config = self._config
        return {
            "adversarial": 1.0,
            "style": config.style_weight,
            "diversity": -config.diversity_weight_at(self._done),
            "cycle": config.cycle_weight,
            "perceptual": config.perceptual_weight,
            "reconstruction": config.reconstruction_weight,
        }

    def _domains_of(self, batch: Columns) -> Tensor:
        """int64 [n]."""
        return self._domains.of_values(batch["labels"][:, self._label_columns])

    def _fixed_draws(self) -> Draws:
        """The same at every call, and on whichever worker."""
        return Draws(self._site.seed, -1, Share(), self._site.device)

    def _precision(self) -> torch.autocast:
        return torch.autocast(self._site.device.type, torch.bfloat16, enabled=self._config.bf16)

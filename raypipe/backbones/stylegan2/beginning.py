"""The two networks before their first step."""

from __future__ import annotations

import copy

from raypipe.backbones.stylegan2.discriminator import Discriminator
from raypipe.backbones.stylegan2.generator import Generator
from raypipe.backbones.stylegan2.parts import load_discriminator, load_generator
from raypipe.backbones.stylegan2.training_config import Config
from raypipe.contract import Site
from raypipe.errors import WrongUsage


def networks(config: Config, site: Site) -> tuple[Generator, Discriminator]:
    """New ones, or with ``warm_start`` the site's, as far as it has them.

    Raises:
        WrongUsage: a warm start without a generator, or with networks for other data.
    """
    generator, discriminator = Generator(config.generator(site.data)), Discriminator(config.discriminator(site.data))
    if config.warm_start:
        if "generator" not in site.parts:
            raise WrongUsage("a warm start needs a model with a generator: give one with --model")
        wanted = (site.data.size, generator.config.label_dim)
        # Copies: a loaded network shares its tensors with the part, which is the site's.
        generator = copy.deepcopy(load_generator(site.parts["generator"], site.device)).train()
        if "discriminator" in site.parts:
            discriminator = copy.deepcopy(load_discriminator(site.parts["discriminator"], site.device)).train()
        given = (generator.config.size, generator.config.label_dim)
        if given != wanted:
            raise WrongUsage(f"the generator to start with has (size, labels) {given}, and the data ask for {wanted}")
    return generator.to(site.device), discriminator.to(site.device)

"""The networks before their first step."""

from __future__ import annotations

import copy

from raypipe.backbones.stargan2 import Discriminator, DiscriminatorConfig, load_discriminator
from raypipe.backbones.stargan2.layers import he_initialise
from raypipe.contract import Site
from raypipe.errors import WrongUsage
from raypipe.methods.l2m_gan.config import L2MGANConfig
from raypipe.methods.l2m_gan.networks import L2MGAN, L2MConfig, load_l2m

PART, DISCRIMINATOR_PART = "l2m_gan", "l2m_gan_discriminator"


def networks(config: L2MGANConfig, site: Site) -> tuple[L2MGAN, Discriminator]:
    """New ones by He's initialisation, or with ``warm_start`` the model's, as far as it has them.

    Raises:
        WrongUsage: an attribute that the data or the model's attribute network does not have, a size that cannot be, or
            a warm start without networks, or with those of other data.
    """
    network = _given(site) if config.warm_start else _new(config, site)
    if missing := [name for name in network.config.attributes if name not in site.data.attributes]:
        raise WrongUsage(
            f"the data has no label {', '.join(missing)} with faces of 0 and faces of 1; it has: "
            f"{', '.join(site.data.attributes) or 'none'}"
        )
    _require_known(network.config.attributes, site)
    sizes = network.config
    if site.data.size != sizes.size:
        raise WrongUsage(f"the model to start with is for {sizes.size} px, and the data is of {site.data.size} px")
    discriminator = Discriminator(
        DiscriminatorConfig(
            size=sizes.size, domains=len(network.domains), first_width=sizes.first_width, max_width=sizes.max_width
        )
    )
    he_initialise(discriminator)
    if config.warm_start and DISCRIMINATOR_PART in site.parts:
        discriminator = copy.deepcopy(load_discriminator(site.parts[DISCRIMINATOR_PART], site.device)).train()
    return network.to(site.device), discriminator.to(site.device)


def _new(config: L2MGANConfig, site: Site) -> L2MGAN:
    network = L2MGAN(
        L2MConfig(
            attributes=config.attributes or site.data.attributes,
            size=site.data.size,
            style_dim=config.style_dim,
            first_width=config.first_width,
            max_width=config.max_width,
        )
    )
    he_initialise(network)
    return network


def _given(site: Site) -> L2MGAN:
    """A copy: a loaded network shares its tensors with the part, which is the site's."""
    if PART not in site.parts:
        raise WrongUsage(f"a warm start needs a model with a part {PART!r}; parts: {', '.join(site.parts) or 'none'}")
    return copy.deepcopy(load_l2m(site.parts[PART], site.device)).train()


def _require_known(attributes: tuple[str, ...], site: Site) -> None:
    """What is learned is of no use without a network that sees what a face already has."""
    known = site.parts["attributes"].config["names"] if "attributes" in site.parts else ()
    if unknown := [name for name in attributes if name not in known]:
        raise WrongUsage(
            f"without labels an attribute network must see which faces have {', '.join(unknown)}: give a model with a "
            f"part 'attributes' that knows them (from: raypipe train attributes); known: {', '.join(known) or 'none'}"
        )

"""The networks before their first step."""

from __future__ import annotations

from dataclasses import replace

from raypipe.backbones.stargan2 import Discriminator, DiscriminatorConfig, load_discriminator
from raypipe.backbones.stargan2.beginning import of_domains, require_labels, take
from raypipe.backbones.stargan2.layers import he_initialise
from raypipe.contract import Site
from raypipe.errors import WrongUsage
from raypipe.methods.l2m_gan.config import L2MGANConfig
from raypipe.methods.l2m_gan.networks import L2MGAN, L2MConfig, load_l2m

PART, DISCRIMINATOR_PART = "l2m_gan", "l2m_gan_discriminator"

OF_DOMAINS = ("style_encoder.unshared.", "transformer.")
"""What tensors' names begin with that depend on the domains."""


def networks(config: L2MGANConfig, site: Site) -> tuple[L2MGAN, Discriminator]:
    """New ones by He's initialisation, or with ``warm_start`` the model's, as far as it has them: for other attributes
    than the model's all of it that does not depend on domains.

    Raises:
        WrongUsage: an attribute that the data or the model's attribute network does not have, a size that cannot be, or
            a warm start without networks, or with those of other data.
    """
    given = _given(site) if config.warm_start else None
    attributes = config.attributes or (given.config.attributes if given else site.data.attributes)
    require_labels(attributes, site.data)
    sizes = replace(given.config, attributes=attributes) if given else _sizes(config, attributes, site)
    _require_known(attributes, site)
    if site.data.size != sizes.size:
        raise WrongUsage(f"the model to start with is for {sizes.size} px, and the data is of {site.data.size} px")
    network = L2MGAN(sizes)
    he_initialise(network)
    discriminator = Discriminator(
        DiscriminatorConfig(
            size=sizes.size, domains=len(network.domains), first_width=sizes.first_width, max_width=sizes.max_width
        )
    )
    he_initialise(discriminator)
    if given:
        take(network, given.state_dict(), but=() if given.config == sizes else OF_DOMAINS)
    if given and DISCRIMINATOR_PART in site.parts:
        judge = load_discriminator(site.parts[DISCRIMINATOR_PART], "cpu")
        take(discriminator, judge.state_dict(), but=() if given.config == sizes else of_domains(discriminator))
    return network.to(site.device), discriminator.to(site.device)


def _sizes(config: L2MGANConfig, attributes: tuple[str, ...], site: Site) -> L2MConfig:
    return L2MConfig(
        attributes=attributes,
        size=site.data.size,
        style_dim=config.style_dim,
        first_width=config.first_width,
        max_width=config.max_width,
        high_pass=config.high_pass,
    )


def _given(site: Site) -> L2MGAN:
    if PART not in site.parts:
        raise WrongUsage(f"a warm start needs a model with a part {PART!r}; parts: {', '.join(site.parts) or 'none'}")
    return load_l2m(site.parts[PART], "cpu")


def _require_known(attributes: tuple[str, ...], site: Site) -> None:
    """What is learned is of no use without a network that sees what a face already has."""
    known = site.parts["attributes"].config["names"] if "attributes" in site.parts else ()
    if unknown := [name for name in attributes if name not in known]:
        raise WrongUsage(
            f"without labels an attribute network must see which faces have {', '.join(unknown)}: give a model with a "
            f"part 'attributes' that knows them (from: raypipe train attributes); known: {', '.join(known) or 'none'}"
        )

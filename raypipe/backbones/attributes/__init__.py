"""A classifier of facial attributes: for measuring edits and retrieval, and its features for the Frechet distance."""

from raypipe.backbones.attributes.network import AttributeNet, AttributeNetConfig
from raypipe.backbones.attributes.parts import attribute_part, load_attributes

__all__ = ["AttributeNet", "AttributeNetConfig", "attribute_part", "load_attributes"]

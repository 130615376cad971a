"""Networks that tell people apart: for the identity loss and for measuring how well an edit keeps the person."""

from raypipe.backbones.identity.arcface import IdentityConfig, IdentityNetwork, crop_face, identity_part
from raypipe.backbones.identity.mobile import MobileFaceNet
from raypipe.backbones.identity.parts import load_identity

__all__ = ["IdentityConfig", "IdentityNetwork", "MobileFaceNet", "crop_face", "identity_part", "load_identity"]

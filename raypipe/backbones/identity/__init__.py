"""Networks that tell people apart: for the identity loss and for measuring how well an edit keeps the person."""

from raypipe.backbones.identity.network import (
    IdentityConfig,
    IdentityNetwork,
    crop_face,
    identity_part,
    load_identity,
)

__all__ = ["IdentityConfig", "IdentityNetwork", "crop_face", "identity_part", "load_identity"]

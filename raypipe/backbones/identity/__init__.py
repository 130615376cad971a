"""Networks that tell people apart: for the identity loss and for measuring how well an edit keeps the person."""

from raypipe.backbones.identity.arcface import IdentityConfig, IdentityNetwork, crop_face, identity_part
from raypipe.backbones.identity.embedding import EmbeddingConfig, EmbeddingNet, embedding_part
from raypipe.backbones.identity.facenet import InceptionResnetV1
from raypipe.backbones.identity.mobile import MobileFaceNet
from raypipe.backbones.identity.parts import FaceEmbedder, load_identity

__all__ = [
    "EmbeddingConfig",
    "EmbeddingNet",
    "FaceEmbedder",
    "IdentityConfig",
    "IdentityNetwork",
    "InceptionResnetV1",
    "MobileFaceNet",
    "crop_face",
    "embedding_part",
    "identity_part",
    "load_identity",
]

"""Inversion encoders (pSp, e4e and a small one): from a face picture to the W+ code of a StyleGAN2."""

from raypipe.backbones.psp.config import EncoderConfig
from raypipe.backbones.psp.encoder import Encoder, encoder_part, load_encoder

__all__ = ["Encoder", "EncoderConfig", "encoder_part", "load_encoder"]

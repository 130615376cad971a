"""How made pictures are written: with what they say of themselves, signed where the operator signs."""

from __future__ import annotations

from dataclasses import dataclass

from serve.backend import Pixels
from serve.pictures import MEDIA_TYPES, PictureFormat, encoded_picture
from serve.provenance import Provenance, xmp_of
from serve.signing import Signer


@dataclass(frozen=True)
class Marking:
    """``is_told``: they say that they were made, and how."""

    is_told: bool
    signer: Signer | None

    def file(self, pixels: Pixels, kind: PictureFormat, provenance: Provenance) -> bytes:
        """The picture file of made pixels, uint8 [h,w,3]."""
        content = encoded_picture(pixels, kind, xmp=xmp_of(provenance) if self.is_told else b"")
        return content if self.signer is None else self.signer.signed(content, MEDIA_TYPES[kind], provenance)

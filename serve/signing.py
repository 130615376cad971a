"""Made pictures signed as C2PA says (Content Credentials 2.1), with the operator's own certificate.

Needs ``pip install raypipe[c2pa]``. A certificate that verifiers trust comes from an authority on the C2PA trust list;
with any other the signature is still valid, and its signer untrusted.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from raypipe import __version__, storage
from raypipe.errors import WrongUsage
from serve.pictures import encoded_picture
from serve.provenance import MADE_BY_A_MODEL, Provenance
from serve.settings import ApiSettings

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

RECORD_LABEL = "raypipe.record"


def open_signer(settings: ApiSettings) -> Signer | None:
    """Who signs the server's pictures; None where it was given no certificate.

    Raises:
        WrongUsage: a certificate or key that cannot be used, or no library for it.
    """
    if not settings.certificate and not settings.private_key:
        return None
    try:
        return Signer(_read(settings.certificate), _read(settings.private_key))
    except ImportError as error:
        raise WrongUsage(
            f"signing needs a library that is not installed ({error}): pip install raypipe[c2pa]"
        ) from error


class Signer:
    """``certificates``: PEM, the signer's first, then those up to the authority's. ``private_key``: PEM, unencrypted.

    Raises:
        WrongUsage: they cannot be used to sign with.
    """

    def __init__(self, certificates: bytes, private_key: bytes) -> None:
        import c2pa  # 50 MB that most servers do without

        self._c2pa = c2pa
        # A thumbnail of a picture that is as small would only make it ten times as large.
        self._context = c2pa.Context.from_dict({"builder": {"thumbnail": {"enabled": False}}})
        self._lock = threading.Lock()
        try:
            info = c2pa.C2paSignerInfo(_algorithm(private_key).encode(), certificates, private_key, None)
            self._signer = c2pa.Signer.from_info(info)
            # Only who signs something learns whether the two belong together.
            self._sign(encoded_picture(np.zeros((8, 8, 3), np.uint8), "png"), "image/png", {})
        except c2pa.C2paError as error:
            raise WrongUsage(f"certificate and private key cannot be used for signing: {error}") from error

    def signed(self, picture: bytes, media_type: str, provenance: Provenance) -> bytes:
        """The picture file with a manifest in it, signed over every byte; its pixels and XMP are as they were."""
        return self._sign(picture, media_type, provenance.record)

    def _sign(self, picture: bytes, media_type: str, record: Mapping[str, Any]) -> bytes:
        created = {"action": "c2pa.created", "digitalSourceType": MADE_BY_A_MODEL}
        manifest = {
            "claim_generator_info": [{"name": "raypipe", "version": __version__}],
            "assertions": [
                {"label": "c2pa.actions.v2", "data": {"actions": [created]}},
                {"label": RECORD_LABEL, "data": record},
            ],
        }
        sink = io.BytesIO()
        with self._lock, self._c2pa.Builder(manifest, context=self._context) as builder:
            builder.sign(self._signer, media_type, io.BytesIO(picture), sink)
        return sink.getvalue()


def _algorithm(private_key: bytes) -> str:
    """C2PA's name of what a key signs with."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key: PrivateKeyTypes = load_pem_private_key(private_key, None)
    except (ValueError, TypeError) as error:
        raise WrongUsage("the private key is no PEM file of an unencrypted key") from error
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.key_size in (256, 384):
        return f"es{key.curve.key_size}"
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, rsa.RSAPrivateKey):
        return "ps256"
    raise WrongUsage("the private key is of a kind that C2PA does not sign with: use P-256, P-384, Ed25519 or RSA")


def _read(uri: str) -> bytes:
    if not uri:
        raise WrongUsage("signing needs both a certificate and its private key")
    try:
        return storage.read_bytes(uri)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise WrongUsage(f"no file at {uri!r}") from error

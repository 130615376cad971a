"""What a made picture says of itself: an XMP packet (ISO 16684-1), which PNG, JPEG and WebP all have a place for.

``Iptc4xmpExt:DigitalSourceType`` is IPTC's term for pictures that a trained model made; programs look for that. The
record is ours: tool, version, model, index version, and what was changed. Whoever wants to can strip or forge it;
``signing`` is against the second.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

from raypipe import __version__
from raypipe.pipeline.search.query import Face, FromCodes, FromIndex
from serve.backend import Change, Transfer, Translation

MADE_BY_A_MODEL = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""Every pixel comes from a generator, also where it was shown a photograph."""

RECORD_NAMESPACE = "urn:raypipe:provenance:1"

_PACKET = """<?xpacket begin="\N{ZERO WIDTH NO-BREAK SPACE}" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    xmlns:raypipe="{namespace}">
   <xmp:CreatorTool>raypipe {version}</xmp:CreatorTool>
   <Iptc4xmpExt:DigitalSourceType>{kind}</Iptc4xmpExt:DigitalSourceType>
   <raypipe:Record>{record}</raypipe:Record>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """How a picture came to be.

    Attributes:
        model: its name; ``fingerprint``: the sha256 over its parts.
        face: that was changed.
    """

    model: str
    fingerprint: str
    method: str
    index_version: int
    face: Face
    change: Change | Transfer | Translation

    @property
    def record(self) -> dict[str, Any]:
        """Plain values, tool and version among them."""
        return {
            "tool": "raypipe",
            "version": __version__,
            "model": self.model,
            "model_fingerprint": self.fingerprint,
            "method": self.method,
            "index_version": self.index_version,
            "source": _source(self.face),
            **_told(self.change),
            "digital_source_type": MADE_BY_A_MODEL,
        }


def xmp_of(provenance: Provenance) -> bytes:
    """The packet, UTF-8."""
    # JSON in ASCII: XML cannot write some of the characters that an id may have.
    record = escape(json.dumps(provenance.record))
    packet = _PACKET.format(namespace=RECORD_NAMESPACE, version=__version__, kind=MADE_BY_A_MODEL, record=record)
    return packet.encode()


def _told(change: Change | Transfer | Translation) -> dict[str, Any]:
    if isinstance(change, Change):
        edits = {edit.attribute: edit.strength for edit in change.edits}
        return {"edits": edits, "adjusted": dict(change.adjust), "moved": dict(change.move)}
    if isinstance(change, Translation):
        reference = None if change.reference is None else _source(change.reference)
        return {"translated": {"domain": change.domain, "reference": reference, "seed": change.seed}}
    return {
        "transferred": {
            feature: {"source": _source(face), "strength": change.strengths[feature]}
            for feature, face in change.references.items()
        }
    }


def _source(face: Face) -> str:
    """``index:ID`` of a face of the collection; of others nothing but how they came."""
    if isinstance(face, FromIndex):
        return f"index:{face.id}"
    return "codes" if isinstance(face, FromCodes) else "upload"

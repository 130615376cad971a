"""What a made picture says of itself: an XMP packet (ISO 16684-1), which PNG, JPEG and WebP all have a place for.

``Iptc4xmpExt:DigitalSourceType`` is IPTC's term for pictures that a trained model made; programs look for that. The
record is ours: tool, version, model, index version, and what was changed. Nothing is signed: who strips it can.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from xml.sax.saxutils import escape

from raypipe import __version__
from serve.backend import Change

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
        source: ``index:ID`` of the face that was changed, ``upload`` or ``codes``.
    """

    model: str
    fingerprint: str
    method: str
    index_version: int
    source: str
    change: Change


def xmp_of(provenance: Provenance) -> bytes:
    """The packet, UTF-8."""
    change = provenance.change
    record = {
        "tool": "raypipe",
        "version": __version__,
        "model": provenance.model,
        "model_fingerprint": provenance.fingerprint,
        "method": provenance.method,
        "index_version": provenance.index_version,
        "source": provenance.source,
        "edits": {edit.attribute: edit.strength for edit in change.edits},
        "adjusted": dict(change.adjust),
        "moved": dict(change.move),
        "digital_source_type": MADE_BY_A_MODEL,
    }
    # JSON in ASCII: XML cannot write some of the characters that an id may have.
    text = escape(json.dumps(record))
    packet = _PACKET.format(namespace=RECORD_NAMESPACE, version=__version__, kind=MADE_BY_A_MODEL, record=text)
    return packet.encode()

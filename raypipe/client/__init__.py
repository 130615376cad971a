"""A server of raypipe, asked from Python; needs ``pip install raypipe[client]``.

::

    from pathlib import Path
    from raypipe.client import Client, Search

    with Client("http://127.0.0.1:8000") as client:
        smiling = client.adjustable()[0]
        found = client.search(Search(face=Path("me.jpg"), adjust={smiling: 1.0}, prefer={smiling: 10.0}))
        for hit in found.hits:
            print(hit.rank, hit.id, hit.distance)
        Path("edited.png").write_bytes(client.edit(found.hits[0].id, {smiling: 1.5}))

``AsyncClient`` has the same methods to be awaited. A face is an id (``str``), a picture (``Path``, or its ``bytes``),
or codes (a mapping of columns to numbers).
"""

from raypipe.client.answers import Encoded, Found, Hit, ServerProblem
from raypipe.client.client import AsyncClient, Client
from raypipe.client.questions import Face, Like, Search

__all__ = ["AsyncClient", "Client", "Encoded", "Face", "Found", "Hit", "Like", "Search", "ServerProblem"]

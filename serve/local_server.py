"""The application on one machine, without Ray."""

from __future__ import annotations

import uvicorn
from fastapi import FastAPI

CONNECTIONS = 512
"""At once; more are told 503 by the server itself."""

KEEP_ALIVE_S = 15
DRAIN_S = 20


def make_server(app: FastAPI, *, host: str, port: int) -> uvicorn.Server:
    """Ready to ``run``; on SIGTERM and SIGINT it ends what it is answering, and no more."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        access_log=False,  # ours has no ids in it
        server_header=False,
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=DRAIN_S,
        log_config=None,
    )
    return uvicorn.Server(config)

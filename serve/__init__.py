"""Search and editing over HTTP: a FastAPI app over a ``Backend``, which is this process or Ray Serve deployments."""

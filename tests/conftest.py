from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.models import tiny_model
from tests.s3_server import S3Server

os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # else Ray writes a token into the home directory
os.environ.setdefault("OMP_NUM_THREADS", "1")  # of children: two halves of the tests share two cores
torch.set_num_threads(1)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell starts what runs in the background so; children too
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with random weights: 32 px pictures, codes of 8 x 16."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    tiny_model(folder)
    return folder


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    server = S3Server()
    os.environ.update(server.environment)
    yield server
    server.close()


@pytest.fixture
def bucket(s3_server: S3Server, request: pytest.FixtureRequest) -> str:
    """The name of a bucket of the test's own, reachable as ``s3://`` in this process and its children."""
    name = f"b{abs(hash(request.node.nodeid)) % 10**12}"
    s3_server.client().create_bucket(Bucket=name)
    s3_server.gets.clear()
    return name


@pytest.fixture
def double_precision() -> Iterator[None]:
    """Adam without momentum turns rounding of a gradient near zero into a whole step."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)

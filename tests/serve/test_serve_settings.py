from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import serve
from raypipe.config import read_config
from raypipe.errors import WrongUsage
from serve.app import build
from serve.ray_server import environment
from serve.settings import ServeSettings


def test_the_cluster_s_file_is_one_that_can_be_built() -> None:
    tree: dict[str, Any] = yaml.safe_load((Path(serve.__file__).parent / "config.yaml").read_text())
    (application,) = tree["applications"]
    assert application["import_path"] == "serve.app:build"
    assert build(application["args"]) is not None
    settings = read_config(ServeSettings, application["args"])
    assert tree["http_options"]["host"] == settings.api.host


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"groups": 0}, "groups"),
        ({"shards": {"least": 3, "most": 2}}, "least"),
        ({"encoder": {"ongoing": 8}}, "at least 16"),
        ({"shard": {}}, "unknown key"),
        ({"batching": {"most": 0}}, "batching"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(WrongUsage, match=told):
        read_config(ServeSettings, {"index": "somewhere", **changes})


def test_what_listens_at_all_addresses_is_off_where_only_this_machine_may_connect() -> None:
    names = ("RAY_SERVE_ENABLE_HA_PROXY", "RAY_SERVE_ENABLE_DIRECT_INGRESS", "RAY_SERVE_USE_GRPC_BY_DEFAULT")
    for host, expected in (("127.0.0.1", "0"), ("0.0.0.0", "1")):
        told = environment(read_config(ServeSettings, {"index": "somewhere", "api": {"host": host}}))
        assert [told[name] for name in names] == [expected] * 3

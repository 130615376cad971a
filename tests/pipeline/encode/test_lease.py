from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from botocore.exceptions import NoCredentialsError

from raypipe import storage
from raypipe.errors import OutputInUse
from raypipe.pipeline.encode import lease as lease_module
from raypipe.pipeline.encode.lease import Lease

HOLD = """
import sys, time
from raypipe.pipeline.encode.lease import Lease
with Lease(sys.argv[1], print):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_killed_owner_is_succeeded_at_once(tmp_path: Path) -> None:
    uri = str(tmp_path / "lease.json")
    owner = subprocess.Popen([sys.executable, "-c", HOLD, uri], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    assert owner.stdout.readline() == "held\n"
    with pytest.raises(OutputInUse, match=f"process {owner.pid}"), Lease(uri, print):
        pass
    owner.kill()
    owner.wait()
    owner.stdout.close()
    said: list[str] = []
    with Lease(uri, said.append):
        assert said == [f"taking over from a job that died (process {owner.pid})"]
    assert not Path(uri).exists()


def test_an_owner_elsewhere_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "BEAT_S", 0.1)
    monkeypatch.setattr(lease_module, "STALE_AFTER_S", 0.5)
    uri = tmp_path / "lease.json"
    with Lease(str(uri), print):
        monkeypatch.setattr(lease_module, "_machine", lambda: "another machine")
        with pytest.raises(OutputInUse), Lease(str(uri), print):
            pass
    stopped = {"token": "t", "machine": "a third machine", "process": 1, "started": "1", "beat": 7}
    uri.write_text(json.dumps(stopped))
    with Lease(str(uri), print):
        assert json.loads(uri.read_text())["token"] != "t"


def test_an_owner_that_was_taken_over_notices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "BEAT_S", 0.05)
    uri = tmp_path / "lease.json"
    with Lease(str(uri), print) as lease:
        lease.check()
        uri.write_text(json.dumps({"token": "t", "machine": "m", "process": 9, "started": "1", "beat": 0}))
        with pytest.raises(OutputInUse, match="taken over by process 9"):
            check_for(30.0, lease)
    assert json.loads(uri.read_text())["token"] == "t"


def test_an_owner_whose_storage_does_not_answer_for_a_while_goes_on_beating(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors of S3 are no OSErrors: a lease that no longer beats would be taken over, and nobody would know."""
    monkeypatch.setattr(lease_module, "BEAT_S", 0.05)
    uri, said = tmp_path / "lease.json", list[str]()
    write, failures = storage.write_bytes, [NoCredentialsError(), OSError("down")]

    def failing(where: str, content: bytes) -> None:
        if failures:
            raise failures.pop()
        write(where, content)

    monkeypatch.setattr(storage, "write_bytes", failing)
    with Lease(str(uri), said.append) as lease:
        deadline = time.monotonic() + 30
        while json.loads(uri.read_text())["beat"] == 0 and time.monotonic() < deadline:
            time.sleep(0.01)
        lease.check()
        assert json.loads(uri.read_text())["beat"] > 0
    assert [line[:25] for line in said] == ["could not renew the lease"] * 2


def test_a_lease_that_was_taken_since_the_last_beat_is_left_to_its_new_owner(tmp_path: Path) -> None:
    uri = tmp_path / "lease.json"
    with Lease(str(uri), print):
        uri.write_text(json.dumps({"token": "t", "machine": "m", "process": 9, "started": "1", "beat": 0}))
    assert json.loads(uri.read_text())["token"] == "t"


def check_for(seconds: float, lease: Lease) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        lease.check()
        time.sleep(0.01)

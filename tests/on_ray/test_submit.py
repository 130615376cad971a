"""``raypipe submit`` against a real cluster, as the real command.

A job starts in its working directory, and ``python -m raypipe`` finds a package there first: so each test brings the
command that it needs, and the cluster runs it in place of ours.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.on_ray.ray_head import RayHead, ray_head

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def head() -> Iterator[RayHead]:
    with ray_head() as started:
        yield started


class Submitter:
    """Starts ``raypipe submit`` for a stand-in command; ends what still runs."""

    def __init__(self, head: RayHead, folder: Path) -> None:
        self.head = head
        self.name = folder.name  # pytest's folders have a name each
        self._folder = folder
        self._processes: list[subprocess.Popen[str]] = []

    def command(self, source: str) -> None:
        """What the cluster runs in place of raypipe."""
        shutil.rmtree(self._folder / "raypipe", ignore_errors=True)
        (self._folder / "raypipe").mkdir()
        (self._folder / "raypipe" / "__init__.py").touch()
        (self._folder / "raypipe" / "__main__.py").write_text(source)

    def begin(self, *options: str, words: tuple[str, ...] = ("--help",), **environment: str) -> subprocess.Popen[str]:
        """Does not wait."""
        command = [sys.executable, "-m", "raypipe", "submit", "--submission-id", self.name]
        return self.start([*command, "--working-dir", str(self._folder), *options, "--", *words], **environment)

    def start(self, command: list[str], **environment: str) -> subprocess.Popen[str]:
        """Any command of a client of the cluster."""
        process = subprocess.Popen(
            command,
            env={**self.head.environment, "RAY_ADDRESS": self.head.address, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._processes.append(process)
        return process

    def run(self, *options: str, words: tuple[str, ...] = ("--help",), **environment: str) -> tuple[int, str, str]:
        """Exit code, output, messages."""
        process = self.begin(*options, words=words, **environment)
        output, messages = process.communicate(timeout=60)
        return process.returncode, output, messages

    def status(self, suffix: str = "") -> str | None:
        job = self.head.job(self.name + suffix)
        return None if job is None else str(job["status"])

    def close(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.communicate()


@pytest.fixture
def submitter(head: RayHead, tmp_path: Path) -> Iterator[Submitter]:
    started = Submitter(head, tmp_path)
    yield started
    started.close()


def test_the_cluster_runs_the_package_that_submitted(head: RayHead) -> None:
    command = [sys.executable, "-m", "raypipe", "submit", "--address", head.address, "--", "--help"]
    # The option counts, not the variable, which points nowhere.
    environment = {**head.environment, "RAY_ADDRESS": "http://127.0.0.1:1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage: python -m raypipe" in done.stdout
    name = next(line.split()[-1] for line in done.stderr.splitlines() if "submitted job" in line)
    job = head.job(name)
    assert job is not None
    assert set(job["runtime_env"]) == {"py_modules", "excludes", "env_vars"}, "nothing is installed when a job starts"


def test_a_job_that_fails_gives_its_exit_code_and_is_not_started_again(submitter: Submitter) -> None:
    submitter.command("import sys\nprint('rejected too many')\nsys.exit(3)\n")
    code, output, messages = submitter.run()
    assert code == 3
    assert "rejected too many\n" in output
    assert "failed with exit code 3" in messages
    assert submitter.status("-2") is None


def test_a_lost_job_is_started_again(submitter: Submitter, tmp_path: Path) -> None:
    submitter.command(
        "import os, pathlib, time\n"
        f"attempts = pathlib.Path({str(tmp_path / 'attempts')!r})\n"
        "with attempts.open('a') as file:\n"
        "    file.write('.')\n"
        "if attempts.stat().st_size == 1:\n"
        "    os.kill(os.getpid(), 9)\n"
        "if attempts.stat().st_size == 2:\n"
        "    os.kill(os.getppid(), 9)  # Ray's own process for this job goes down as it would with its machine\n"
        "    time.sleep(60)\n"
        "print('went on')\n"
    )
    code, output, messages = submitter.run()
    assert code == 0, messages
    assert output.count("went on\n") == 1
    assert f"job {submitter.name} was lost: killed by signal 9" in messages
    assert f"job {submitter.name}-2 was lost: Job supervisor actor died" in messages
    assert [submitter.status(suffix) for suffix in ("", "-2", "-3")] == ["FAILED", "FAILED", "SUCCEEDED"]


def test_resubmission_has_an_end(submitter: Submitter) -> None:
    submitter.command("import os\nos.kill(os.getpid(), 9)\n")
    code, _, messages = submitter.run("--max-resubmits", "0")
    assert code == 1
    assert "giving up after 0 resubmissions" in messages
    assert submitter.status("-2") is None


def test_the_same_command_is_not_run_twice_at_once(submitter: Submitter, tmp_path: Path) -> None:
    may_end = tmp_path / "may end"
    submitter.command(
        "import pathlib, time\n"
        "print('begun')\n"
        f"while not pathlib.Path({str(may_end)!r}).exists():\n"
        "    time.sleep(0.1)\n"
        "print('ended')\n"
    )
    code, output, messages = submitter.run("--no-follow")
    assert (code, output) == (0, "")
    assert f"submitted job {submitter.name}" in messages

    other_code, _, other_messages = submitter.run(words=("--help", "--help"))
    assert other_code == 2
    assert "already running another command" in other_messages

    process = submitter.begin()
    _wait_for_line(process, "begun\n")
    may_end.touch()
    output, messages = process.communicate(timeout=60)
    assert process.returncode == 0
    assert f"attached to job {submitter.name}" in messages
    assert output == "ended\n"

    # What has ended is done again when asked for again, under the next number.
    _, _, messages = submitter.run("--no-follow")
    assert f"submitted job {submitter.name}-2" in messages


def test_an_interrupt_leaves_the_job_running_unless_told_to_stop_it(submitter: Submitter) -> None:
    submitter.command(
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit('ended in good order'))\n"
        "print('begun')\n"
        "time.sleep(100)\n"
    )
    process = submitter.begin()
    _wait_for_line(process, "begun\n")
    process.send_signal(signal.SIGINT)
    _, messages = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "leaving job" in messages
    assert f"ray job stop --address {submitter.head.address} {submitter.name}" in messages
    assert submitter.status() == "RUNNING"

    process = submitter.begin("--stop-on-interrupt")
    _wait_for_line(process, "begun\n")
    process.send_signal(signal.SIGTERM)
    rest, messages = process.communicate(timeout=30)
    assert process.returncode == 143
    assert rest == "ended in good order\n", "the last words, and nothing a second time"
    assert "was stopped" in messages
    assert submitter.status() == "STOPPED"


def test_no_line_is_lost_or_shown_twice_when_the_connection_breaks(submitter: Submitter) -> None:
    count = 400
    submitter.command(
        f"import time\nfor number in range({count}):\n    print(f'line {{number}} \\u00e9')\n    time.sleep(0.015)\n"
    )
    shown = []
    with _Breaker(submitter.head.address) as breaker:
        process = submitter.begin("--address", breaker.address)
        assert process.stdout is not None
        for line in process.stdout:
            shown.append(line)
            if line in ("line 50 é\n", "line 200 é\n"):
                breaker.cut()
        process.wait(timeout=30)
        assert breaker.cuts == 2
    assert process.returncode == 0
    assert [line for line in shown if line.startswith("line ")] == [f"line {number} é\n" for number in range(count)]


def test_an_unreachable_cluster_ends_the_wait(submitter: Submitter) -> None:
    source = (
        "import sys\n"
        "from raypipe.on_ray.submit import ClusterJob, Submission\n"
        "command = 'echo begun; sleep 100'\n"
        "wanted = Submission(\n"
        "    address=sys.argv[1], name=sys.argv[2], entrypoint=command, resume_entrypoint=command, reconnect_s=1.0\n"
        ")\n"
        "job = ClusterJob(wanted, say=print, show=print)\n"
        "job.start()\n"
        "job.follow()\n"
    )
    with _Breaker(submitter.head.address) as breaker:
        process = submitter.start([sys.executable, "-c", source, breaker.address, submitter.name])
        _wait_for_line(process, "begun\n")
        breaker.close()
        _, messages = process.communicate(timeout=30)
    assert "RaypipeError" in messages
    assert f"job {submitter.name} may still be running" in messages
    assert submitter.status() == "RUNNING"


def test_a_wrong_token_is_refused_and_named(submitter: Submitter) -> None:
    code, _, messages = submitter.run(RAY_AUTH_TOKEN="0" * 64)
    assert code == 1
    assert "refuses the token" in messages


def test_no_address_is_wrong_usage(head: RayHead) -> None:
    command = [sys.executable, "-m", "raypipe", "submit", "--", "--help"]
    done = subprocess.run(command, env=head.environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "--address" in done.stderr


def _wait_for_line(process: subprocess.Popen[str], wanted: str) -> None:
    assert process.stdout is not None
    assert wanted in process.stdout, "the output ended before the line came"


class _Breaker:
    """A way to the cluster that can be cut."""

    def __init__(self, address: str) -> None:
        host, _, port = address.removeprefix("http://").rpartition(":")
        self._behind = (host, int(port))
        self._server = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = []
        self.address = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self.cuts = 0

    def __enter__(self) -> _Breaker:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def cut(self) -> None:
        """Break every connection; new ones are taken."""
        self.cuts += 1
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._ends.clear()

    def close(self) -> None:
        """Break every connection and take no new ones."""
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._server.accept()
                try:
                    far = socket.create_connection(self._behind)
                except ConnectionRefusedError:
                    near.close()
                    continue
                self._ends += [near, far]
                threading.Thread(target=_pump, args=(near, far), daemon=True).start()
                threading.Thread(target=_pump, args=(far, near), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)

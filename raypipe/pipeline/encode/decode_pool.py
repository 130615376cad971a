"""Decoding in a process of its own: an image that crashes, hangs or eats all memory costs its row and nothing else."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType

from raypipe.errors import RaypipeError, WrongUsage
from raypipe.pipeline.encode import decode_messages
from raypipe.pipeline.encode.decode_messages import Closed, Decoder
from raypipe.pipeline.encode.face_decoder import DecodedFace, Landmarks

WINDOW_ITEMS = 32
WINDOW_BYTES = 32 << 20
START_ATTEMPTS = 50  # where it is killed while starting: short of memory, perhaps not for long
LAST_BREATH_S = 5.0


class DecodePool:
    """Runs ``decoder`` in a child process, which is replaced when it dies. For one thread at a time.

    The child works ahead on a window of at most 32 images or 32 MB while the caller does other things. When it dies,
    the images of the window are suspects: each is tried alone. One that kills it ``max_crashes`` times alone gets
    status ``crashed``, one that takes longer than ``timeout_s`` alone ``decode_timeout``; all others their own result.

    The decoder must be importable in the child (a function or an object of a module, not of ``__main__``).
    """

    def __init__(self, decoder: Decoder, *, timeout_s: float = 30.0, max_crashes: int = 2) -> None:
        if timeout_s <= 0 or max_crashes < 1:
            raise WrongUsage(f"timeout_s={timeout_s} must be above 0 and max_crashes={max_crashes} at least 1")
        self._decoder = pickle.dumps(decoder)
        self._timeout_s = timeout_s
        self._max_crashes = max_crashes
        self._child: _Child | None = _Child(self._decoder, timeout_s)  # starts while the caller finds its first image
        self._is_mapping = False

    def map(self, items: Iterable[tuple[bytes, Landmarks | None]]) -> Iterator[DecodedFace]:
        """The faces of ``items`` in order; takes from ``items`` as it goes.

        Raises:
            DecoderFailed: the decoder raised an exception.
            RaypipeError: the child process cannot be started.
        """
        if self._is_mapping:
            raise RaypipeError("this pool is in the middle of another map")
        self._is_mapping = True
        flight = _Flight(iter(items))
        try:
            while self._fill(flight):
                child = self._started()
                try:
                    face = child.receive()
                except Closed:
                    verdict = self._after_death(child, flight)
                    if verdict is None:
                        continue
                    face = verdict
                flight.land()
                yield face
        finally:
            self._is_mapping = False
            if flight.sent:
                self.close()

    def close(self) -> None:
        """End the child process. A later ``map`` starts another."""
        if self._child is not None:
            self._child.end()
            self._child = None

    def __enter__(self) -> DecodePool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _fill(self, flight: _Flight) -> bool:
        """Send what the window has room for. False: nothing is left to wait for."""
        if not flight.sent and self._child is not None and self._child.is_dead():
            self.close()  # killed while idle: no image is to blame
        while (item := flight.next()) is not None:
            try:
                self._started().send(item)
            except Closed:
                break  # the answers it gave before it died are still to be read
        return bool(flight.sent)

    def _started(self) -> _Child:
        for _ in range(START_ATTEMPTS):
            if self._child is None:
                self._child = _Child(self._decoder, self._timeout_s)
            try:
                self._child.wait_until_ready()
                return self._child
            except Closed:
                how = self._child.how_it_ended()
                self._child = None
                if how.startswith("exit code"):
                    raise RaypipeError(f"the decode process does not start: {how}; see its message") from None
        raise RaypipeError(f"the decode process does not start: {how} {START_ATTEMPTS} times in a row")

    def _after_death(self, child: _Child, flight: _Flight) -> DecodedFace | None:
        """The sentence on an image that was alone with the child, if it has earned one."""
        how = child.how_it_ended()
        self._child = None
        suspect = flight.sent[0]
        if len(flight.sent) == 1:
            if how == signal.SIGALRM.name:
                return DecodedFace("decode_timeout", f"not decoded within {self._timeout_s:g} s", 0, 0, None)
            suspect.deaths += 1
            if suspect.deaths >= self._max_crashes:
                message = f"decoding it alone killed the process {suspect.deaths} times ({how})"
                return DecodedFace("crashed", message, 0, 0, None)
        flight.suspect_all()
        return None


@dataclass(eq=False)
class _Item:
    content: bytes
    landmarks: Landmarks | None
    deaths: int = 0


class _Flight:
    """Which items are with the child, and which come next: never more than the window, suspects one by one."""

    def __init__(self, source: Iterator[tuple[bytes, Landmarks | None]]) -> None:
        self._source = source
        self._waiting: deque[_Item] = deque()
        self._suspects = 0
        self.sent: deque[_Item] = deque()

    def next(self) -> _Item | None:
        """The next item to send, now counted as sent; None: the window is full or nothing is left."""
        if self.sent and (self._suspects or len(self.sent) >= WINDOW_ITEMS):
            return None
        if not self._waiting:
            pair = next(self._source, None)
            if pair is None:
                return None
            self._waiting.append(_Item(*pair))
        flying = sum(len(item.content) for item in self.sent)
        if self.sent and flying + len(self._waiting[0].content) > WINDOW_BYTES:
            return None
        self.sent.append(self._waiting.popleft())
        return self.sent[-1]

    def land(self) -> None:
        """The oldest item has its result."""
        self.sent.popleft()
        self._suspects = max(self._suspects - 1, 0)

    def suspect_all(self) -> None:
        """Everything sent has to be sent again, one by one."""
        self._suspects = max(self._suspects, len(self.sent))
        self._waiting.extendleft(reversed(self.sent))
        self.sent.clear()


class _Child:
    """The process and the two pipes to it."""

    def __init__(self, decoder: bytes, timeout_s: float) -> None:
        requests, self_requests = os.pipe()
        self_answers, answers = os.pipe()
        paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "raypipe.pipeline.encode.decode_child", str(requests), str(answers)],
            stdin=subprocess.DEVNULL,
            pass_fds=(requests, answers),
            # One process decodes on one core; threads of its libraries would only fight with the neighbours.
            env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        )
        os.close(requests)
        os.close(answers)
        self._requests = os.fdopen(self_requests, "wb")
        self._answers = os.fdopen(self_answers, "rb")
        self._is_ready = False
        self._greeting = (decoder, timeout_s)

    def wait_until_ready(self) -> None:
        if not self._is_ready:
            decode_messages.send_decoder(self._requests, *self._greeting)
            decode_messages.receive_ready(self._answers)
            self._is_ready = True

    def send(self, item: _Item) -> None:
        decode_messages.send_item(self._requests, item.content, item.landmarks)

    def receive(self) -> DecodedFace:
        return decode_messages.receive_face(self._answers)

    def is_dead(self) -> bool:
        return self._process.poll() is not None

    def how_it_ended(self) -> str:
        """Of a child that has closed its pipes: the signal or the exit code, in words."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(LAST_BREATH_S)  # killing it at once would hide why it went
        self.end()
        code = self._process.returncode
        return _signal_name(-code) if code < 0 else f"exit code {code}"

    def end(self) -> None:
        """Kill it if it lives and wait until it is gone."""
        self._process.kill()
        self._process.wait()
        self._answers.close()
        with contextlib.suppress(BrokenPipeError):  # what it no longer read
            self._requests.close()


def _signal_name(number: int) -> str:
    known = {known.value: known.name for known in signal.Signals}
    return known.get(number, f"signal {number}")

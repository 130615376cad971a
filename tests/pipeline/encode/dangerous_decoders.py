"""Decoders for tests of the decode process; in a module of their own because the child imports them by name."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time

import numpy as np

from raypipe.pipeline.encode.face_decoder import DecodedFace, Landmarks


def obedient(content: bytes, landmarks: Landmarks | None) -> DecodedFace:
    """Does what the content says; any other content becomes its own pixels, the landmarks' sum its height."""
    if content == b"kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if content == b"segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if content == b"exit":
        os._exit(7)
    if content == b"hang":
        time.sleep(3600)
    if content == b"hang natively":
        ctypes.PyDLL(None).sleep(3600)  # keeps Python's global lock
    if content == b"noise":
        os.write(1, b"noise on stdout\n" * 1000)
        os.write(2, b"noise on stderr\n" * 1000)
    if content == b"raise":
        raise KeyError("a bug of the decoder")
    if content == b"reject":
        return DecodedFace("decode_error", "rejected", 3, 4, None)
    if content == b"modules":
        return DecodedFace("decode_error", " ".join(sys.modules), 0, 0, None)
    height = 0 if landmarks is None else int(landmarks.sum())
    return DecodedFace("ok", "", len(content), height, np.frombuffer(content, np.uint8))


def slow(content: bytes, landmarks: Landmarks | None) -> DecodedFace:
    """A few milliseconds an image, so that a signal from outside meets it at work."""
    time.sleep(0.004)
    return obedient(content, landmarks)


class Unloadable:
    """Can be sent and not be received."""

    def __call__(self, content: bytes, landmarks: Landmarks | None) -> DecodedFace:
        return obedient(content, landmarks)

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return __import__, ("no_such_module_anywhere",)

"""Decoders for tests of the decode process; in a module of their own because the child imports them by name."""

from __future__ import annotations

import os
import signal
import time

import numpy as np

from raypipe.pipeline.encode.face_decoder import DecodedFace, Landmarks


def obedient(content: bytes, landmarks: Landmarks | None) -> DecodedFace:
    """Does what the content says; any other content becomes its own pixels."""
    if content == b"kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if content == b"segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if content == b"exit":
        os._exit(7)
    if content == b"hang":
        time.sleep(3600)
    if content == b"noise":
        os.write(1, b"noise on stdout\n" * 1000)
        os.write(2, b"noise on stderr\n" * 1000)
    if content == b"raise":
        raise KeyError("a bug of the decoder")
    if content == b"bad":
        return DecodedFace("decode_error", "bad", 0, 0, None)
    pixels = np.frombuffer(content, np.uint8).copy()
    return DecodedFace("ok", "", len(content), 0 if landmarks is None else int(landmarks.sum()), pixels)


def slow(content: bytes, landmarks: Landmarks | None) -> DecodedFace:
    """A few milliseconds an image, so that a signal from outside meets it at work."""
    time.sleep(0.003)
    return obedient(content, landmarks)

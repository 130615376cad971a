"""What the decode process and its parent say to each other: a small pickled header, then the bytes as they are.

Only between a process and the child that it started itself; nothing from outside is ever unpickled.
"""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from raypipe.errors import RaypipeError
from raypipe.pipeline.encode.face_decoder import DecodedFace, Landmarks

Decoder = Callable[[bytes, Landmarks | None], DecodedFace]

LENGTHS = struct.Struct("<IQ")  # of the header and of the body


class Closed(Exception):
    """The other side is gone."""


class DecoderFailed(RaypipeError):
    """The decoder itself raised: a wrong setting or a bug, not a bad image."""


def send_decoder(pipe: BinaryIO, decoder: bytes, timeout_s: float) -> None:
    """``decoder`` is pickled already."""
    _send(pipe, timeout_s, decoder)


def receive_decoder(pipe: BinaryIO) -> tuple[Decoder, float]:
    timeout_s, length = _receive_header(pipe)
    return pickle.loads(_exactly(pipe, length)), timeout_s


def send_ready(pipe: BinaryIO) -> None:
    _send(pipe, None)


def receive_ready(pipe: BinaryIO) -> None:
    _receive_header(pipe)


def send_item(pipe: BinaryIO, content: bytes, landmarks: Landmarks | None) -> None:
    _send(pipe, landmarks, content)


def receive_item(pipe: BinaryIO) -> tuple[bytes, Landmarks | None]:
    landmarks, length = _receive_header(pipe)
    return _exactly(pipe, length), landmarks


def send_face(pipe: BinaryIO, face: DecodedFace) -> None:
    if face.pixels is None:
        _send(pipe, (face.status, face.error, face.width, face.height, None))
        return
    header = (face.status, face.error, face.width, face.height, face.pixels.shape)
    _send(pipe, header, np.ascontiguousarray(face.pixels).reshape(-1).data)


def send_failure(pipe: BinaryIO, message: str) -> None:
    """Instead of a face: the decoder raised."""
    _send(pipe, message)


def receive_face(pipe: io.BufferedReader) -> DecodedFace:
    """The next face.

    Raises:
        DecoderFailed: the decoder raised.
        Closed: the process died.
    """
    header, _ = _receive_header(pipe)
    if isinstance(header, str):
        raise DecoderFailed(header)
    status, error, width, height, shape = header
    pixels: npt.NDArray[np.uint8] | None = None
    if shape is not None:
        pixels = np.empty(shape, np.uint8)
        if pipe.readinto(pixels.reshape(-1).data) != pixels.size:
            raise Closed
    return DecodedFace(status, error, width, height, pixels)


def _send(pipe: BinaryIO, header: Any, body: bytes | memoryview = b"") -> None:
    told = pickle.dumps(header, pickle.HIGHEST_PROTOCOL)
    try:
        pipe.write(LENGTHS.pack(len(told), len(body)) + told)
        pipe.write(body)
        pipe.flush()
    except BrokenPipeError as error:
        raise Closed from error


def _receive_header(pipe: BinaryIO) -> tuple[Any, int]:
    told, body = LENGTHS.unpack(_exactly(pipe, LENGTHS.size))
    return pickle.loads(_exactly(pipe, told)), body


def _exactly(pipe: BinaryIO, length: int) -> bytes:
    content = pipe.read(length)
    if len(content) < length:
        raise Closed
    return content

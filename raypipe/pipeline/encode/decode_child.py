"""The process that decodes for a ``DecodePool``: ``python -m ...decode_child REQUESTS ANSWERS`` (two inherited pipes).

Three threads, so that neither side ever waits for the other's pipe: one takes requests in, the main one decodes, one
sends answers. The process ends by itself as soon as its parent closes the pipe or is gone.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
import threading
import traceback
import warnings
from queue import SimpleQueue
from types import TracebackType
from typing import BinaryIO

from raypipe.pipeline.encode.decode_messages import (
    Closed,
    Decoder,
    receive_decoder,
    receive_item,
    send_face,
    send_failure,
    send_ready,
)
from raypipe.pipeline.encode.face_decoder import DecodedFace, Landmarks

Items = SimpleQueue[tuple[bytes, Landmarks | None]]
Answers = SimpleQueue[DecodedFace | str]


def main(requests: io.BufferedReader, answers: BinaryIO) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then closes the pipe
    decoder, timeout_s = receive_decoder(requests)
    _be_the_first_to_go()
    _be_silent()
    send_ready(answers)
    items: Items = SimpleQueue()
    faces: Answers = SimpleQueue()
    threading.Thread(target=_receive, args=(requests, items), daemon=True).start()
    sender = threading.Thread(target=_send, args=(answers, faces), daemon=True)
    sender.start()
    _report_exceptions(faces, sender)
    _decode(decoder, timeout_s, items, faces)


def _decode(decoder: Decoder, timeout_s: float, items: Items, faces: Answers) -> None:
    while True:
        content, landmarks = items.get()
        # The kernel ends the process when the timer runs out, even in native code that never comes back.
        signal.setitimer(signal.ITIMER_REAL, timeout_s)
        face = decoder(content, landmarks)
        signal.setitimer(signal.ITIMER_REAL, 0)
        faces.put(face)


def _receive(requests: io.BufferedReader, items: Items) -> None:
    while True:
        try:
            items.put(receive_item(requests))
        except Closed:
            os._exit(0)


def _send(answers: BinaryIO, faces: Answers) -> None:
    while True:
        face = faces.get()
        try:
            if isinstance(face, str):
                send_failure(answers, face)
                return
            send_face(answers, face)
        except Closed:
            os._exit(0)


def _report_exceptions(faces: Answers, sender: threading.Thread) -> None:
    def report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        faces.put("".join(traceback.format_exception(kind, error, trace)))
        sender.join()

    sys.excepthook = report


def _be_the_first_to_go() -> None:
    """When memory runs out, the kernel should end this process, which is replaced, not the one that waits for it."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:  # Linux only
        file.write("1000")


def _be_silent() -> None:
    """Image libraries complain on stderr about every damaged file; the answers say it all."""
    warnings.simplefilter("ignore")
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)


if __name__ == "__main__":
    main(os.fdopen(int(sys.argv[1]), "rb"), os.fdopen(int(sys.argv[2]), "wb"))

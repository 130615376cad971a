from __future__ import annotations

import time

import pytest

from raypipe.pipeline.encode.stages import ChunkReport
from raypipe.pipeline.encode.summary import RunRecord, Summary, bottleneck


def record_of(seconds: dict[str, float], *, first_s: float, elapsed_s: float) -> RunRecord:
    record = RunRecord(config={}, receipt={}, device="cpu", workers="", model_workers=1, rows=20)
    for chunk in range(2):
        report = ChunkReport(
            chunk=chunk,
            rows=10,
            statuses={"ok": 9, "bomb": 1},
            fetched_bytes=5,
            written_bytes=7,
            seconds={name: value / 2 for name, value in seconds.items()},
            network_seconds={"encoder": 0.5, "method": 1.0},
        )
        record.add(report)
    record.first_part_s, record.halfway = first_s, (first_s, 10)
    record.started = time.time() - elapsed_s
    return record


@pytest.mark.parametrize(
    ("seconds", "first_s", "words"),
    [
        ({"fetch": 1, "decode": 1, "model": 90, "write": 1}, 5, "the model is the bottleneck"),
        ({"fetch": 80, "decode": 5, "model": 10, "write": 1}, 5, "the storage is the bottleneck"),
        ({"fetch": 1, "decode": 300, "model": 40, "write": 1}, 5, "decoding is the bottleneck"),
        ({"fetch": 1, "decode": 300, "model": 80, "write": 1}, 5, "the model is the bottleneck"),
        ({"fetch": 1, "decode": 1, "model": 20, "write": 60}, 5, "writing is the bottleneck"),
        ({"fetch": 1, "decode": 1, "model": 20, "write": 1}, 70, "starting up was the bottleneck: it took 70 of 100 s"),
    ],
)
def test_the_bottleneck_is_what_the_others_wait_for(seconds: dict[str, float], first_s: float, words: str) -> None:
    assert bottleneck(record_of(seconds, first_s=first_s, elapsed_s=100.0)).startswith(words)


def test_counts_add_up_and_the_rate_leaves_the_start_out() -> None:
    record = record_of({"fetch": 1, "decode": 2, "model": 3, "write": 4}, first_s=90.0, elapsed_s=100.0)
    told = record.to_json("done")
    assert (told["images"], told["statuses"]) == (20, {"bomb": 2, "ok": 18})
    assert (told["fetched_bytes"], told["written_bytes"]) == (10, 14)
    assert told["stage_seconds"] == {"fetch": 1, "decode": 2, "model": 3, "write": 4}
    assert told["ms_per_image"] == {"fetch": 50, "decode": 100, "model": 150, "write": 200}
    assert told["model_ms_per_image"] == {"encoder": 50, "method": 100}
    words = Summary(out="out", rows=20, statuses={"ok": 20}, run=told).in_words()
    assert "a worker's time an image: fetch 50 ms, decode 100 ms, model 150 ms, write 200 ms; the model: " in words
    assert "the model: encoder 50 ms, method 100 ms" in words
    assert told["images_per_s"] == pytest.approx(0.2, rel=0.01)
    assert told["images_per_s_once_running"] == pytest.approx(1.0, rel=0.01)

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.made_up_codes import Faces
from benchmarks.queues import ServiceTimes
from benchmarks.scale import NETWORK_S, plan_for
from benchmarks.scale_figures import Figures, Line, wide_faces
from benchmarks.scale_tables import put_in

STEADY = ServiceTimes(np.ones(1), np.ones(1))


def measured(search_s: Line, memory_bytes: float = 250.0) -> Figures:
    return Figures(
        width=1280,
        attributes=30,
        columns=112,
        code_bytes=2560,
        fit_s=1.0,
        disk_bytes=Line(1e5, 5000.0),
        memory_bytes=Line(0.0, memory_bytes),
        build_s=Line(0.0, 1e-5),
        search_s=search_s,
        split_rows=1000,
        compared=0.0,
        growth=0.0,
        cold_read_s=0.0,
        merge_s=0.0,
        threads=1,
        slowdown=1.0,
    )


def test_a_line_goes_through_both_points_and_noise_gives_no_negative_cost() -> None:
    line = Line.through((10.0, 7.0), (30.0, 11.0))
    assert [line.at(rows) for rows in (10.0, 30.0)] == pytest.approx([7.0, 11.0])
    assert Line.through((10.0, 7.0), (30.0, 6.0)).each == 0.0
    assert Line.through((10.0, 1.0), (30.0, 11.0)).fixed == 0.0


def test_where_parts_take_the_same_time_and_nobody_waits_the_latency_is_that_of_the_fullest_core() -> None:
    plan = plan_for(100_000_000, measured(Line(0.0, 1e-8)), STEADY)
    assert plan.columns == 1
    assert plan.part_s == pytest.approx(0.02)  # 16 cores ask for 400 GB/s, the memory has 200
    assert plan.alone_ms == pytest.approx([(NETWORK_S + 7 * plan.part_s) * 1e3] * 2)  # 100 parts on 16 cores
    assert plan.loaded_ms["0.7"][1] > plan.loaded_ms["0.3"][1] >= plan.alone_ms[1]


def test_nodes_are_as_many_as_a_quarter_of_a_second_needs() -> None:
    scan = plan_for(1_000_000_000, measured(Line(1e-3, 0.0), memory_bytes=1000.0), STEADY)
    assert scan.columns == 20  # 1 TB read with 200 GB/s each
    slow = plan_for(1_000_000_000, measured(Line(0.04, 0.0)), STEADY)
    assert slow.columns == 10  # 40 s of work, 16 cores each
    assert slow.rate == pytest.approx(8.0)
    assert slow.disk_bytes == pytest.approx(1000 * 1e5 + 1e9 * 5000)


def test_wide_faces_have_the_spectrum_and_orthonormal_directions() -> None:
    random = np.random.default_rng(0)
    small = Faces(np.zeros(40), random.standard_normal((20, 40)), np.eye(3, 40))
    wide = wide_faces(small, 300, 8)
    assert np.linalg.norm(wide.components, axis=1) == pytest.approx(np.linalg.norm(small.components, axis=1), rel=1e-5)
    assert wide.directions @ wide.directions.T == pytest.approx(np.eye(8), abs=1e-5)
    assert wide.codes(5, 0).shape == (5, 300)


def test_tables_are_put_where_the_last_were(tmp_path: Path) -> None:
    path = tmp_path / "scale.md"
    path.write_text("before\n<!-- figures -->\nold\n<!-- end of figures -->\nafter\n")
    put_in(path, ["one", "two \\1"])
    put_in(path, ["one", "two \\1"])
    assert path.read_text() == "before\n<!-- figures -->\n\none\n\ntwo \\1\n\n<!-- end of figures -->\nafter\n"

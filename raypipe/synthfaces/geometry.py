"""Where things are: the measures of a face, and how a turned head maps to the frame.

The head is a unit sphere stretched by ``HEAD_X`` and ``HEAD_Y``. A pixel is lifted on to it and turned back by yaw and
pitch, so every part is drawn as on a face seen from the front. The silhouette stays, features travel over it; hair
travels less, being nearer to the axis.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from raypipe.synthfaces.drawing import Canvas, Plane, at_least, between
from raypipe.synthfaces.factors import FACTOR_NAMES, Factors, FloatArray

Looks = Mapping[str, Plane]
"""Factor name -> [n,1,1]."""

HEAD_X, HEAD_Y = 1.12, 1.38
EYE_V = -0.05
NOSE_DEPTH = 0.20
HAIR_DEPTH = 0.42
_RIM = 0.02  # rounds the sphere's edge, so that depth has a finite slope and is defined outside too


def looks(factors: Factors) -> Looks:
    return {name: factors.values[:, column, None, None] for column, name in enumerate(FACTOR_NAMES)}


@dataclass(frozen=True)
class Anatomy:
    """Measures of each face in head units, [n,1,1]. Half-widths where a width is meant."""

    face_w: Plane
    chin_v: Plane
    eye_x: Plane
    eye_w: Plane
    lid_up: Plane
    lid_low: Plane
    brow_v: Plane
    nose_w: Plane
    nose_v: Plane
    mouth_v: Plane
    mouth_w: Plane
    lift: Plane
    gap: Plane


def measure(f: Looks) -> Anatomy:
    man, smile = f["masculinity"], f["smile"]
    face_w = 0.61 + 0.11 * f["face_width"] + 0.05 * f["chubbiness"] + 0.02 * man
    chin_v = 0.84 + 0.12 * f["chin_length"] + 0.04 * man + 0.06 * f["mouth_open"]
    opening = 0.36 + 0.9 * f["eye_open"]
    nose_v = 0.20 + 0.12 * f["nose_length"]
    lid = 0.050 + 0.04 * f["eye_size"] - 0.008 * man
    return Anatomy(
        face_w=face_w,
        chin_v=chin_v,
        eye_x=face_w * (0.405 + 0.085 * f["eye_spacing"]),
        eye_w=0.125 + 0.045 * f["eye_size"],
        lid_up=lid * opening,
        lid_low=(0.55 * lid - 0.012 * at_least(smile, 0.0)) * (0.5 + 0.5 * opening),
        brow_v=EYE_V - 0.185 - 0.05 * f["brow_raise"] + 0.035 * man,
        nose_w=0.085 + 0.085 * f["nose_width"] + 0.012 * man,
        nose_v=nose_v,
        mouth_v=nose_v + 0.27 + 0.08 * f["chin_length"] - 0.02 * smile,
        mouth_w=0.17 + 0.08 * f["mouth_width"] + 0.06 * smile - 0.02 * f["mouth_open"],
        lift=0.10 * smile,
        gap=0.17 * f["mouth_open"] * f["mouth_open"] + 0.05 * at_least(smile - 0.35, 0.0),
    )


@dataclass(frozen=True)
class _Pose:
    centre_x: Plane
    centre_y: Plane
    scale: Plane
    cos_roll: Plane
    sin_roll: Plane
    cos_yaw: Plane
    sin_yaw: Plane
    cos_pitch: Plane
    sin_pitch: Plane


def blank_canvas(f: Looks, size: int) -> Canvas:
    """Every pixel's place on body, skull and face; nothing drawn yet, the head's normals everywhere."""
    pose, count = _pose(f), len(f["yaw"])
    axis = ((np.arange(size, dtype=np.float32) + 0.5) * (2.0 / size) - 1.0).astype(np.float32)
    x = (axis[None, None, :] - pose.centre_x) / pose.scale + np.zeros((1, size, 1), np.float32)
    y = (axis[None, :, None] - pose.centre_y) / pose.scale + np.zeros((1, 1, size), np.float32)
    rolled_x, rolled_y = x * pose.cos_roll + y * pose.sin_roll, y * pose.cos_roll - x * pose.sin_roll
    sphere_x, sphere_y = rolled_x / HEAD_X, rolled_y / HEAD_Y
    u, v = _turned_back(sphere_x, sphere_y, pose)
    shape = (count, size, size)
    return Canvas(
        x=x,
        y=y,
        hx=rolled_x - HAIR_DEPTH * HEAD_X * pose.sin_yaw,
        hy=rolled_y - HAIR_DEPTH * HEAD_Y * pose.sin_pitch,
        u=u,
        v=v,
        pixel=2.0 / (size * pose.scale),
        colour=np.zeros((3, *shape), np.float32),
        normal_x=np.zeros(shape, np.float32),
        normal_y=np.zeros(shape, np.float32),
        lit=np.zeros(shape, np.float32),
        open=np.ones(shape, np.float32),
        gloss=np.zeros(shape, np.float32),
        part=np.zeros(shape, np.uint8),
    )


def landmarks(factors: Factors, size: int) -> FloatArray:
    """Left eye, right eye, nose tip, left and right corner of the mouth (left in the picture), (x, y) in pixels.

    float32 [n,5,2]; (0, 0) is the upper left corner of the frame, so the first pixel's centre is (0.5, 0.5).
    """
    f = looks(factors)
    a, pose = measure(f), _pose(f)
    corner_v = a.mouth_v - 0.6 * a.lift
    eye_v = np.full_like(a.eye_x, EYE_V)
    u = np.concatenate([-a.eye_x, a.eye_x, NOSE_DEPTH * pose.sin_yaw, -a.mouth_w, a.mouth_w], axis=1)
    v = np.concatenate([eye_v, eye_v, a.nose_v + NOSE_DEPTH * pose.sin_pitch, corner_v, corner_v], axis=1)
    x, y = _turned(u, v, pose)
    frame_x = pose.centre_x + pose.scale * (x * pose.cos_roll - y * pose.sin_roll)
    frame_y = pose.centre_y + pose.scale * (x * pose.sin_roll + y * pose.cos_roll)
    places = np.concatenate([frame_x, frame_y], axis=2)
    return ((places + 1.0) * (size / 2.0)).astype(np.float32)


def nose_coordinates(canvas: Canvas, f: Looks, a: Anatomy) -> tuple[Plane, Plane]:
    """``u, v`` on the nose, which stands out more and more towards its tip, so turning moves it further."""
    along = between((canvas.v - EYE_V) / (a.nose_v - EYE_V), 0.0, 1.0)
    return canvas.u - NOSE_DEPTH * along * _sin(f["yaw"]), canvas.v - NOSE_DEPTH * along * _sin(f["pitch"])


def rolled_light(f: Looks) -> tuple[Plane, Plane, Plane]:
    """Unit vector to the light in the head's rolled frame (x right, y down, z to the camera)."""
    pose = _pose(f)
    x, y, z = 0.9 * f["light_side"], -0.1 - 0.75 * f["light_height"], 0.85
    length = np.sqrt(x * x + y * y + z * z)
    x, y = x / length, y / length
    return x * pose.cos_roll + y * pose.sin_roll, y * pose.cos_roll - x * pose.sin_roll, z / length


def _pose(f: Looks) -> _Pose:
    return _Pose(
        centre_x=0.07 * f["shift_x"] - 0.12 * _sin(f["yaw"]),
        centre_y=0.07 + 0.05 * f["shift_y"],
        scale=0.83 + 0.06 * f["zoom"],
        cos_roll=_cos(f["roll"]),
        sin_roll=_sin(f["roll"]),
        cos_yaw=_cos(f["yaw"]),
        sin_yaw=_sin(f["yaw"]),
        cos_pitch=_cos(f["pitch"]),
        sin_pitch=_sin(f["pitch"]),
    )


def _sin(degrees: Plane) -> FloatArray:
    return np.sin(np.radians(degrees.astype(np.float64))).astype(np.float32)


def _cos(degrees: Plane) -> FloatArray:
    return np.cos(np.radians(degrees.astype(np.float64))).astype(np.float32)


def _depth(sphere_x: Plane, sphere_y: Plane) -> Plane:
    rest = 1.0 - sphere_x * sphere_x - sphere_y * sphere_y
    return np.sqrt(0.5 * (rest + np.sqrt(rest * rest + _RIM)))


def _turned_back(sphere_x: Plane, sphere_y: Plane, pose: _Pose) -> tuple[Plane, Plane]:
    depth = _depth(sphere_x, sphere_y)
    front_x = sphere_x * pose.cos_yaw - depth * pose.sin_yaw
    front_z = sphere_x * pose.sin_yaw + depth * pose.cos_yaw
    return HEAD_X * front_x, HEAD_Y * (sphere_y * pose.cos_pitch - front_z * pose.sin_pitch)


def _turned(u: Plane, v: Plane, pose: _Pose) -> tuple[Plane, Plane]:
    """The inverse of ``_turned_back``, by a fixed point that contracts for every allowed pose."""
    x, y = u, v
    for _ in range(30):
        guess_u, guess_v = _turned_back(x / HEAD_X, y / HEAD_Y, pose)
        x, y = x + (u - guess_u), y + (v - guess_v)
    return x, y

import numpy as np

from raypipe.synthfaces import sample_factors
from raypipe.synthfaces.geometry import EYE_V, blank_canvas, landmarks, looks, measure, rolled_light

FACES = sample_factors(60, seed=9, images_per_identity=1)


def test_landmarks_are_where_the_pixels_say_they_are() -> None:
    size = 128
    f = looks(FACES)
    canvas, anatomy = blank_canvas(f, size), measure(f)
    points = landmarks(FACES, size)
    for place, u, v in ((0, -anatomy.eye_x, EYE_V), (1, anatomy.eye_x, EYE_V)):
        column, row = np.floor(points[:, place]).astype(int).T
        face = np.arange(len(FACES))
        within = 1.5 * canvas.pixel[:, 0, 0]  # a pixel's width, stretched where the head turns away
        assert np.all(np.abs(canvas.u[face, row, column] - u[:, 0, 0]) < within)
        assert np.all(np.abs(canvas.v[face, row, column] - v) < within)


def test_a_straight_head_is_drawn_as_seen_from_the_front() -> None:
    straight = FACES.rows(slice(0, 3)).changed("yaw", 0.0).changed("pitch", 0.0).changed("roll", 0.0)
    canvas = blank_canvas(looks(straight), 32)
    for one, two in ((canvas.x, canvas.u), (canvas.y, canvas.v), (canvas.x, canvas.hx), (canvas.y, canvas.hy)):
        np.testing.assert_allclose(one, two, atol=1e-6)


def test_a_mirrored_pose_mirrors_the_landmarks() -> None:
    faces = FACES.changed("shift_x", 0.0)
    mirrored = faces.changed("yaw", -faces["yaw"]).changed("roll", -faces["roll"])
    one, two = landmarks(faces, 64), landmarks(mirrored, 64)
    np.testing.assert_allclose(one[:, :, 0], 64 - two[:, [1, 0, 2, 4, 3], 0], atol=1e-3)
    np.testing.assert_allclose(one[:, :, 1], two[:, [1, 0, 2, 4, 3], 1], atol=1e-3)


def test_the_light_is_a_direction_and_follows_its_factor() -> None:
    x, y, z = rolled_light(looks(FACES.changed("roll", 0.0)))
    np.testing.assert_allclose(x**2 + y**2 + z**2, 1, atol=1e-6)
    assert np.all(np.sign(x[:, 0, 0]) == np.sign(FACES["light_side"]))
    assert np.all(z > 0)

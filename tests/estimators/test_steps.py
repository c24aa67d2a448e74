"""Steps of log p, told from kinks and edges of its support by values and slopes along segments."""

import math

import numpy as np
import pytest

import fastvi as vi
from fastvi.estimators.steps import sees_steps_of
from fastvi.rng import key_from


def step(z):
    return vi.where(z[0] > 0.3, 0.0, -0.01) - np.dot(z, z)


def floored(z):
    return np.floor(z[1]) - np.dot(z, z)


def step_far_off(z):
    return vi.where(z[0] > 9.0, 1.0, 0.0) - np.dot(z, z)


def huber(z):
    return vi.where(abs(z[0]) < 1.0, -0.5 * z[0] ** 2, 0.5 - abs(z[0])) - z[1] ** 2


def edge(z):
    return vi.where(z[0] > -1.0, -np.dot(z, z), -math.inf)


def steep(z):
    return -1e3 * np.dot(z, z) + 20.0 * np.tanh(20.0 * z[0])


@pytest.mark.parametrize(
    "log_density, expected",
    [(step, True), (floored, True), (step_far_off, False), (huber, False), (edge, False), (steep, False)],
    ids=lambda x: getattr(x, "__name__", str(x)),
)
def test_steps_are_seen_where_q_is_and_nothing_else(log_density, expected):
    q = vi.MeanFieldGaussian([0.0, 0.0], [1.0, 1.0])
    assert sees_steps_of(vi.Target(log_density, 2), q, key_from(0)) is expected

"""The state estimator against other implementations: filterpy for the joints, scipy for the attitude.

`holdfast-estimate` runs recordings through the code of the loop. `traces/shoulder_pan.csv` was recorded by
`.venv/bin/python runtime/tests/record_trace.py`.
"""

import csv
import io
import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filterpy.common import Q_continuous_white_noise
from filterpy.kalman import KalmanFilter
from numpy.typing import NDArray
from scipy.linalg import expm
from scipy.spatial.transform import Rotation
from scipy.stats import chi2

from holdfast.places import executable

ARM = Path(__file__).parents[2] / "examples" / "robots" / "arm.toml"
TRACE = Path(__file__).parent / "traces" / "shoulder_pan.csv"
JOINT = "shoulder_pan"
GRAVITY = 9.80665
HEALTHY, UNHEALTHY = 2, 3

Row = tuple[float, float | None, float | None]
Array = NDArray[np.float64]


def run(*arguments: str, rows: Iterable[Iterable[Any]] = (), config: Path = ARM) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["header"])
    writer.writerows(["" if cell is None else repr(float(cell)) for cell in row] for row in rows)
    command = [str(executable("holdfast-estimate")), "--config", str(config), *arguments]
    done = subprocess.run(command, input=text.getvalue(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def replay(*arguments: str, rows: Iterable[Iterable[Any]], config: Path = ARM) -> dict[str, Array]:
    """Columns of what holdfast-estimate prints, by their heading."""
    lines = list(csv.reader(io.StringIO(run(*arguments, rows=rows, config=config))))
    values = np.array([[float(cell) for cell in line] for line in lines[1:]])
    return {name: values[:, index] for index, name in enumerate(lines[0])}


def models(config: Path = ARM) -> Any:
    return json.loads(run("models", config=config))


def joint_matrices(found: dict[str, Array]) -> tuple[Array, Array]:
    state = np.stack([found[name] for name in ("position", "velocity", "acceleration")], axis=1)
    covariance = np.stack([found[f"p{i}{j}"] for i in range(3) for j in range(3)], axis=1)
    return state, covariance.reshape(-1, 3, 3)


# --- joints ------------------------------------------------------------------------------------------------------


class FilterpyJoint:
    """The joint's filter with filterpy's arithmetic and process noise; the gate's rule is written out here."""

    def __init__(self, model: dict[str, Any]) -> None:
        self._model = model
        self._filter = KalmanFilter(dim_x=3, dim_z=1)
        self._filter.P = np.zeros((3, 3))
        self._started = False
        self._rejected_in_a_row = 0
        self.rejected = 0

    def _start(self, position: float, velocity: float | None) -> None:
        m = self._model
        self._filter.x = np.array([[position], [velocity or 0.0], [0.0]])
        velocity_std = m["start_velocity_std"] if velocity is None else m["velocity_std"]
        self._filter.P = np.diag([m["position_std"] ** 2, velocity_std**2, m["start_acceleration_std"] ** 2])
        self._started = True

    def step(self, dt_s: float, position: float | None, velocity: float | None) -> tuple[Array, Array]:
        if self._started and dt_s > 0:
            f = np.array([[1, dt_s, dt_s**2 / 2], [0, 1, dt_s], [0, 0, 1]])
            q = Q_continuous_white_noise(dim=3, dt=dt_s, spectral_density=self._model["jerk_density"])
            self._filter.predict(F=f, Q=q)
        if not self._started:
            if position is not None:
                self._start(position, velocity)
        elif position is not None or velocity is not None:
            self._update(position, velocity)
        return self._filter.x[:, 0].copy(), self._filter.P.copy()

    def _update(self, position: float | None, velocity: float | None) -> None:
        m, fits = self._model, True
        for index, (value, std) in enumerate(((position, m["position_std"]), (velocity, m["velocity_std"]))):
            if value is None:
                continue
            h = np.zeros((1, 3))
            h[0, index] = 1.0
            r = std**2 + (float(self._filter.x[index + 1, 0]) * m["timing_std_s"]) ** 2
            innovation = value - float(self._filter.x[index, 0])
            if innovation**2 / (self._filter.P[index, index] + r) > m["gate"]:
                self.rejected += 1
                fits = False
            else:
                self._filter.update(np.array([[value]]), R=np.array([[r]]), H=h)
        self._rejected_in_a_row = 0 if fits else self._rejected_in_a_row + 1
        if self._rejected_in_a_row == m["max_rejections"]:
            self._rejected_in_a_row = 0
            self._started = False
            if position is not None:
                self._start(position, velocity)


def with_filterpy(model: dict[str, Any], rows: list[Row]) -> tuple[Array, Array, int]:
    reference = FilterpyJoint(model)
    states, covariances = [], []
    last_s = rows[0][0]
    for t_s, position, velocity in rows:
        state, covariance = reference.step(t_s - last_s, position, velocity)
        last_s = t_s
        states.append(state)
        covariances.append(covariance)
    return np.array(states), np.array(covariances), reference.rejected


def moving_joint(seed: int, *, velocities: bool, outliers: bool) -> list[Row]:
    """Four seconds of a sine with noise, an uneven clock, missing samples and, if wanted, outliers."""
    random = np.random.default_rng(seed)
    rows: list[Row] = []
    t_s = 0.0
    for index in range(4000):
        t_s += 1e-3 * random.choice([1.0, 1.0, 1.0, 0.7, 1.3, 5.0])
        true = (0.8 * np.sin(2.0 * t_s), 1.6 * np.cos(2.0 * t_s))
        position: float | None = true[0] + random.normal(0, 2e-4)
        velocity: float | None = true[1] + random.normal(0, 0.02)
        if outliers and random.random() < 0.02:
            position = float(random.uniform(-3, 3))
        if outliers and 2000 <= index < 2015:
            position = -2.0  # long enough to start afresh, and back again
        elif random.random() < 0.1:
            position = None
        if not velocities or random.random() < 0.3:
            velocity = None
        rows.append((t_s, position, velocity))
    return rows


def assert_equal_to_filterpy(rows: list[Row]) -> dict[str, Array]:
    found = replay("joint", JOINT, rows=rows)
    state, covariance = joint_matrices(found)
    expected_state, expected_covariance, rejected = with_filterpy(models()["joints"][JOINT], rows)
    np.testing.assert_allclose(state, expected_state, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(covariance, expected_covariance, rtol=1e-9, atol=1e-9)
    assert found["rejected"][-1] == rejected
    return found


@pytest.mark.parametrize("velocities", [False, True], ids=["position", "position-and-velocity"])
@pytest.mark.parametrize("outliers", [False, True], ids=["clean", "outliers"])
def test_a_joint_is_estimated_as_filterpy_does(velocities: bool, outliers: bool) -> None:
    rows = moving_joint(11, velocities=velocities, outliers=outliers)
    found = assert_equal_to_filterpy(rows)
    assert (found["rejected"][-1] > 20) == outliers
    assert (UNHEALTHY in found["health"]) == outliers
    assert found["health"][-1] == HEALTHY


def test_a_recorded_joint_is_estimated_as_filterpy_does() -> None:
    with TRACE.open(newline="") as file:
        rows: list[Row] = [tuple(map(float, line)) for line in list(csv.reader(file))[1:]]  # type: ignore[misc]
    assert len(rows) > 500
    found = assert_equal_to_filterpy(rows)
    assert np.ptp([row[1] for row in rows]) > 0.2, "the joint did not move"
    assert found["rejected"][-1] == 0, "the noise derived from the limits does not fit a good joint"
    assert set(found["health"]) == {HEALTHY}


def test_the_estimate_is_as_good_as_it_says() -> None:
    """Normalised estimation error squared, over seeds: chi-square with three degrees of freedom."""
    model = models()["joints"][JOINT]
    density, errors = model["jerk_density"], []
    for seed in range(20):
        random = np.random.default_rng(seed)
        dt_s, count = 1e-3, 400
        f = np.array([[1, dt_s, dt_s**2 / 2], [0, 1, dt_s], [0, 0, 1]])
        q = np.linalg.cholesky(Q_continuous_white_noise(dim=3, dt=dt_s, spectral_density=density))
        x = np.array([0.1, 0.0, 0.0])
        truth, rows = [], []
        for index in range(count):
            x = f @ x + q @ random.normal(size=3)
            std = np.hypot(model["position_std"], x[1] * model["timing_std_s"])
            truth.append(x)
            rows.append((index * dt_s, x[0] + random.normal(0, std), None))
        state, covariance = joint_matrices(replay("joint", JOINT, rows=rows))
        for index in range(100, count, 50):
            error = state[index] - truth[index]
            errors.append(error @ np.linalg.solve(covariance[index], error))
    low, high = chi2.ppf([0.0005, 0.9995], 3 * len(errors)) / len(errors)
    assert low < np.mean(errors) < high


def test_the_gates_are_quantiles_of_the_chi_square_distribution() -> None:
    found = models()
    assert found["joints"][JOINT]["gate"] == pytest.approx(chi2.isf(1e-6, 1), rel=1e-12)
    assert found["attitude"]["gate"] == pytest.approx(chi2.isf(1e-6, 3), rel=1e-12)


# --- attitude ----------------------------------------------------------------------------------------------------


def skew(v: Array) -> Array:
    return np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])


class ScipyAttitude:
    """The same filter from scipy's parts: rotations, a matrix exponential, and a numerical measurement Jacobian."""

    def __init__(self, model: dict[str, Any]) -> None:
        self._model = model
        self.attitude = Rotation.identity()
        self.bias = np.zeros(3)
        self.covariance = np.zeros((6, 6))
        self._started = False

    def predict(self, dt_s: float, rate: Array) -> None:
        if not self._started or dt_s <= 0:
            return
        m = self._model
        turning = rate - self.bias
        self.attitude = self.attitude * Rotation.from_rotvec(turning * dt_s)
        dynamics = np.zeros((6, 6))
        dynamics[:3, :3], dynamics[:3, 3:] = -skew(turning), -np.eye(3)
        f = expm(dynamics * dt_s)
        gyro, walk = m["gyro_noise"] ** 2, m["bias_walk"] ** 2
        q = np.kron(
            [[gyro * dt_s + walk * dt_s**3 / 3, -walk * dt_s**2 / 2], [-walk * dt_s**2 / 2, walk * dt_s]],
            np.eye(3),
        )
        self.covariance = f @ self.covariance @ f.T + q

    def _expected(self, rotation: Array) -> Array:
        turned = self.attitude * Rotation.from_rotvec(rotation)
        return np.asarray(turned.inv().apply([0.0, 0.0, GRAVITY]))

    def update(self, acceleration: Array) -> None:
        m = self._model
        if abs(np.linalg.norm(acceleration) - GRAVITY) > m["accelerometer_gate"]:
            return
        if not self._started:
            up = acceleration / np.linalg.norm(acceleration)
            axis = np.cross(up, [0, 0, 1])
            angle = np.arctan2(np.linalg.norm(axis), up[2])
            self.attitude = Rotation.from_rotvec(axis / np.linalg.norm(axis) * angle)
            self.covariance = np.diag([m["start_tilt_std"] ** 2] * 3 + [m["start_bias_std"] ** 2] * 3)
            self._started = True
            return
        step = 1e-5
        h = np.zeros((3, 6))
        for axis_index, unit in enumerate(np.eye(3)):
            h[:, axis_index] = (self._expected(step * unit) - self._expected(-step * unit)) / (2 * step)
        r = m["accelerometer_std"] ** 2 * np.eye(3)
        innovation = acceleration - self._expected(np.zeros(3))
        s = h @ self.covariance @ h.T + r
        if innovation @ np.linalg.solve(s, innovation) > m["gate"]:
            return
        gain = np.linalg.solve(s, h @ self.covariance).T
        error = gain @ innovation
        rest = np.eye(6) - gain @ h
        reset = np.eye(6)
        reset[:3, :3] -= 0.5 * skew(error[:3])
        self.covariance = reset @ (rest @ self.covariance @ rest.T + gain @ r @ gain.T) @ reset.T
        self.attitude = self.attitude * Rotation.from_rotvec(error[:3])
        self.bias = self.bias + error[3:]


def moving_imu(seed: int, seconds: float) -> tuple[list[list[float]], list[Rotation], Array]:
    """Rows of an IMU that is turned about all axes and shaken, its true attitude, and its true bias."""
    random = np.random.default_rng(seed)
    bias = np.array([0.02, -0.01, 0.015])
    dt_s = 2e-3
    attitude = Rotation.from_euler("xyz", [0.2, -0.3, 0.0])
    rows, truth = [], []
    for index in range(int(seconds / dt_s)):
        t_s = dt_s * index
        rate = np.array([0.9 * np.sin(1.1 * t_s), 0.7 * np.cos(0.8 * t_s), 0.5 * np.sin(0.3 * t_s + 1)])
        if index:
            attitude = attitude * Rotation.from_rotvec(rate * dt_s)
        acceleration = attitude.inv().apply([0.0, 0.0, GRAVITY]) + random.normal(0, 0.3, 3)
        if 1000 <= index < 1100:
            acceleration += [25.0, 0.0, 0.0]  # a push: not gravity
        measured = rate + bias + random.normal(0, 5e-3 / np.sqrt(dt_s), 3)
        rows.append([t_s, *measured, *acceleration])
        truth.append(attitude)
    return rows, truth, bias


def columns(found: dict[str, Array], *names: str) -> Array:
    return np.stack([found[name] for name in names], axis=1)


def test_the_attitude_is_estimated_as_with_scipy() -> None:
    rows, _, _ = moving_imu(5, 10.0)
    found = replay("attitude", rows=rows)
    reference = ScipyAttitude(models()["attitude"])
    attitudes, biases, covariances = [], [], []
    last_s = 0.0
    for row in rows:
        reference.predict(row[0] - last_s, np.array(row[1:4]))
        reference.update(np.array(row[4:7]))
        last_s = row[0]
        attitudes.append(reference.attitude)
        biases.append(reference.bias)
        covariances.append(reference.covariance)
    ours = Rotation.from_quat(columns(found, "x", "y", "z", "w"))
    difference = (Rotation.concatenate(attitudes).inv() * ours).magnitude()
    assert np.max(difference) < 1e-7
    np.testing.assert_allclose(columns(found, "bias_x", "bias_y", "bias_z"), biases, atol=1e-8)
    covariance = columns(found, *(f"p{i}{j}" for i in range(6) for j in range(6))).reshape(-1, 6, 6)
    np.testing.assert_allclose(covariance, covariances, atol=1e-8)
    assert found["gated"][-1] > 20


def test_the_attitude_comes_close_to_the_truth() -> None:
    rows, truth, bias = moving_imu(6, 60.0)
    found = replay("attitude", rows=rows)
    ours = Rotation.from_quat(columns(found, "x", "y", "z", "w"))
    up = [0.0, 0.0, 1.0]
    tilt = np.arccos(
        np.clip(np.sum(ours.inv().apply(up) * Rotation.concatenate(truth).inv().apply(up), axis=1), -1, 1)
    )
    assert np.max(tilt[5000:]) < 0.03
    assert np.linalg.norm(columns(found, "bias_x", "bias_y", "bias_z")[-1] - bias) < 0.01
    assert set(found["health"]) == {HEALTHY}


# --- the command -------------------------------------------------------------------------------------------------


def test_a_line_that_is_no_row_is_refused_with_its_number() -> None:
    command = [str(executable("holdfast-estimate")), "--config", str(ARM), "joint", JOINT]
    for text in ("h\n0,1,2\n0.001,x,2\n", "h\n0,1,2\n0.001,1\n", "h\n0,1,2\n,1,2\n"):
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "line 3" in done.stderr


def test_a_joint_that_is_not_there_is_refused() -> None:
    command = [str(executable("holdfast-estimate")), "--config", str(ARM), "joint", "tail"]
    done = subprocess.run(command, input="h\n", capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "tail" in done.stderr

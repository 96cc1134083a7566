"""Forward kinematics against scipy's rotations: `reference.py DRIVER URDF...`, exit code 0 if all agree to 1e-9 m.

Every link of each URDF, for random joint vectors from a fixed seed.
"""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

VECTORS = 500
TOLERANCE_M = 1e-9
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Joint:
    """One joint as the file has it."""

    name: str
    kind: str
    parent: str
    xyz: Array
    rpy: Array
    axis: Array

    def transform(self, q: float) -> Array:
        """Return the pose of the child in the parent, 4 x 4."""
        origin, motion = np.eye(4), np.eye(4)
        origin[:3, 3] = self.xyz
        origin[:3, :3] = Rotation.from_euler("xyz", self.rpy).as_matrix()
        unit = self.axis / np.linalg.norm(self.axis)
        if self.kind == "prismatic":
            motion[:3, 3] = unit * q
        elif self.kind != "fixed":
            motion[:3, :3] = Rotation.from_rotvec(unit * q).as_matrix()
        pose: Array = origin @ motion
        return pose


def numbers(element: ElementTree.Element | None, key: str, default: str) -> Array:
    """Return the three numbers of an attribute."""
    text = default if element is None else element.get(key, default)
    return np.array([float(part) for part in text.split()])


def joints_of(file: str) -> dict[str, Joint]:
    """Return the joint that carries each link but the root."""
    joints = {}
    for joint in ElementTree.parse(file).getroot().findall("joint"):  # noqa: S314 - a file of this repository
        origin, child, parent = joint.find("origin"), joint.find("child"), joint.find("parent")
        assert child is not None
        assert parent is not None
        joints[child.attrib["link"]] = Joint(
            joint.attrib["name"],
            joint.attrib["type"],
            parent.attrib["link"],
            numbers(origin, "xyz", "0 0 0"),
            numbers(origin, "rpy", "0 0 0"),
            numbers(joint.find("axis"), "xyz", "1 0 0"),
        )
    return joints


def place(link: str, joints: dict[str, Joint], q: dict[str, float]) -> Array:
    """Return the origin of a link in the root frame."""
    pose = np.eye(4)
    while link in joints:
        joint = joints[link]
        pose = joint.transform(q.get(joint.name, 0.0)) @ pose
        link = joint.parent
    origin: Array = pose[:3, 3]
    return origin


def worst_difference(driver: str, file: str) -> float:
    """Return the largest difference in any coordinate, m."""
    joints = joints_of(file)
    links = list(joints)
    movable = sum(joint.kind != "fixed" for joint in joints.values())
    vectors = np.random.default_rng(7).uniform(-3.5, 3.5, (VECTORS, movable))
    asked = "".join(" ".join(repr(float(value)) for value in vector) + "\n" for vector in vectors)
    answer = subprocess.run([driver, file, *links], input=asked, capture_output=True, text=True, check=True)
    names, *lines = answer.stdout.splitlines()
    assert len(names.split()) == movable
    assert len(lines) == VECTORS
    worst = 0.0
    for vector, line in zip(vectors, lines, strict=True):
        q = dict(zip(names.split(), map(float, vector), strict=True))
        ours = np.array(line.split(), dtype=float).reshape(-1, 3)
        expected = np.array([place(link, joints, q) for link in links])
        worst = max(worst, float(np.abs(ours - expected).max()))
    return worst


def main() -> int:
    """Compare every URDF; say how far apart the two are."""
    driver, *files = sys.argv[1:]
    differences = {file: worst_difference(driver, file) for file in files}
    for file, difference in differences.items():
        print(f"{file}: {VECTORS} joint vectors, at most {difference:.1e} m apart")
    return 0 if differences and max(differences.values()) <= TOLERANCE_M else 1


if __name__ == "__main__":
    sys.exit(main())

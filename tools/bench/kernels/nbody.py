"""Doubles in structures: twenty steps of five planets' motion."""

from math import sqrt
from struct import pack, unpack

STEPS = 20
# fmt: off
START = [
    (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 39.47841760435743),
    (4.84143144246472090, -1.16032004402742839, -0.103622044471123109, 0.606326392995832, 2.81198684491626,
     -0.02521836165988763, 0.03769367487038949),
    (8.34336671824457987, 4.12479856412430479, -0.403523417114321381, -1.0107743461787924, 1.8256623712304119,
     0.008415761376584154, 0.011286326131968767),
    (12.8943695621391310, -15.1111514016986312, -0.223307578892655734, 1.0827910064415354, 0.8687130181696082,
     -0.010832637401363636, 0.0017237240570597112),
    (15.3796971148509165, -25.9193146099879641, 0.179258772950371181, 0.979090732243898, 0.5946989986476762,
     -0.034755955504078104, 0.0020336868699246304),
]
# fmt: on


class Body:
    __slots__ = ("x", "y", "z", "vx", "vy", "vz", "mass")

    def __init__(self, x: float, y: float, z: float, vx: float, vy: float, vz: float, mass: float) -> None:
        self.x, self.y, self.z, self.vx, self.vy, self.vz, self.mass = x, y, z, vx, vy, vz, mass


def step(bodies: list[Body], pairs: list[tuple[Body, Body]], dt: float) -> None:
    for a, b in pairs:
        dx = a.x - b.x
        dy = a.y - b.y
        dz = a.z - b.z
        d2 = dx * dx + dy * dy + dz * dz
        mag = dt / (d2 * sqrt(d2))
        ma = a.mass
        mb = b.mass
        a.vx -= dx * mb * mag
        a.vy -= dy * mb * mag
        a.vz -= dz * mb * mag
        b.vx += dx * ma * mag
        b.vy += dy * ma * mag
        b.vz += dz * ma * mag
    for a in bodies:
        a.x += dt * a.vx
        a.y += dt * a.vy
        a.z += dt * a.vz


def bits(x: float) -> int:
    low, high = unpack("<2I", pack("<d", x))
    return int(low ^ high)


def run(n: int) -> int:
    total = 0
    for i in range(n):
        bodies = [Body(*numbers) for numbers in START]
        bodies[0].vx = 0.001 * (i & 15)
        pairs = [(a, b) for k, a in enumerate(bodies) for b in bodies[k + 1 :]]
        for _ in range(STEPS):
            step(bodies, pairs, 0.01)
        total = (total * 31 + (bits(bodies[0].x) ^ bits(bodies[4].vz))) & 0xFFFFFFFF
    return total

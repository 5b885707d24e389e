/* Doubles in structures: twenty steps of five planets' motion. */
#include <stdint.h>

enum { BODIES = 5, STEPS = 20 };
struct body {
    double x, y, z, vx, vy, vz, mass;
};
static const struct body start[BODIES] = {
    {0, 0, 0, 0, 0, 0, 39.47841760435743},
    {4.84143144246472090, -1.16032004402742839, -0.103622044471123109, 0.606326392995832, 2.81198684491626,
     -0.02521836165988763, 0.03769367487038949},
    {8.34336671824457987, 4.12479856412430479, -0.403523417114321381, -1.0107743461787924, 1.8256623712304119,
     0.008415761376584154, 0.011286326131968767},
    {12.8943695621391310, -15.1111514016986312, -0.223307578892655734, 1.0827910064415354, 0.8687130181696082,
     -0.010832637401363636, 0.0017237240570597112},
    {15.3796971148509165, -25.9193146099879641, 0.179258772950371181, 0.979090732243898, 0.5946989986476762,
     -0.034755955504078104, 0.0020336868699246304},
};
static struct body bodies[BODIES];

__attribute__((noinline)) static void step(double dt) {
    for (int i = 0; i < BODIES; i++) {
        struct body *a = &bodies[i];
        for (int j = i + 1; j < BODIES; j++) {
            struct body *b = &bodies[j];
            double dx = a->x - b->x, dy = a->y - b->y, dz = a->z - b->z;
            double d2 = dx * dx + dy * dy + dz * dz;
            double mag = dt / (d2 * __builtin_sqrt(d2));
            a->vx -= dx * b->mass * mag, a->vy -= dy * b->mass * mag, a->vz -= dz * b->mass * mag;
            b->vx += dx * a->mass * mag, b->vy += dy * a->mass * mag, b->vz += dz * a->mass * mag;
        }
    }
    for (int i = 0; i < BODIES; i++) {
        struct body *a = &bodies[i];
        a->x += dt * a->vx, a->y += dt * a->vy, a->z += dt * a->vz;
    }
}

static uint32_t bits(double x) {
    uint64_t i;
    __builtin_memcpy(&i, &x, 8);
    return (uint32_t)(i ^ i >> 32);
}

uint32_t run(uint32_t n) {
    uint32_t sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        for (int j = 0; j < BODIES; j++)
            bodies[j] = start[j];
        bodies[0].vx = 0.001 * (i & 15);
        for (int k = 0; k < STEPS; k++)
            step(0.01);
        sum = sum * 31 + (bits(bodies[0].x) ^ bits(bodies[4].vz));
    }
    return sum;
}

/* Doubles in locals: the escape times of 16 x 16 points, at most 64 steps each. */
#include <stdint.h>

enum { SIZE = 16, LIMIT = 64 };

uint32_t run(uint32_t n) {
    uint32_t sum = 0;
    for (uint32_t round = 0; round < n; round++)
        for (int py = 0; py < SIZE; py++) {
            double ci = py * (2.5 / SIZE) - 1.25;
            for (int px = 0; px < SIZE; px++) {
                double cr = px * (2.5 / SIZE) - 2.0 + (round & 7) * 0.01;
                double zr = 0, zi = 0;
                uint32_t steps = 0;
                while (steps < LIMIT) {
                    double rr = zr * zr, ii = zi * zi;
                    if (rr + ii > 4.0)
                        break;
                    zi = 2.0 * zr * zi + ci;
                    zr = rr - ii + cr;
                    steps++;
                }
                sum = sum * 31 + steps;
            }
        }
    return sum;
}

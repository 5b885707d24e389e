/* Single precision: a second-order low-pass filter over 512 samples. */
#include <stdint.h>

enum { SIZE = 512 };
static float in[SIZE], out[SIZE];

__attribute__((noinline)) static void filter(float b0, float b1, float b2, float a1, float a2) {
    float x1 = 0, x2 = 0, y1 = 0, y2 = 0;
    for (int i = 0; i < SIZE; i++) {
        float x = in[i];
        float y = b0 * x + b1 * x1 + b2 * x2 - a1 * y1 - a2 * y2;
        x2 = x1, x1 = x;
        y2 = y1, y1 = y;
        out[i] = y;
    }
}

static uint32_t bits(float x) {
    uint32_t i;
    __builtin_memcpy(&i, &x, 4);
    return i;
}

uint32_t run(uint32_t n) {
    uint32_t sum = 0;
    for (uint32_t round = 0; round < n; round++) {
        uint32_t x = round;
        for (int i = 0; i < SIZE; i++) {
            x = x * 1664525 + 1013904223;
            in[i] = (float)(x >> 16) * (1.0f / 65536);
        }
        filter(0.067455f, 0.134911f, 0.067455f, -1.14298f, 0.412802f);
        sum = sum * 31 + (bits(out[SIZE - 1]) ^ bits(out[SIZE / 2]));
    }
    return sum;
}

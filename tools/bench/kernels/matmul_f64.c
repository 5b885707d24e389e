/* Two-dimensional arrays of doubles: the product of two 20 x 20 matrices. */
#include <stdint.h>

enum { N = 20 };
static volatile int size = N; /* read where the loops must stay loops */
static double a[N][N], b[N][N], c[N][N];

__attribute__((noinline)) static void multiply(int size) {
    for (int i = 0; i < size; i++)
        for (int j = 0; j < size; j++) {
            double sum = 0;
            for (int k = 0; k < size; k++)
                sum += a[i][k] * b[k][j];
            c[i][j] = sum;
        }
}

static uint32_t bits(double x) {
    uint64_t i;
    __builtin_memcpy(&i, &x, 8);
    return (uint32_t)(i ^ i >> 32);
}

uint32_t run(uint32_t n) {
    uint32_t sum = 0;
    for (uint32_t round = 0; round < n; round++) {
        for (uint32_t i = 0; i < N; i++)
            for (uint32_t j = 0; j < N; j++) {
                a[i][j] = (double)((round & 63) + i) * 0.37 + j;
                b[i][j] = (double)((round & 63) + j) * 1.19 - i * 0.01;
            }
        multiply(size);
        sum = sum * 31 + (bits(c[0][N - 1]) ^ bits(c[N - 1][round % N]));
    }
    return sum;
}

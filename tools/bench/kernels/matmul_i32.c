/* Two-dimensional arrays of words: the product of two 20 x 20 matrices. */
#include <stdint.h>

enum { N = 20 };
static volatile int size = N; /* read where the loops must stay loops */
static uint32_t a[N][N], b[N][N], c[N][N];

__attribute__((noinline)) static void multiply(int size) {
    for (int i = 0; i < size; i++)
        for (int j = 0; j < size; j++) {
            uint32_t sum = 0;
            for (int k = 0; k < size; k++)
                sum += a[i][k] * b[k][j];
            c[i][j] = sum;
        }
}

uint32_t run(uint32_t n) {
    uint32_t sum = 0;
    for (uint32_t round = 0; round < n; round++) {
        for (uint32_t i = 0; i < N; i++)
            for (uint32_t j = 0; j < N; j++) {
                a[i][j] = (round + i + 1) * 1000003 + j;
                b[i][j] = (round + j + 1) * 7654321 - i;
            }
        multiply(size);
        sum = sum * 31 + (c[0][N - 1] ^ c[N - 1][round % N]);
    }
    return sum;
}

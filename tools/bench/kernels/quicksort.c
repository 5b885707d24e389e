/* Signed comparisons and swaps in memory: quicksort of 500 words. */
#include <stdint.h>

enum { SIZE = 500 };
static int32_t items[SIZE];

static void sort(int32_t *a, int lo, int hi) {
    while (lo < hi) {
        int32_t pivot = a[(lo + hi) / 2];
        int i = lo, j = hi;
        while (i <= j) {
            while (a[i] < pivot)
                i++;
            while (a[j] > pivot)
                j--;
            if (i <= j) {
                int32_t t = a[i];
                a[i++] = a[j];
                a[j--] = t;
            }
        }
        sort(a, lo, j);
        lo = i;
    }
}

uint32_t run(uint32_t n) {
    uint32_t sum = 0;
    for (uint32_t round = 0; round < n; round++) {
        uint32_t x = round + 1;
        for (int i = 0; i < SIZE; i++) {
            x = x * 1664525 + 1013904223;
            items[i] = x;
        }
        sort(items, 0, SIZE - 1);
        sum = sum * 31 + (uint32_t)(items[1] ^ items[SIZE / 2] ^ items[SIZE - 2]);
    }
    return sum;
}

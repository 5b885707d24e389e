/* Byte stores with a stride: the primes below 8192 by Eratosthenes' sieve. */
#include <stdint.h>

enum { SIZE = 8192 };
static uint8_t composite[SIZE];

uint32_t run(uint32_t n) {
    uint32_t sum = 0;
    for (uint32_t round = 0; round < n; round++) {
        uint32_t size = SIZE - (round & 7), count = 0;
        for (uint32_t i = 0; i < size; i++)
            composite[i] = 0;
        for (uint32_t i = 2; i < size; i++)
            if (!composite[i]) {
                count++;
                for (uint32_t j = i * i; j < size; j += i)
                    composite[j] = 1;
            }
        sum = sum * 31 + count;
    }
    return sum;
}

/* Indirect calls: 2000 calls of one of eight functions through a table. */
#include <stdint.h>

typedef uint32_t function(uint32_t, uint32_t);

static uint32_t add(uint32_t a, uint32_t b) { return a + b; }
static uint32_t sub(uint32_t a, uint32_t b) { return a - b; }
static uint32_t mul(uint32_t a, uint32_t b) { return a * (b | 1); }
static uint32_t xor(uint32_t a, uint32_t b) { return a ^ b; }
static uint32_t or(uint32_t a, uint32_t b) { return a | (b & 0x5555); }
static uint32_t and(uint32_t a, uint32_t b) { return a & (b | 0xFFFF00); }
static uint32_t max(uint32_t a, uint32_t b) { return a > b ? a : b; }
static uint32_t shift(uint32_t a, uint32_t b) { return a >> (b & 3); }

static function *const functions[8] = {add, sub, mul, xor, or, and, max, shift};

uint32_t run(uint32_t n) {
    uint32_t sum = 0;
    for (uint32_t round = 0; round < n; round++) {
        uint32_t x = round, value = 1;
        for (int i = 0; i < 2000; i++) {
            x = x * 1664525 + 1013904223;
            value = functions[x >> 29](value, x);
        }
        sum = sum * 31 + value;
    }
    return sum;
}

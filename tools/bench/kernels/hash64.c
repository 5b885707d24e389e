/* 64-bit products and rotations: a hash of 256 words in xxHash's manner. */
#include <stdint.h>

#define P1 0x9E3779B185EBCA87u
#define P2 0xC2B2AE3D27D4EB4Fu
#define P3 0x165667B19E3779F9u
#define P4 0x85EBCA77C2B2AE63u

enum { WORDS = 256 };
static uint64_t words[WORDS];

static uint64_t rotl(uint64_t x, int k) { return x << k | x >> (64 - k); }

__attribute__((noinline)) static uint64_t hash(const uint64_t *p, uint32_t count, uint64_t seed) {
    uint64_t h = seed + P3;
    for (uint32_t i = 0; i < count; i++)
        h = rotl(h ^ rotl(p[i] * P2, 31) * P1, 27) * P1 + P4;
    h ^= h >> 33;
    h *= P2;
    h ^= h >> 29;
    h *= P3;
    return h ^ h >> 32;
}

uint32_t run(uint32_t n) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t x = i;
        for (uint32_t j = 0; j < WORDS; j++) {
            x += 0x9E3779B97F4A7C15u;
            words[j] = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
        }
        sum = sum * 31 + hash(words, WORDS, i);
    }
    return (uint32_t)(sum ^ sum >> 32);
}

/* Byte comparisons: how often 8 bytes occur in 8192, by Horspool's algorithm. */
#include <stdint.h>

enum { SIZE = 8192, LENGTH = 8 };
static uint8_t text[SIZE];
static uint8_t prepared;

static void prepare(void) {
    uint32_t x = 7;
    for (uint32_t i = 0; i < SIZE; i++) {
        x = x * 1103515245 + 12345;
        text[i] = 'a' + (x >> 16 & 7);
    }
    prepared = 1;
}

__attribute__((noinline)) static uint32_t count(const uint8_t *text, uint32_t size, const uint8_t *word, uint32_t length) {
    uint8_t skip[256];
    uint32_t found = 0;
    for (uint32_t i = 0; i < 256; i++)
        skip[i] = length;
    for (uint32_t i = 0; i + 1 < length; i++)
        skip[word[i]] = length - 1 - i;
    uint32_t last = length - 1;
    while (last < size) {
        const uint8_t *at = text + last - (length - 1);
        uint32_t k = length;
        while (k && at[k - 1] == word[k - 1])
            k--;
        found += !k;
        last += skip[text[last]];
    }
    return found;
}

uint32_t run(uint32_t n) {
    uint32_t sum = 0;
    if (!prepared)
        prepare();
    for (uint32_t i = 0; i < n; i++)
        sum = sum * 31 + count(text, SIZE, text + (i * 37 & 4095), LENGTH);
    return sum;
}

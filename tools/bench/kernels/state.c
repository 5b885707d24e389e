/* A state machine: the kinds of numbers in 600 bytes of text, in CoreMark's manner. */
#include <stdint.h>

enum state { START, INVALID, S1, S2, INT, FLOAT, EXPONENT, SCIENTIFIC, STATES };

static const char *const samples[] = {"5012", "1234", "-874", "+122", "35.54400", ".1234500", "-110.700", "+0.64400",
                                      "5.500e+3", "-.123e-2", "-87e+832", "+0.6e-12", "T0.3e-1F", "-T.T++Tq", "1T3.4e4z", "34.0e-T^"};

enum { SIZE = 600 };
static uint8_t input[SIZE + 1];

static void build(uint32_t seed) {
    uint32_t at = 0;
    while (at < SIZE) {
        seed = seed * 1664525 + 1013904223;
        const char *sample = samples[seed >> 28];
        while (*sample && at < SIZE)
            input[at++] = *sample++;
        if (at < SIZE)
            input[at++] = ',';
    }
    input[SIZE] = 0;
}

static int is_digit(uint8_t c) { return c >= '0' && c <= '9'; }

static const uint8_t *next(const uint8_t *p, enum state *result, uint32_t *transitions) {
    enum state s = START;
    for (; *p && s != INVALID; p++) {
        uint8_t c = *p;
        if (c == ',') {
            p++;
            break;
        }
        switch (s) {
        case START:
            if (is_digit(c))
                s = INT;
            else if (c == '+' || c == '-')
                s = S1;
            else if (c == '.')
                s = FLOAT;
            else
                s = INVALID;
            transitions[START]++;
            break;
        case S1:
            if (is_digit(c))
                s = INT;
            else if (c == '.')
                s = FLOAT;
            else
                s = INVALID;
            transitions[S1]++;
            break;
        case INT:
            if (c == '.') {
                s = FLOAT;
                transitions[INT]++;
            } else if (!is_digit(c)) {
                s = INVALID;
                transitions[INT]++;
            }
            break;
        case FLOAT:
            if (c == 'E' || c == 'e') {
                s = S2;
                transitions[FLOAT]++;
            } else if (!is_digit(c)) {
                s = INVALID;
                transitions[FLOAT]++;
            }
            break;
        case S2:
            if (c == '+' || c == '-')
                s = EXPONENT;
            else
                s = INVALID;
            transitions[S2]++;
            break;
        case EXPONENT:
            if (is_digit(c))
                s = SCIENTIFIC;
            else
                s = INVALID;
            transitions[EXPONENT]++;
            break;
        case SCIENTIFIC:
            if (!is_digit(c)) {
                s = INVALID;
                transitions[INVALID]++;
            }
            break;
        default: break;
        }
    }
    *result = s;
    return p;
}

__attribute__((noinline)) static uint32_t scan(void) {
    uint32_t finals[STATES] = {0}, transitions[STATES] = {0}, sum = 0;
    const uint8_t *p = input;
    while (*p) {
        enum state s;
        p = next(p, &s, transitions);
        finals[s]++;
    }
    for (int i = 0; i < STATES; i++)
        sum = sum * 7 + finals[i] * 3 + transitions[i];
    return sum;
}

uint32_t run(uint32_t n) {
    uint32_t sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        build(i);
        sum = sum * 31 + scan();
    }
    return sum;
}

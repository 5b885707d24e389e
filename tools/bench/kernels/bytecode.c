/* A switch in a loop: the interpreter of a stack machine, which counts the steps of a Collatz sequence. */
#include <stdint.h>

enum { PUSH, LOAD, STORE, ADD, SUB, MUL, SHR, AND, EQ, JUMP, JUMP_IF, HALT };

static const uint8_t code[] = {
    LOAD, 0, PUSH, 1, EQ, JUMP_IF, 42,             /*  0: while r0 != 1: */
    LOAD, 1, PUSH, 1, ADD, STORE, 1,               /*  7:     r1 += 1 */
    LOAD, 0, PUSH, 1, AND, JUMP_IF, 30,            /* 14:     if not r0 & 1: */
    LOAD, 0, PUSH, 1, SHR, STORE, 0,               /* 21:         r0 >>= 1 */
    JUMP, 0,                                       /* 28:     else: */
    LOAD, 0, PUSH, 3, MUL, PUSH, 1, ADD, STORE, 0, /* 30:         r0 = r0 * 3 + 1 */
    JUMP, 0,                                       /* 40: */
    HALT,                                          /* 42: */
};
static const uint8_t starts[4] = {27, 31, 41, 47};
static uint32_t registers[4], stack[16];

__attribute__((noinline)) static uint32_t interpret(const uint8_t *code, uint32_t start) {
    uint32_t sp = 0, pc = 0;
    registers[0] = start;
    registers[1] = 0;
    for (;;)
        switch (code[pc++]) {
        case PUSH: stack[sp++] = code[pc++]; break;
        case LOAD: stack[sp++] = registers[code[pc++]]; break;
        case STORE: registers[code[pc++]] = stack[--sp]; break;
        case ADD: sp--, stack[sp - 1] += stack[sp]; break;
        case SUB: sp--, stack[sp - 1] -= stack[sp]; break;
        case MUL: sp--, stack[sp - 1] *= stack[sp]; break;
        case SHR: sp--, stack[sp - 1] >>= stack[sp] & 31; break;
        case AND: sp--, stack[sp - 1] &= stack[sp]; break;
        case EQ: sp--, stack[sp - 1] = stack[sp - 1] == stack[sp]; break;
        case JUMP: pc = code[pc]; break;
        case JUMP_IF: pc = stack[--sp] ? code[pc] : pc + 1; break;
        default: return registers[1];
        }
}

uint32_t run(uint32_t n) {
    uint32_t sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum = sum * 31 + interpret(code, starts[i & 3]);
    return sum;
}

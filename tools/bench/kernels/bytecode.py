"""A switch in a loop: the interpreter of a stack machine, which counts the steps of a Collatz sequence."""

PUSH, LOAD, STORE, ADD, SUB, MUL, SHR, AND, EQ, JUMP, JUMP_IF, HALT = range(12)

# fmt: off
CODE = bytes([
    LOAD, 0, PUSH, 1, EQ, JUMP_IF, 42,              #  0: while r0 != 1:
    LOAD, 1, PUSH, 1, ADD, STORE, 1,                #  7:     r1 += 1
    LOAD, 0, PUSH, 1, AND, JUMP_IF, 30,             # 14:     if not r0 & 1:
    LOAD, 0, PUSH, 1, SHR, STORE, 0,                # 21:         r0 >>= 1
    JUMP, 0,                                        # 28:     else:
    LOAD, 0, PUSH, 3, MUL, PUSH, 1, ADD, STORE, 0,  # 30:         r0 = r0 * 3 + 1
    JUMP, 0,                                        # 40:
    HALT,                                           # 42:
])
# fmt: on
STARTS = [27, 31, 41, 47]


def interpret(code: bytes, start: int) -> int:
    registers = [start, 0, 0, 0]
    stack: list[int] = []
    push = stack.append
    pop = stack.pop
    pc = 0
    while True:
        op = code[pc]
        pc += 1
        if op == PUSH:
            push(code[pc])
            pc += 1
        elif op == LOAD:
            push(registers[code[pc]])
            pc += 1
        elif op == STORE:
            registers[code[pc]] = pop()
            pc += 1
        elif op == ADD:
            b = pop()
            stack[-1] = stack[-1] + b & 0xFFFFFFFF
        elif op == SUB:
            b = pop()
            stack[-1] = stack[-1] - b & 0xFFFFFFFF
        elif op == MUL:
            b = pop()
            stack[-1] = stack[-1] * b & 0xFFFFFFFF
        elif op == SHR:
            b = pop()
            stack[-1] >>= b & 31
        elif op == AND:
            b = pop()
            stack[-1] &= b
        elif op == EQ:
            b = pop()
            stack[-1] = int(stack[-1] == b)
        elif op == JUMP:
            pc = code[pc]
        elif op == JUMP_IF:
            pc = code[pc] if pop() else pc + 1
        else:
            return registers[1]


def run(n: int) -> int:
    total = 0
    for i in range(n):
        total = (total * 31 + interpret(CODE, STARTS[i & 3])) & 0xFFFFFFFF
    return total

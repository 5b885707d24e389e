/* A program for hosts that offer what Life's command offers: env.__life_log, env.__life_ping, env.print_i64. */
#define EXPORT(name) __attribute__((export_name(#name))) name
#define IMPORT(name) __attribute__((import_module("env"), import_name(#name)))

typedef unsigned int u32;
typedef long long i64;

IMPORT(__life_log) void life_log(const char *text, u32 size);
IMPORT(__life_ping) int life_ping(int x);
IMPORT(print_i64) void print_i64(i64 x);

/* Say hello, print two numbers, return a third. */
int EXPORT(app_main)(void) {
    static const char hello[] = "hello from WebAssembly";
    life_log(hello, sizeof hello - 1);
    print_i64(-1);
    print_i64(1LL << 40);
    return life_ping(41);
}

/* How many steps take n to 1: half of an even number, three times an odd one and one. */
int EXPORT(collatz)(i64 n) {
    int steps = 0;
    for (; n > 1; steps++) n = n & 1 ? 3 * n + 1 : n / 2;
    return steps;
}

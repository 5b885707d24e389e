/* A library: exported functions, no WASI, nothing imported. */
#define EXPORT(name) __attribute__((export_name(#name))) name

typedef unsigned int u32;
typedef unsigned long long u64;

u32 EXPORT(fib)(u32 n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

u64 EXPORT(factorial)(u32 n) { return n < 2 ? 1 : n * factorial(n - 1); }

u64 EXPORT(gcd)(u64 a, u64 b) {
    while (b) {
        u64 rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

int EXPORT(divide)(int a, int b) { return a / b; }

double EXPORT(newton_sqrt)(double x) {
    double guess = x;
    for (int i = 0; i < 60 && guess * guess != x; i++) guess = (guess + x / guess) / 2;
    return guess;
}

float EXPORT(average)(float a, float b) { return (a + b) / 2; }

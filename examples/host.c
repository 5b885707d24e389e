/* A library that calls its host: imports env.log and env.scale, exports its memory. */
#define EXPORT(name) __attribute__((export_name(#name))) name
#define IMPORT(name) __attribute__((import_module("env"), import_name(#name)))

typedef unsigned int u32;

IMPORT(log) void host_log(const char *text, u32 size);
IMPORT(scale) double host_scale(double x);

static char buffer[256];

/* Where the host may write up to 256 bytes. */
char *EXPORT(input)(void) { return buffer; }

/* Reverse the first `size` bytes of the input, in capitals, and log them; returns how many letters there were. */
int EXPORT(shout)(u32 size) {
    int letters = 0;
    if (size > sizeof buffer) __builtin_trap();
    for (u32 i = 0, j = size; i < j--; i++) {
        char c = buffer[i];
        buffer[i] = buffer[j];
        buffer[j] = c;
    }
    for (u32 i = 0; i < size; i++)
        if (buffer[i] >= 'a' && buffer[i] <= 'z') buffer[i] -= 32, letters++;
    host_log(buffer, size);
    return letters;
}

/* The sum of the host's scale of 1, 2, … n. */
double EXPORT(sum_scaled)(int n) {
    double sum = 0;
    for (int i = 1; i <= n; i++) sum += host_scale(i);
    return sum;
}

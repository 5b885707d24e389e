/* All of standard input into memory, all of a buffer to standard output; exit code 2 where either fails. */
#ifndef STDIO_ALL_H
#define STDIO_ALL_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((noreturn, unused)) static void die(const char *what) {
    fprintf(stderr, "error: %s\n", what);
    exit(2);
}

__attribute__((unused)) static unsigned char *read_all(FILE *file, size_t *size) {
    size_t room = 1 << 16;
    unsigned char *data = malloc(room);
    *size = 0;
    while (data) {
        size_t n = fread(data + *size, 1, room - *size, file);
        *size += n;
        if (n == 0) {
            if (ferror(file)) die("cannot read");
            return data;
        }
        if (*size == room) data = realloc(data, room *= 2);
    }
    die("out of memory");
}

__attribute__((unused)) static void write_all(const void *data, size_t size) {
    if (fwrite(data, 1, size, stdout) != size || fflush(stdout) != 0) die("cannot write");
}

/* The level of `compress LEVEL`, or -1 for `decompress`. */
__attribute__((unused)) static int level_of(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "compress") == 0) return atoi(argv[2]);
    if (argc == 2 && strcmp(argv[1], "decompress") == 0) return -1;
    fprintf(stderr, "usage: %s compress LEVEL | decompress\n", argc ? argv[0] : "prog");
    exit(1);
}

#endif

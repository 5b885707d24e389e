/* A WASI command: lines, words and bytes of standard input, or of each file named. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static int count(FILE *file, const char *name) {
    unsigned long lines = 0, words = 0, bytes = 0;
    int c, in_word = 0;
    while ((c = getc(file)) != EOF) {
        bytes++;
        lines += c == '\n';
        words += !isspace(c) && !in_word;
        in_word = !isspace(c);
    }
    if (ferror(file)) {
        fprintf(stderr, "wordcount: %s: %s\n", name, strerror(errno));
        return 1;
    }
    printf("%7lu %7lu %7lu%s%s\n", lines, words, bytes, *name ? " " : "", name);
    return 0;
}

int main(int argc, char **argv) {
    int status = 0;
    if (argc < 2) return count(stdin, "");
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "rb");
        if (!file) {
            fprintf(stderr, "wordcount: %s: %s\n", argv[i], strerror(errno));
            status = 1;
            continue;
        }
        status |= count(file, argv[i]);
        fclose(file);
    }
    return status;
}

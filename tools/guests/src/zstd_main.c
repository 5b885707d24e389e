/* zstd as a filter: `compress LEVEL` or `decompress`, standard input to standard output. */
#include "stdio_all.h"
#include "zstd.h"

int main(int argc, char **argv) {
    int level = level_of(argc, argv);
    size_t size, room, n;
    unsigned char *in = read_all(stdin, &size);
    if (level >= 0) {
        room = ZSTD_compressBound(size);
    } else {
        unsigned long long whole = ZSTD_getFrameContentSize(in, size);
        if (whole == ZSTD_CONTENTSIZE_ERROR) die("not a zstd frame");
        if (whole == ZSTD_CONTENTSIZE_UNKNOWN) die("size unknown");
        room = (size_t)whole;
    }
    unsigned char *out = malloc(room + 1);
    if (!out) die("out of memory");
    n = level >= 0 ? ZSTD_compress(out, room, in, size, level) : ZSTD_decompress(out, room, in, size);
    if (ZSTD_isError(n)) die(ZSTD_getErrorName(n));
    write_all(out, n);
    return 0;
}

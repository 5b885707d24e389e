/* lz4 frames as a filter: `compress LEVEL` (3 and above: LZ4HC) or `decompress`, standard input to standard output. */
#include "lz4frame.h"
#include "stdio_all.h"

static void decompress(const unsigned char *in, size_t size) {
    static unsigned char out[1 << 16];
    LZ4F_dctx *context;
    size_t more = 1;
    if (LZ4F_isError(LZ4F_createDecompressionContext(&context, LZ4F_VERSION))) die("out of memory");
    while (more != 0) {
        size_t room = sizeof out, taken = size;
        more = LZ4F_decompress(context, out, &room, in, &taken, NULL);
        if (LZ4F_isError(more)) die(LZ4F_getErrorName(more));
        if (taken == 0 && room == 0) die("frame ends early");
        in += taken;
        size -= taken;
        write_all(out, room);
    }
    LZ4F_freeDecompressionContext(context);
}

int main(int argc, char **argv) {
    int level = level_of(argc, argv);
    size_t size;
    unsigned char *in = read_all(stdin, &size);
    if (level < 0) {
        decompress(in, size);
    } else {
        LZ4F_preferences_t preferences = LZ4F_INIT_PREFERENCES;
        preferences.compressionLevel = level;
        preferences.frameInfo.contentChecksumFlag = LZ4F_contentChecksumEnabled;
        size_t room = LZ4F_compressFrameBound(size, &preferences);
        unsigned char *out = malloc(room);
        if (!out) die("out of memory");
        size_t n = LZ4F_compressFrame(out, room, in, size, &preferences);
        if (LZ4F_isError(n)) die(LZ4F_getErrorName(n));
        write_all(out, n);
    }
    return 0;
}

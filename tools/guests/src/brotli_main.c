/* brotli as a filter: `compress LEVEL` (0 to 11) or `decompress`, standard input to standard output. */
#include "stdio_all.h"
#include <brotli/decode.h>
#include <brotli/encode.h>

static void decompress(const unsigned char *in, size_t size) {
    static unsigned char out[1 << 16];
    BrotliDecoderState *state = BrotliDecoderCreateInstance(NULL, NULL, NULL);
    BrotliDecoderResult result;
    if (!state) die("out of memory");
    do {
        unsigned char *next = out;
        size_t room = sizeof out;
        result = BrotliDecoderDecompressStream(state, &size, &in, &room, &next, NULL);
        write_all(out, sizeof out - room);
    } while (result == BROTLI_DECODER_RESULT_NEEDS_MORE_OUTPUT);
    if (result != BROTLI_DECODER_RESULT_SUCCESS) die("not a brotli stream");
    BrotliDecoderDestroyInstance(state);
}

int main(int argc, char **argv) {
    int level = level_of(argc, argv);
    size_t size;
    unsigned char *in = read_all(stdin, &size);
    if (level < 0) {
        decompress(in, size);
    } else {
        size_t room = BrotliEncoderMaxCompressedSize(size) + 16;
        unsigned char *out = malloc(room);
        if (!out) die("out of memory");
        if (!BrotliEncoderCompress(level, BROTLI_DEFAULT_WINDOW, BROTLI_MODE_GENERIC, size, in, &room, out))
            die("cannot compress");
        write_all(out, room);
    }
    return 0;
}

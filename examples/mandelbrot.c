/* A WASI command: the Mandelbrot set in letters. Arguments: columns, rows, iterations. */
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    int columns = argc > 1 ? atoi(argv[1]) : 72, rows = argc > 2 ? atoi(argv[2]) : 24;
    int limit = argc > 3 ? atoi(argv[3]) : 100;
    const char shades[] = " .:-=+*#%@";
    for (int y = 0; y < rows; y++) {
        for (int x = 0; x < columns; x++) {
            double cr = 3.0 * x / columns - 2.1, ci = 2.4 * y / rows - 1.2, zr = 0, zi = 0;
            int n = 0;
            while (n < limit && zr * zr + zi * zi < 4) {
                double t = zr * zr - zi * zi + cr;
                zi = 2 * zr * zi + ci;
                zr = t;
                n++;
            }
            putchar(n == limit ? '@' : shades[n % 9]);
        }
        putchar('\n');
    }
    return 0;
}

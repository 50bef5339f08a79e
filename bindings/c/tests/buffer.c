/*
 * A scan of 512 x 512 x 300 voxels of int16_t is copied exactly once: the peak of memory grows only by the size of its
 * float32 voxels. Prints the time.
 */

#include "check.h"

#include <time.h>

/* Resets the peak of memory. */
static void forget_peak(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "w");

    CHECK(file != NULL && fputs("5", file) >= 0 && fclose(file) == 0);
}

/* The peak of memory since the reset, in KiB. */
static long peak(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    long kib = -1;

    CHECK(file != NULL);
    while (fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "VmHWM: %ld", &kib) == 1) {
            break;
        }
    }
    fclose(file);
    CHECK(kib > 0);
    return kib;
}

static double now_ms(void)
{
    struct timespec time;

    CHECK(clock_gettime(CLOCK_MONOTONIC, &time) == 0);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

int main(void)
{
    const size_t shape[3] = {512, 512, 300}, count = shape[0] * shape[1] * shape[2];
    const long float_kib = (long)(count * sizeof(float) / 1024);
    int16_t *voxels = malloc(count * sizeof *voxels);
    SegvolBuffer buffer = describe(voxels);
    SegvolVolume *volume = NULL;
    size_t n;
    int order;

    CHECK(voxels != NULL);
    for (n = 0; n < count; n++) {
        voxels[n] = (int16_t)((n * 2654435761u >> 20) % 2000 - 1000);
    }
    for (n = 0; n < 3; n++) {
        buffer.shape[n] = shape[n];
    }
    for (order = 0; order < 2; order++) {
        double start;
        long before, grown;

        if (order == 1) { /* k fastest: every voxel is far from the next. */
            buffer.strides[0] = (ptrdiff_t)(shape[1] * shape[2] * sizeof *voxels);
            buffer.strides[1] = (ptrdiff_t)(shape[2] * sizeof *voxels);
            buffer.strides[2] = sizeof *voxels;
        }
        forget_peak();
        before = peak();
        start = now_ms();
        OK(segvol_volume_from_buffer(&buffer, &volume));
        start = now_ms() - start;
        grown = peak() - before;
        CHECK(grown >= float_kib - 8192);
        printf("%s fastest: %.0f ms, %ld KiB for %ld KiB of float32\n", order == 0 ? "i" : "k", start, grown, float_kib);
        CHECK(grown <= float_kib + 8192);
        segvol_volume_free(volume);
    }
    free(voxels);
    printf("buffer: passed\n");
    return 0;
}

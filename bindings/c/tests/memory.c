/*
 * Too little memory for a scan gives a status, and the next call with enough memory succeeds. Usage: memory BUNDLE
 */

#include "check.h"

#include <sys/resource.h>
#include <unistd.h>

/* Limits the process to this many bytes more than it has mapped now. 0 removes the limit. */
static void leave(size_t bytes)
{
    struct rlimit limit;

    CHECK(getrlimit(RLIMIT_AS, &limit) == 0);
    limit.rlim_cur = limit.rlim_max;
    if (bytes > 0) {
        FILE *file = fopen("/proc/self/statm", "r");
        long pages = 0;

        CHECK(file != NULL && fscanf(file, "%ld", &pages) == 1);
        fclose(file);
        limit.rlim_cur = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + bytes;
    }
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
}

int main(int argc, char **argv)
{
    const size_t shape[3] = {256, 256, 200}, mib = (size_t)1 << 20;
    uint8_t *voxels = calloc(shape[0] * shape[1], shape[2]);
    SegvolBuffer buffer = describe(voxels);
    SegvolModel *model;
    SegvolVolume *volume = NULL;
    SegvolStudy *study = NULL;
    size_t n;

    CHECK(argc == 2 && voxels != NULL);
    model = open_model(argv[1]);
    segvol_study_free(make_study(model)); /* Now the library has made everything that it makes once. */
    buffer.element = SEGVOL_ELEMENT_U8;
    for (n = 0; n < 3; n++) {
        buffer.shape[n] = shape[n];
    }
    for (n = 0; n < shape[0] * shape[1] * shape[2]; n++) {
        voxels[n] = (uint8_t)(n % 101);
    }
    OK(segvol_volume_from_buffer(&buffer, &volume));
    leave(20 * mib); /* The reoriented scan needs 50 MiB. */
    FAILS(segvol_study_new(model, volume, NULL, &study), SEGVOL_STATUS_MEMORY, "volume: ");
    CHECK(study == NULL);
    leave(0);
    OK(segvol_study_new(model, volume, NULL, &study));
    segvol_study_free(study);
    segvol_volume_free(volume);
    segvol_model_free(model);
    free(voxels);
    printf("memory: passed\n");
    return 0;
}

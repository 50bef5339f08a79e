/*
 * Segments one object for each line that it reads, and prints the time in milliseconds. Embeddings are cached, so that little
 * other work can hide the cost of the call. `benches/benches/calls.rs` does the same in Rust and compares the times.
 * Usage: cost BUNDLE SCAN.nii.gz ZOOM_IN
 */

#include "check.h"

#include <time.h>

static double now_ms(void)
{
    struct timespec time;

    CHECK(clock_gettime(CLOCK_MONOTONIC, &time) == 0);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

int main(int argc, char **argv)
{
    SegvolOptions options;
    SegvolModel *model = NULL;
    SegvolVolume *volume = NULL;
    SegvolStudy *study = NULL;
    SegvolPrompt prompt = named("liver");
    char line[16];

    CHECK(argc == 4);
    OK(segvol_options_init(&options, sizeof options));
    options.provider = "cpu";
    options.threads = 1;
    options.zoom_in = atoi(argv[3]);
    OK(segvol_model_open(argv[1], &options, &model));
    OK(segvol_volume_open(argv[2], &volume));
    OK(segvol_study_new(model, volume, NULL, &study));
    segvol_volume_free(volume);
    while (fgets(line, sizeof line, stdin) != NULL) {
        SegvolMask *mask = NULL;
        double start = now_ms();

        OK(segvol_study_segment(study, &prompt, &mask));
        segvol_mask_free(mask);
        printf("%.5f\n", now_ms() - start);
        fflush(stdout);
    }
    segvol_study_free(study);
    segvol_model_free(model);
    return 0;
}

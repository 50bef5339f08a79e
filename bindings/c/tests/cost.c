/*
 * Segments one object for every line that it reads, and says how many milliseconds that took; embeddings are kept, so that
 * nothing is large that could hide the cost of the call. Usage: cost BUNDLE SCAN.nii.gz
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
    SegvolModel *model;
    SegvolVolume *volume = NULL;
    SegvolStudy *study = NULL;
    SegvolPrompt prompt = named("liver");
    char line[16];

    CHECK(argc == 3);
    model = open_model(argv[1]);
    OK(segvol_volume_open(argv[2], &volume));
    OK(segvol_study_new(model, volume, NULL, &study));
    segvol_volume_free(volume);
    while (fgets(line, sizeof line, stdin) != NULL) {
        SegvolMask *mask = NULL;
        double start = now_ms();

        OK(segvol_study_segment(study, &prompt, &mask));
        segvol_mask_free(mask);
        printf("%.4f\n", now_ms() - start);
        fflush(stdout);
    }
    segvol_study_free(study);
    segvol_model_free(model);
    return 0;
}

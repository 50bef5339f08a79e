/*
 * Opens, segments and closes many times. After the first fifth of the rounds, memory must not grow by more than a limit.
 * Usage: rounds BUNDLE ROUNDS LIMIT_KIB
 */

#include "check.h"

#include <unistd.h>

/* The resident memory of the process, in KiB. */
static long resident(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    long pages = 0, held = 0;

    CHECK(file != NULL && fscanf(file, "%ld %ld", &pages, &held) == 2);
    fclose(file);
    return held * (sysconf(_SC_PAGESIZE) / 1024);
}

int main(int argc, char **argv)
{
    int round, rounds;
    long limit, early = 0, late;

    CHECK(argc == 4);
    rounds = atoi(argv[2]);
    limit = atol(argv[3]);
    for (round = 0; round < rounds; round++) {
        SegvolModel *model = open_model(argv[1]);
        SegvolStudy *study = make_study(model);
        SegvolPrompt prompts[2];
        SegvolResult *result = NULL;
        SegvolMask *mask = NULL;
        char *report = NULL;

        prompts[0] = named("liver");
        prompts[1] = named("spleen");
        OK(segvol_study_segment_all(study, prompts, 2, NULL, NULL, &result));
        OK(segvol_result_label_map(result, &mask));
        OK(segvol_result_report(result, &report));
        segvol_string_free(report);
        segvol_mask_free(mask);
        segvol_result_free(result);
        segvol_study_free(study);
        segvol_model_free(model);
        if (round == rounds / 5) {
            early = resident();
        }
    }
    late = resident();
    printf("rounds: %d, %ld KiB after a fifth, %ld KiB at the end\n", rounds, early, late);
    CHECK(late - early <= limit);
    return 0;
}

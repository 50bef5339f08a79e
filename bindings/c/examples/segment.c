/* segment: reads a CT file and segments the structure with the given name into a mask file. */

#include <segvol.h>

#include <stdio.h>
#include <stdlib.h>

/* Ends the program if a call failed, with the message of the library. */
static void check(SegvolStatus status, const char *what)
{
    if (status != SEGVOL_STATUS_OK) {
        fprintf(stderr, "%s: %s: %s\n", what, segvol_status_name(status), segvol_last_error());
        exit(1);
    }
}

int main(int argc, char **argv)
{
    SegvolModel *model = NULL;
    SegvolVolume *volume = NULL;
    SegvolStudy *study = NULL;
    SegvolMask *mask = NULL;
    SegvolPrompt prompt;
    SegvolMaskStatistics statistics;

    if (argc != 5) {
        fprintf(stderr, "usage: segment BUNDLE SCAN.nii.gz NAME MASK.nii.gz\n");
        return 2;
    }
    check(segvol_model_open(argv[1], NULL, &model), "open the bundle");
    check(segvol_volume_open(argv[2], &volume), "open the scan");
    check(segvol_study_new(model, volume, NULL, &study), "prepare the scan");
    segvol_volume_free(volume); /* The study keeps what it needs. */

    segvol_prompt_init(&prompt, sizeof prompt);
    prompt.text = argv[3];
    check(segvol_study_segment(study, &prompt, &mask), "segment");

    segvol_mask_statistics_init(&statistics, sizeof statistics);
    check(segvol_mask_statistics(mask, 1, &statistics), "measure");
    printf("%s: %.2f mL\n", argv[3], statistics.volume_ml);
    check(segvol_mask_save(mask, argv[4]), "save");

    segvol_mask_free(mask);
    segvol_study_free(study);
    segvol_model_free(model);
    return 0;
}

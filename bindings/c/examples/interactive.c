/*
 * interactive: several prompts on one study, as in a viewer. The scan is in the program's own memory. A callback shows the
 * progress of a call and can stop it. Another shows the coarse mask. The second prompt reuses the embeddings of the first.
 */

#include <segvol.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { NI = 96, NJ = 96, NK = 48 };

static void check(SegvolStatus status, const char *what)
{
    if (status != SEGVOL_STATUS_OK) {
        fprintf(stderr, "%s: %s: %s\n", what, segvol_status_name(status), segvol_last_error());
        exit(1);
    }
}

/* Draws a body of soft tissue in air with a brighter ball in it, in the order of a DICOM image: i fastest. */
static int16_t *draw(void)
{
    int16_t *voxels = malloc(sizeof *voxels * NI * NJ * NK);
    int i, j, k;

    if (voxels == NULL) {
        fprintf(stderr, "not enough memory\n");
        exit(1);
    }
    for (k = 0; k < NK; k++) {
        for (j = 0; j < NJ; j++) {
            for (i = 0; i < NI; i++) {
                int x = i - NI / 2, y = j - NJ / 2, z = 2 * (k - NK / 2);
                int in_body = x * x + y * y < 44 * 44;
                int in_ball = x * x + y * y + z * z < 18 * 18;
                voxels[(k * NJ + j) * NI + i] = (int16_t)(in_ball ? 120 : in_body ? 20 + (i * 7 + j * 3 + k) % 11 : -1000);
            }
        }
    }
    return voxels;
}

static SegvolStudy *prepare(const SegvolModel *model, const int16_t *voxels)
{
    SegvolBuffer buffer;
    SegvolVolume *volume = NULL;
    SegvolStudy *study = NULL;
    int axis;

    segvol_buffer_init(&buffer, sizeof buffer);
    buffer.voxels = voxels;
    buffer.element = SEGVOL_ELEMENT_I16;
    buffer.shape[0] = NI;
    buffer.shape[1] = NJ;
    buffer.shape[2] = NK;
    buffer.geometry = SEGVOL_GEOMETRY_PARTS_LPS; /* As in DICOM and ITK; the direction stays the identity. */
    for (axis = 0; axis < 3; axis++) {
        buffer.spacing[axis] = axis == 2 ? 3.0 : 1.5;
        buffer.origin[axis] = -72.0;
    }
    check(segvol_volume_from_buffer(&buffer, &volume), "copy the scan");
    check(segvol_study_new(model, volume, NULL, &study), "prepare the scan");
    segvol_volume_free(volume);
    return study;
}

/* When to stop a call. A viewer would use the state of its "stop" button instead. */
typedef struct Patience {
    size_t windows;
} Patience;

static int show(size_t done, size_t total, void *user_data)
{
    const Patience *patience = user_data;

    printf("  window %lu of %lu\n", (unsigned long)done, (unsigned long)total);
    return done >= patience->windows; /* Not 0: stop. */
}

/* The coarse mask is there after the first window, so a viewer can show it while the call goes on. */
static int show_coarse(const SegvolResult *coarse, void *user_data)
{
    SegvolMask *mask = NULL;
    SegvolMaskStatistics statistics;

    (void)user_data;
    check(segvol_result_mask(coarse, 0, &mask), "coarse mask");
    segvol_mask_statistics_init(&statistics, sizeof statistics);
    check(segvol_mask_statistics(mask, 1, &statistics), "measure the coarse mask");
    printf("  coarse mask: %.1f mL\n", statistics.volume_ml);
    segvol_mask_free(mask);
    return 0; /* Continue. */
}

static void report_windows(const SegvolStudy *study)
{
    SegvolStudyStatistics statistics;

    segvol_study_statistics_init(&statistics, sizeof statistics);
    check(segvol_study_statistics(study, &statistics), "statistics");
    printf("  so far %lu windows encoded, %lu reused\n", (unsigned long)statistics.windows_encoded,
           (unsigned long)statistics.windows_reused);
}

int main(int argc, char **argv)
{
    SegvolModel *model = NULL;
    SegvolStudy *study;
    SegvolResult *result = NULL;
    SegvolMask *mask = NULL;
    SegvolPrompt prompt;
    SegvolCallbacks callbacks;
    SegvolPoint click = {{NI / 2.0, NJ / 2.0, NK / 2.0}, 1, 0};
    SegvolBox box = {{28.0, 28.0, 14.0}, {68.0, 68.0, 34.0}};
    Patience patience;
    SegvolStatus status;
    char *report = NULL;
    int16_t *voxels;
    uint8_t *inside;

    if (argc != 2) {
        fprintf(stderr, "usage: interactive BUNDLE\n");
        return 2;
    }
    check(segvol_model_open(argv[1], NULL, &model), "open the bundle");
    voxels = draw();
    study = prepare(model, voxels);
    free(voxels);

    printf("a box, stopped after the first window\n");
    segvol_prompt_init(&prompt, sizeof prompt);
    prompt.bounding_box = &box;
    prompt.name = "ball";
    patience.windows = 1;
    status = segvol_study_segment_all(study, &prompt, 1, show, &patience, &result);
    if (status != SEGVOL_STATUS_CANCELLED) {
        check(status, "stop");
        fprintf(stderr, "the call was not stopped\n");
        return 1;
    }
    report_windows(study);

    printf("the same box, to the end\n");
    patience.windows = (size_t)-1;
    segvol_callbacks_init(&callbacks, sizeof callbacks);
    callbacks.progress = show;
    callbacks.coarse = show_coarse;
    callbacks.user_data = &patience;
    check(segvol_study_segment_with(study, &prompt, 1, &callbacks, &result), "segment");
    report_windows(study);
    segvol_result_free(result);

    printf("the box and a click: the windows are already encoded\n");
    prompt.points = &click;
    prompt.points_len = 1;
    check(segvol_study_segment_all(study, &prompt, 1, show, &patience, &result), "segment");
    report_windows(study);

    inside = calloc((size_t)NI * NJ, NK);
    if (inside == NULL) {
        fprintf(stderr, "not enough memory\n");
        return 1;
    }
    check(segvol_result_mask(result, 0, &mask), "mask");
    check(segvol_mask_copy(mask, inside, (size_t)NI * NJ * NK, NULL), "copy");
    printf("the ball's centre is %s\n", inside[(NK / 2 * NJ + NJ / 2) * NI + NI / 2] ? "inside" : "outside");
    check(segvol_result_report(result, &report), "report");
    printf("%s", report);

    free(inside);
    segvol_string_free(report);
    segvol_mask_free(mask);
    segvol_result_free(result);
    segvol_study_free(study);
    segvol_model_free(model);
    return 0;
}

/*
 * Results, masks, progress and bundles that change: every function, and every status that a program can provoke. The message
 * must name the argument. api.c has the rest. COPY is a copy of the bundle, which is moved and damaged.
 * Usage: results BUNDLE INFINITE_BUNDLE FOLDER COPY
 */

#include "check.h"

#include <math.h>
#include <pthread.h>

/* One scan, stored in several orders and types, gives the same mask. */
static void orders(const SegvolModel *model)
{
    size_t count = (size_t)NI * NJ * NK;
    int16_t *packed = draw();
    double *wide = malloc(count * sizeof *wide);
    uint16_t *stored = malloc(count * sizeof *stored);
    uint8_t *first = malloc(count), *again = malloc(count);
    SegvolPrompt prompt = named("liver");
    int kind, i, j, k;

    CHECK(wide != NULL && stored != NULL && first != NULL && again != NULL);
    for (kind = 0; kind < 3; kind++) {
        SegvolBuffer buffer = describe(packed);
        SegvolVolume *volume = NULL;
        SegvolStudy *study = NULL;
        SegvolMask *mask = NULL;

        if (kind == 1) { /* k fastest, as in a NumPy array [i, j, k] in C order, with i reversed. */
            for (i = 0; i < NI; i++) {
                for (j = 0; j < NJ; j++) {
                    for (k = 0; k < NK; k++) {
                        wide[((NI - 1 - i) * NJ + j) * NK + k] = hounsfield(i, j, k);
                    }
                }
            }
            buffer.voxels = &wide[(size_t)(NI - 1) * NJ * NK];
            buffer.element = SEGVOL_ELEMENT_F64;
            buffer.strides[0] = -(ptrdiff_t)(NJ * NK * sizeof *wide);
            buffer.strides[1] = (ptrdiff_t)(NK * sizeof *wide);
            buffer.strides[2] = sizeof *wide;
        } else if (kind == 2) { /* Stored values as in DICOM. */
            for (i = 0; i < (int)count; i++) {
                stored[i] = (uint16_t)(packed[i] + 1024);
            }
            buffer.voxels = stored;
            buffer.element = SEGVOL_ELEMENT_U16;
            buffer.intercept = -1024.0;
        }
        OK(segvol_volume_from_buffer(&buffer, &volume));
        OK(segvol_study_new(model, volume, NULL, &study));
        OK(segvol_study_segment(study, &prompt, &mask));
        OK(segvol_mask_copy(mask, kind == 0 ? first : again, count, NULL));
        CHECK(kind == 0 || memcmp(first, again, count) == 0);
        segvol_mask_free(mask);
        segvol_study_free(study);
        segvol_volume_free(volume);
    }
    free(packed);
    free(wide);
    free(stored);
    free(first);
    free(again);
}

static size_t count_inside(const SegvolMask *mask)
{
    SegvolMaskStatistics statistics;

    OK(segvol_mask_statistics_init(&statistics, sizeof statistics));
    OK(segvol_mask_statistics(mask, 1, &statistics));
    return statistics.voxels;
}

/* The masks and the label map of a result of two objects, after postprocessing. */
static void postprocessed(const SegvolResult *result)
{
    size_t count = (size_t)NI * NJ * NK, n;
    SegvolPostprocessing steps;
    SegvolMask *const untouched = (SegvolMask *)(void *)&steps;
    SegvolMask *raw = NULL, *mask = untouched, *map = NULL, *same = NULL;
    const uint8_t *before = NULL, *after = NULL;
    char *json = NULL;

    FAILS(segvol_postprocessing_init(&steps, 0), SEGVOL_STATUS_ARGUMENT, "postprocessing: expected `size`");
    OK(segvol_postprocessing_init(&steps, sizeof steps));
    FAILS(segvol_result_mask_with(result, 2, &steps, &mask, NULL), SEGVOL_STATUS_INDEX, "index: expected less than 2");
    steps.smooth_mm = 51.0;
    FAILS(segvol_result_mask_with(result, 0, &steps, &mask, NULL), SEGVOL_STATUS_ARGUMENT,
          "postprocessing.smooth_mm: expected a number of millimetres");
    steps.smooth_mm = 0.0;
    steps.neighbours = 8;
    FAILS(segvol_result_mask_with(result, 0, &steps, &mask, &json), SEGVOL_STATUS_ARGUMENT,
          "postprocessing.neighbours: expected 6, 18 or 26, found 8");
    steps.neighbours = 6;
    steps.fill_holes = 2;
    FAILS(segvol_result_label_map_with(result, &steps, &mask), SEGVOL_STATUS_ARGUMENT,
          "postprocessing.fill_holes: expected 0 or 1");
    CHECK(mask == untouched && json == NULL);

    /* Without a step, the masks are those of the model. */
    steps.fill_holes = 0;
    OK(segvol_result_mask(result, 0, &raw));
    OK(segvol_result_mask_with(result, 0, &steps, &mask, NULL));
    OK(segvol_mask_voxels(raw, &before));
    OK(segvol_mask_voxels(mask, &after));
    CHECK(memcmp(before, after, count) == 0);
    segvol_mask_free(mask);
    OK(segvol_result_label_map(result, &map));
    OK(segvol_result_label_map_with(result, &steps, &same));
    OK(segvol_mask_voxels(map, &before));
    OK(segvol_mask_voxels(same, &after));
    CHECK(memcmp(before, after, count) == 0);
    segvol_mask_free(same);
    segvol_mask_free(map);

    /* The largest component is a part of the mask, and the record says what is gone. */
    steps.largest_component = 1;
    OK(segvol_result_mask_with(result, 0, &steps, &mask, &json));
    CHECK(strstr(json, "\"largest_component\"") != NULL && strstr(json, "\"warnings\"") != NULL);
    segvol_string_free(json);
    OK(segvol_mask_voxels(raw, &before));
    OK(segvol_mask_voxels(mask, &after));
    for (n = 0; n < count; n++) {
        CHECK(after[n] <= before[n]);
    }
    CHECK(count_inside(mask) > 0 && count_inside(mask) < count_inside(raw));
    OK(segvol_result_label_map_with(result, &steps, &map));
    CHECK(count_inside(map) > 0 && count_inside(map) <= count_inside(mask));
    segvol_mask_free(map);
    segvol_mask_free(mask);
    segvol_mask_free(raw);

    /* Nothing is this large. */
    steps.min_volume_ml = 1e6;
    OK(segvol_result_mask_with(result, 1, &steps, &mask, &json));
    CHECK(count_inside(mask) == 0 && strstr(json, "mask_empty") != NULL);
    segvol_string_free(json);
    segvol_mask_free(mask);
}

static void masks(const SegvolModel *model, const char *folder)
{
    size_t count = (size_t)NI * NJ * NK, shape[3], n, inside = 0;
    SegvolStudy *study = make_study(model);
    SegvolPrompt two[2];
    SegvolResult *result = NULL;
    SegvolMask *const untouched = (SegvolMask *)(void *)&model;
    SegvolMask *mask = untouched, *map = NULL;
    SegvolMaskStatistics statistics;
    SegvolStudyStatistics done;
    uint8_t *copy = malloc(count), *spread = malloc(2 * count);
    uint16_t *words = malloc(count * sizeof *words);
    const uint8_t *voxels = NULL;
    ptrdiff_t strides[3] = {2 * NJ * NK, 2 * NK, 2}, bad[3] = {1, NI, -NI * NJ};
    char path[1024], *report = NULL;
    FILE *file;

    CHECK(copy != NULL && spread != NULL && words != NULL);
    two[0] = named("liver");
    two[1] = named("spleen");
    two[1].name = "the second";
    OK(segvol_study_segment_all(study, two, 2, NULL, NULL, &result));
    CHECK(segvol_result_len(result) == 2);
    FAILS(segvol_study_statistics_init(&done, 0), SEGVOL_STATUS_ARGUMENT, "statistics");
    done.size = 0;
    FAILS(segvol_study_statistics(study, &done), SEGVOL_STATUS_ARGUMENT, "statistics");
    OK(segvol_study_statistics_init(&done, sizeof done));
    OK(segvol_study_statistics(study, &done));
    CHECK(done.size == sizeof done && done.windows_encoded > 0 && done.windows_reused > 0 && done.windows_loaded == 0);

    /* A result does not need the handle of its study. */
    segvol_study_free(study);
    FAILS(segvol_result_mask(result, 2, &mask), SEGVOL_STATUS_INDEX, "index: expected less than 2");
    CHECK(mask == untouched);
    OK(segvol_result_mask(result, 0, &mask));
    OK(segvol_result_label_map(result, &map));
    postprocessed(result);
    OK(segvol_result_report(result, &report));
    CHECK(strstr(report, "\"the second\"") != NULL && strstr(report, "windows_encoded") != NULL);
    segvol_string_free(report);
    segvol_result_free(result);

    OK(segvol_mask_shape(mask, shape));
    CHECK(shape[0] == NI && shape[1] == NJ && shape[2] == NK);
    OK(segvol_mask_voxels(mask, &voxels));
    memset(copy, 9, count);
    FAILS(segvol_mask_copy(mask, copy, count - 1, NULL), SEGVOL_STATUS_BUFFER, "len: expected at least");
    FAILS(segvol_mask_copy(mask, copy, count, bad), SEGVOL_STATUS_STRIDE, "strides: expected positive");
    FAILS(segvol_mask_copy(mask, spread, 2 * count - 2, strides), SEGVOL_STATUS_BUFFER, "len: expected at least");
    FAILS(segvol_mask_copy_u16(mask, words, count - 1, NULL), SEGVOL_STATUS_BUFFER, "len: expected at least");
    CHECK(copy[0] == 9);
    OK(segvol_mask_copy(mask, copy, count, NULL));
    CHECK(memcmp(copy, voxels, count) == 0);
    OK(segvol_mask_copy_u16(mask, words, count, NULL));
    memset(spread, 7, 2 * count);
    OK(segvol_mask_copy(mask, spread, 2 * count - 1, strides));
    for (n = 0; n < count; n++) {
        size_t i = n % NI, j = n / NI % NJ, k = n / NI / NJ;
        size_t at = i * (2 * NJ * NK) + j * (2 * NK) + k * 2;

        CHECK(voxels[n] <= 1 && words[n] == voxels[n]);
        CHECK(spread[at] == voxels[n] && spread[at + 1] == 7);
        inside += voxels[n];
    }

    FAILS(segvol_mask_statistics_init(&statistics, 0), SEGVOL_STATUS_ARGUMENT, "statistics");
    statistics.size = 3;
    FAILS(segvol_mask_statistics(mask, 1, &statistics), SEGVOL_STATUS_ARGUMENT, "statistics");
    OK(segvol_mask_statistics_init(&statistics, sizeof statistics));
    OK(segvol_mask_statistics(mask, 1, &statistics));
    CHECK(inside > 0 && statistics.voxels == inside);
    CHECK(fabs(statistics.volume_ml - (double)inside * 2.0 / 1000.0) < 1e-9);
    for (n = 0; n < 3; n++) {
        CHECK(statistics.box_min[n] <= statistics.box_max[n] && statistics.box_max[n] < shape[n]);
    }
    OK(segvol_mask_statistics(mask, 77, &statistics));
    CHECK(statistics.voxels == 0 && statistics.volume_ml == 0.0 && statistics.box_max[0] == 0);

    FAILS(segvol_mask_save(mask, "mask.png"), SEGVOL_STATUS_WRITE, "path: mask.png");
    FAILS(segvol_mask_save(mask, "/nonexistent/mask.nii"), SEGVOL_STATUS_WRITE, "path: /nonexistent/mask.nii");
    FAILS(segvol_mask_save(mask, "\xff"), SEGVOL_STATUS_UTF8, "path: expected UTF-8");
    snprintf(path, sizeof path, "%s/map.nii", folder);
    OK(segvol_mask_save(map, path));
    file = fopen(path, "rb");
    CHECK(file != NULL && fseek(file, 0, SEEK_END) == 0 && ftell(file) == (long)(352 + count));
    fclose(file);
    segvol_mask_free(map);
    segvol_mask_free(mask);
    free(copy);
    free(spread);
    free(words);
}

/* The bundle's names are "liver", "left kidney" and "spine", also called "vertebral column". */
static void names(const SegvolModel *model, const char *without_names)
{
    SegvolModel *other = open_model(without_names);
    SegvolStudy *study = make_study(model);
    SegvolPrompt three[3];
    SegvolResult *result = NULL;
    char untouched = 'x', *json = NULL;

    OK(segvol_model_names(model, &json));
    CHECK(strstr(json, "\"left kidney\"") != NULL && strstr(json, "\"vertebral column\"") != NULL);
    segvol_string_free(json);
    json = &untouched;
    OK(segvol_model_check_name(model, "LIVER", &json));
    CHECK(json == NULL);
    OK(segvol_model_check_name(model, "vertebral column", &json));
    CHECK(json == NULL);
    OK(segvol_model_check_name(model, "kidney_left", &json));
    CHECK(json != NULL && strstr(json, "\"spelling\"") != NULL && strstr(json, "did you mean \\\"left kidney\\\"?") != NULL);
    segvol_string_free(json);
    json = &untouched;
    FAILS(segvol_model_check_name(model, "\xff", &json), SEGVOL_STATUS_UTF8, "text: expected UTF-8");
    CHECK(json == &untouched);

    /* Without a list, every name is taken to be known. */
    OK(segvol_model_check_name(other, "kidney_left", &json));
    CHECK(json == NULL);
    OK(segvol_model_names(other, &json));
    CHECK(strcmp(json, "null") == 0);
    segvol_string_free(json);
    segvol_model_free(other);

    three[0] = named("liver");
    three[1] = named("pancreas");
    three[2] = named("spine");
    three[2].name = "liver";
    OK(segvol_study_segment_all(study, three, 3, NULL, NULL, &result));
    json = &untouched;
    FAILS(segvol_result_warnings(result, 3, &json), SEGVOL_STATUS_INDEX, "index: expected less than 3");
    CHECK(json == &untouched);
    OK(segvol_result_warnings(result, 0, &json));
    CHECK(json[0] == '[' && strstr(json, "name_") == NULL);
    segvol_string_free(json);
    OK(segvol_result_warnings(result, 1, &json));
    CHECK(strstr(json, "\"name_unknown\"") != NULL && strstr(json, "pancreas") != NULL);
    segvol_string_free(json);
    OK(segvol_result_warnings(result, 2, &json));
    CHECK(strstr(json, "\"name_duplicate\"") != NULL && strstr(json, "objects 1 and 3") != NULL);
    segvol_string_free(json);
    segvol_result_free(result);
    segvol_study_free(study);
}

typedef struct Steps {
    size_t calls, stop_at, total;
} Steps;

static int step(size_t done, size_t total, void *user_data)
{
    Steps *steps = user_data;

    steps->calls++;
    steps->total = total;
    CHECK(done == steps->calls && done <= total);
    return done == steps->stop_at ? 42 : 0;
}

/* Stops a call in the middle. The next call uses the windows that were already encoded. */
static void cancel(const SegvolModel *model)
{
    SegvolStudy *study = make_study(model);
    SegvolPrompt prompt = named("liver");
    SegvolResult *result = NULL;
    SegvolStudyStatistics done;
    Steps steps = {0, 2, 0};
    uint64_t encoded;

    OK(segvol_study_statistics_init(&done, sizeof done));
    FAILS(segvol_study_segment_all(study, &prompt, 1, step, &steps, &result), SEGVOL_STATUS_CANCELLED, "cancelled");
    CHECK(result == NULL && steps.calls == 2 && steps.total > 3);
    OK(segvol_study_statistics(study, &done));
    encoded = done.windows_encoded;
    CHECK(encoded == 2);
    steps.calls = 0;
    steps.stop_at = 0;
    OK(segvol_study_segment_all(study, &prompt, 1, step, &steps, &result));
    CHECK(steps.calls == steps.total);
    OK(segvol_study_statistics(study, &done));
    CHECK(done.windows_encoded == steps.total); /* No window is encoded twice. */
    segvol_result_free(result);
    segvol_study_free(study);
}

/* Logits and probabilities agree with the mask, voxel by voxel. */
static void values(const SegvolModel *model)
{
    size_t count = (size_t)NI * NJ * NK, shape[3], n, inside = 0, outside = 0;
    SegvolStudy *study = make_study(model);
    SegvolPrompt prompt = named("liver");
    SegvolResult *result = NULL;
    SegvolMask *mask = NULL;
    const uint8_t *voxels = NULL;
    float *logits = malloc(count * sizeof *logits), *probabilities = malloc(count * sizeof *probabilities);

    CHECK(logits != NULL && probabilities != NULL);
    OK(segvol_study_segment_all(study, &prompt, 1, NULL, NULL, &result));
    segvol_study_free(study);
    OK(segvol_result_shape(result, shape));
    CHECK(shape[0] == NI && shape[1] == NJ && shape[2] == NK);
    OK(segvol_result_mask(result, 0, &mask));
    OK(segvol_mask_voxels(mask, &voxels));
    logits[0] = 77.0F;
    FAILS(segvol_result_logits(result, 1, logits, count), SEGVOL_STATUS_INDEX, "index: expected less than 1");
    FAILS(segvol_result_logits(result, 0, logits, count - 1), SEGVOL_STATUS_BUFFER, "len: expected at least");
    FAILS(segvol_result_probabilities(result, 1, logits, count), SEGVOL_STATUS_INDEX, "index: expected less than 1");
    FAILS(segvol_result_probabilities(result, 0, logits, 0), SEGVOL_STATUS_BUFFER, "len: expected at least");
    CHECK(logits[0] == 77.0F);
    OK(segvol_result_logits(result, 0, logits, count));
    OK(segvol_result_probabilities(result, 0, probabilities, count + 5));
    for (n = 0; n < count; n++) {
        CHECK((logits[n] > 0.0F) == (voxels[n] == 1));
        CHECK(probabilities[n] >= 0.0F && probabilities[n] <= 1.0F && (!isnan(logits[n]) || probabilities[n] == 0.0F));
        CHECK(!(logits[n] > 0.001F) || probabilities[n] > 0.5F);
        CHECK(!(logits[n] < -0.001F) || probabilities[n] < 0.5F);
        inside += logits[n] > 0.0F;
        outside += isnan(logits[n]) != 0;
    }
    CHECK(inside > 0 && outside > 0 && inside + outside < count);
    free(logits);
    free(probabilities);
    segvol_mask_free(mask);
    segvol_result_free(result);
}

/* A threshold cuts the mask and changes no logit; logits and probabilities are written on the scan's grid. */
static void threshold(const SegvolModel *model, const char *folder)
{
    size_t count = (size_t)NI * NJ * NK, shape[3], n, low = 0, high = 0;
    SegvolVolume *volume = take_scan(), *map = NULL;
    SegvolPrompt prompt = named("liver");
    float *logits = malloc(count * sizeof *logits), *again = malloc(count * sizeof *again);
    char path[4096], wrong[4096];
    double threshold;

    CHECK(logits != NULL && again != NULL);
    snprintf(path, sizeof path, "%s/map.nii.gz", folder);
    snprintf(wrong, sizeof wrong, "%s/map.png", folder);
    for (threshold = 0.3; threshold < 0.8; threshold += 0.4) {
        SegvolStudy *study = NULL;
        SegvolResult *result = NULL;
        SegvolMask *mask = NULL;
        SegvolOptions options;
        const uint8_t *voxels = NULL;
        double cut = threshold < 0.5 ? -0.8472978603872037 : 0.8472978603872037; /* ln(0.7 / 0.3) */

        OK(segvol_options_init(&options, sizeof options));
        options.threshold = threshold;
        OK(segvol_study_new(model, volume, &options, &study));
        OK(segvol_study_segment_all(study, &prompt, 1, NULL, NULL, &result));
        OK(segvol_result_mask(result, 0, &mask));
        OK(segvol_mask_voxels(mask, &voxels));
        OK(segvol_result_logits(result, 0, threshold < 0.5 ? logits : again, count));
        for (n = 0; n < count; n++) {
            double logit = threshold < 0.5 ? logits[n] : again[n];

            CHECK(isnan(logit) || fabs(logit - cut) < 1e-5 || (logit > cut) == (voxels[n] == 1));
            *(threshold < 0.5 ? &low : &high) += voxels[n];
        }
        OK(segvol_result_save_logits(result, 0, path, SEGVOL_FLOAT_TYPE_FLOAT32));
        OK(segvol_result_save_probabilities(result, 0, path, SEGVOL_FLOAT_TYPE_FLOAT16));
        FAILS(segvol_result_save_logits(result, 1, path, SEGVOL_FLOAT_TYPE_FLOAT32), SEGVOL_STATUS_INDEX, "index");
        FAILS(segvol_result_save_logits(result, 0, path, 2), SEGVOL_STATUS_ARGUMENT, "float_type: expected");
        FAILS(segvol_result_save_probabilities(result, 0, wrong, 0), SEGVOL_STATUS_WRITE, "path: ");
        segvol_mask_free(mask);
        segvol_result_free(result);
        segvol_study_free(study);
    }
    CHECK(memcmp(logits, again, count * sizeof *logits) == 0 && low > high);
    OK(segvol_volume_open(path, &map));
    OK(segvol_volume_shape(map, shape));
    CHECK(shape[0] == NI && shape[1] == NJ && shape[2] == NK);
    segvol_volume_free(map);
    segvol_volume_free(volume);
    free(logits);
    free(again);
}

typedef struct Seen {
    SegvolStudy *study;
    SegvolMask *mask;
    size_t coarse, steps;
    int answer;
} Seen;

/* Keeps the coarse mask of the second object, and tries what a callback may do. */
static int look(const SegvolResult *coarse, void *user_data)
{
    Seen *seen = user_data;
    SegvolStudyStatistics now;
    SegvolMask *mask = NULL, *map = NULL;
    size_t shape[3];
    char *report = NULL;

    seen->coarse++;
    CHECK(seen->steps == 0); /* Before the first progress. */
    CHECK(segvol_result_len(coarse) == 2);
    OK(segvol_result_shape(coarse, shape));
    CHECK(shape[0] == NI && shape[1] == NJ && shape[2] == NK);
    FAILS(segvol_result_mask(coarse, 2, &mask), SEGVOL_STATUS_INDEX, "index: expected less than 2");
    OK(segvol_result_label_map(coarse, &map));
    segvol_mask_free(map);
    OK(segvol_result_report(coarse, &report));
    CHECK(strstr(report, "\"the second\"") != NULL);
    segvol_string_free(report);
    if (seen->study != NULL) {
        OK(segvol_study_statistics_init(&now, sizeof now));
        OK(segvol_study_statistics(seen->study, &now));
        CHECK(now.windows_encoded == 1);
        if (seen->answer == 2) {
            OK(segvol_study_cancel(seen->study));
        }
        segvol_study_free(seen->study); /* The call keeps the study alive. */
        seen->study = NULL;
    }
    segvol_mask_free(seen->mask);
    OK(segvol_result_mask(coarse, 1, &seen->mask));
    return seen->answer == 1 ? 7 : 0;
}

static int count(size_t done, size_t total, void *user_data)
{
    Seen *seen = user_data;

    seen->steps++;
    CHECK(done == seen->steps && done <= total);
    return 0;
}

/* The coarse masks come after one window. They are those of a study without a zoom-in pass, and outlive the callback. */
static void coarse(const SegvolModel *model)
{
    size_t voxels = (size_t)NI * NJ * NK;
    SegvolVolume *volume = take_scan();
    SegvolStudy *study = make_study(model), *fast = NULL;
    SegvolPrompt two[2];
    SegvolOptions options;
    SegvolCallbacks callbacks;
    SegvolResult *result = NULL;
    SegvolMask *mask = NULL, *end = NULL;
    const uint8_t *expected = NULL, *found = NULL;
    Seen seen = {NULL, NULL, 0, 0, 0};

    two[0] = named("liver");
    two[1] = named("spleen");
    two[1].name = "the second";
    OK(segvol_options_init(&options, sizeof options));
    options.zoom_in = 0;
    OK(segvol_study_new(model, volume, &options, &fast));
    OK(segvol_study_segment(fast, &two[1], &mask));
    OK(segvol_mask_voxels(mask, &expected));

    FAILS(segvol_callbacks_init(&callbacks, 8), SEGVOL_STATUS_ARGUMENT, "callbacks: expected `size`");
    OK(segvol_callbacks_init(&callbacks, sizeof callbacks));
    CHECK(callbacks.progress == NULL && callbacks.coarse == NULL && callbacks.user_data == NULL);
    callbacks.progress = count;
    callbacks.coarse = look;
    callbacks.user_data = &seen;
    callbacks.size = 3;
    FAILS(segvol_study_segment_with(study, two, 2, &callbacks, &result), SEGVOL_STATUS_ARGUMENT, "callbacks: expected `size`");
    callbacks.size = sizeof callbacks;
    seen.study = make_study(model);
    OK(segvol_study_segment_with(seen.study, two, 2, &callbacks, &result));
    CHECK(seen.coarse == 1 && seen.steps > 2 && seen.study == NULL);
    OK(segvol_mask_voxels(seen.mask, &found));
    CHECK(memcmp(found, expected, voxels) == 0);
    OK(segvol_result_mask(result, 1, &end));
    OK(segvol_mask_voxels(end, &found));
    CHECK(memcmp(found, expected, voxels) != 0); /* The zoom-in pass has changed it. */
    segvol_mask_free(end);
    segvol_result_free(result);
    result = NULL;

    /* It can stop the call, unless nothing follows; so can segvol_study_cancel() in it. */
    for (seen.answer = 1; seen.answer <= 2; seen.answer++) {
        seen.steps = 0;
        seen.study = make_study(model);
        FAILS(segvol_study_segment_with(seen.study, two, 2, &callbacks, &result), SEGVOL_STATUS_CANCELLED, "cancelled");
        CHECK(result == NULL && seen.study == NULL && (seen.answer == 2 || seen.steps == 0));
        OK(segvol_mask_voxels(seen.mask, &found));
        CHECK(memcmp(found, expected, voxels) == 0);
    }
    seen.answer = 1;
    seen.steps = 0;
    OK(segvol_study_segment_with(fast, two, 2, &callbacks, &result));
    CHECK(seen.coarse == 4);
    segvol_result_free(result);

    /* No callbacks, or only one of them. */
    OK(segvol_study_segment_with(study, two, 2, NULL, &result));
    segvol_result_free(result);
    callbacks.coarse = NULL;
    seen.steps = 0;
    OK(segvol_study_segment_with(study, two, 2, &callbacks, &result));
    CHECK(seen.coarse == 4 && seen.steps > 2);
    segvol_result_free(result);

    segvol_mask_free(seen.mask);
    segvol_mask_free(mask);
    segvol_study_free(study);
    segvol_study_free(fast);
    segvol_volume_free(volume);
}

static int cancel_at_once(size_t done, size_t total, void *user_data)
{
    OK(segvol_study_cancel(user_data));
    return done > total;
}

/* Waits until a call has done a window, and stops it. */
static void *stop(void *user_data)
{
    SegvolStudy *study = user_data;
    SegvolStudyStatistics now;

    OK(segvol_study_statistics_init(&now, sizeof now));
    do {
        OK(segvol_study_statistics(study, &now));
    } while (now.windows_done == 0 && now.windows_encoded < 4);
    CHECK(now.windows_done <= now.windows_total);
    OK(segvol_study_cancel(study));
    return NULL;
}

/* A study is stopped in a callback, before a call, and by another thread. */
static void cancel_study(const SegvolModel *model)
{
    SegvolStudy *study = make_study(model);
    SegvolPrompt prompt = named("liver");
    SegvolResult *result = NULL;
    SegvolMask *mask = NULL;
    SegvolStudyStatistics now;
    int stopped = 0, round;

    FAILS(segvol_study_segment_all(study, &prompt, 1, cancel_at_once, study, &result), SEGVOL_STATUS_CANCELLED,
          "segvol_study_cancel()");
    FAILS(segvol_study_segment(study, &prompt, &mask), SEGVOL_STATUS_CANCELLED, "segvol_study_resume()");
    CHECK(result == NULL && mask == NULL);
    OK(segvol_study_resume(study));
    OK(segvol_study_segment(study, &prompt, &mask));
    segvol_mask_free(mask);
    OK(segvol_study_statistics_init(&now, sizeof now));
    OK(segvol_study_statistics(study, &now));
    CHECK(now.windows_done == 0 && now.windows_total == 0); /* No call is running. */
    now.windows_done = 5;
    now.size = offsetof(SegvolStudyStatistics, windows_done); /* An older program does not have the field. */
    OK(segvol_study_statistics(study, &now));
    CHECK(now.windows_done == 5);
    segvol_study_free(study);

    /* A call that is nearly done when the thread comes returns its result. */
    for (round = 0; round < 20 && !stopped; round++) {
        pthread_t other;
        SegvolStatus status;

        study = make_study(model);
        CHECK(pthread_create(&other, NULL, stop, study) == 0);
        status = segvol_study_segment(study, &prompt, &mask);
        CHECK(pthread_join(other, NULL) == 0);
        stopped = status == SEGVOL_STATUS_CANCELLED;
        CHECK(stopped || status == SEGVOL_STATUS_OK);
        if (!stopped) {
            segvol_mask_free(mask);
        }
        segvol_study_free(study);
    }
    CHECK(stopped);
}

/* Every window is done when the callback asks to stop: the result is complete, and is returned. */
static void stop_at_the_end(const SegvolModel *model)
{
    SegvolStudy *study = make_study(model);
    SegvolPrompt prompt = named("liver");
    SegvolResult *result = NULL;
    Steps steps = {0, 0, 0};

    OK(segvol_study_segment_all(study, &prompt, 1, step, &steps, &result));
    segvol_result_free(result);
    steps.stop_at = steps.total;
    steps.calls = 0;
    OK(segvol_study_segment_all(study, &prompt, 1, step, &steps, &result));
    segvol_result_free(result);
    segvol_study_free(study);
}

typedef struct Freed {
    SegvolStudy *study;
} Freed;

static int free_it(size_t done, size_t total, void *user_data)
{
    Freed *freed = user_data;
    SegvolStudyStatistics statistics;

    (void)done;
    (void)total;
    OK(segvol_study_statistics_init(&statistics, sizeof statistics));
    if (freed->study != NULL) {
        OK(segvol_study_statistics(freed->study, &statistics)); /* A callback may call the library. */
        segvol_study_free(freed->study);                        /* Also this: the call keeps the study alive. */
        freed->study = NULL;
    }
    return 0;
}

static void free_in_callback(const SegvolModel *model)
{
    Freed freed;
    SegvolPrompt prompt = named("liver");
    SegvolResult *result = NULL;

    freed.study = make_study(model);
    OK(segvol_study_segment_all(freed.study, &prompt, 1, free_it, &freed, &result));
    CHECK(segvol_result_len(result) == 1);
    segvol_result_free(result);
}

static void infinite(const char *bundle)
{
    SegvolModel *model = open_model(bundle);
    SegvolStudy *study = make_study(model);
    SegvolPrompt prompt = named("liver");
    SegvolMask *mask = NULL;

    FAILS(segvol_study_segment(study, &prompt, &mask), SEGVOL_STATUS_NOT_FINITE, "expected finite numbers");
    segvol_study_free(study);
    segvol_model_free(model);
}

/* An open bundle still works after its folder was moved. It is refused after one of its files was changed. */
static void vanished(const char *copy)
{
    SegvolModel *model = open_model(copy), *again = NULL;
    SegvolStudy *study = make_study(model);
    SegvolPrompt prompt = named("liver");
    SegvolMask *mask = NULL;
    char elsewhere[1024], tokenizer[1024];
    FILE *file;

    snprintf(elsewhere, sizeof elsewhere, "%s.elsewhere", copy);
    CHECK(rename(copy, elsewhere) == 0);
    OK(segvol_study_segment(study, &prompt, &mask));
    segvol_mask_free(mask);
    mask = NULL;
    FAILS(segvol_model_open(copy, NULL, &again), SEGVOL_STATUS_BUNDLE, copy);
    CHECK(rename(elsewhere, copy) == 0);

    snprintf(tokenizer, sizeof tokenizer, "%s/tokenizer.json", copy);
    file = fopen(tokenizer, "ab");
    CHECK(file != NULL && fputc(' ', file) == ' ' && fclose(file) == 0);
    FAILS(segvol_study_segment(study, &prompt, &mask), SEGVOL_STATUS_BUNDLE, tokenizer);
    FAILS(segvol_model_open(copy, NULL, &again), SEGVOL_STATUS_BUNDLE, tokenizer);
    CHECK(mask == NULL && again == NULL);
    segvol_study_free(study);
    segvol_model_free(model);
}

int main(int argc, char **argv)
{
    SegvolModel *model;

    CHECK(argc == 5);
    model = open_model(argv[1]);
    orders(model);
    masks(model, argv[3]);
    names(model, argv[2]);
    cancel(model);
    cancel_study(model);
    coarse(model);
    stop_at_the_end(model);
    values(model);
    threshold(model, argv[3]);
    free_in_callback(model);
    infinite(argv[2]);
    vanished(argv[4]);
    segvol_model_free(model);
    printf("results: passed\n");
    return 0;
}

/* Shared by the tests in C: checks that report where they failed, and a scan that is made in memory. */

#ifndef CHECK_H
#define CHECK_H

#include <segvol.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                              \
    do {                                                                              \
        if (!(condition)) {                                                           \
            fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);   \
            exit(1);                                                                  \
        }                                                                             \
    } while (0)

/* The call succeeds. */
#define OK(call) check_status(call, SEGVOL_STATUS_OK, NULL, #call, __FILE__, __LINE__)

/* The call fails with this status, and its message contains this part. */
#define FAILS(call, status, part) check_status(call, status, part, #call, __FILE__, __LINE__)

static inline void check_status(SegvolStatus found, SegvolStatus expected, const char *part, const char *call, const char *file,
                         int line)
{
    if (found != expected) {
        fprintf(stderr, "%s:%d: %s: expected %s, found %s: %s\n", file, line, call, segvol_status_name(expected),
                segvol_status_name(found), segvol_last_error());
        exit(1);
    }
    if (part != NULL && strstr(segvol_last_error(), part) == NULL) {
        fprintf(stderr, "%s:%d: %s: no \"%s\" in: %s\n", file, line, call, part, segvol_last_error());
        exit(1);
    }
}

enum { NI = 72, NJ = 60, NK = 28 };

/* Hounsfield units of a body with a ball in it, in air. */
static inline int hounsfield(int i, int j, int k)
{
    int x = i - NI / 2, y = j - NJ / 2, z = 2 * (k - NK / 2);

    if (x * x + y * y + z * z < 14 * 14) {
        return 130;
    }
    return x * x + 2 * y * y < 32 * 32 ? 20 + (i * 7 + j * 3 + k) % 23 : -1000;
}

/* Draws the scan as int16_t, i fastest. The caller frees it with free(). */
static inline int16_t *draw(void)
{
    int16_t *voxels = malloc(sizeof *voxels * NI * NJ * NK);
    int i, j, k;

    CHECK(voxels != NULL);
    for (k = 0; k < NK; k++) {
        for (j = 0; j < NJ; j++) {
            for (i = 0; i < NI; i++) {
                voxels[(k * NJ + j) * NI + i] = (int16_t)hounsfield(i, j, k);
            }
        }
    }
    return voxels;
}

/* Describes the scan: voxels of 1 x 1 x 2 mm, axes to the left, back and head. */
static inline SegvolBuffer describe(const void *voxels)
{
    SegvolBuffer buffer;

    OK(segvol_buffer_init(&buffer, sizeof buffer));
    buffer.voxels = voxels;
    buffer.element = SEGVOL_ELEMENT_I16;
    buffer.geometry = SEGVOL_GEOMETRY_PARTS_LPS;
    buffer.shape[0] = NI;
    buffer.shape[1] = NJ;
    buffer.shape[2] = NK;
    buffer.spacing[0] = 1.0;
    buffer.spacing[1] = 1.0;
    buffer.spacing[2] = 2.0;
    buffer.origin[0] = -30.0;
    buffer.origin[1] = 10.0;
    buffer.origin[2] = -200.0;
    return buffer;
}

static inline SegvolModel *open_model(const char *bundle)
{
    SegvolOptions options;
    SegvolModel *model = NULL;

    OK(segvol_options_init(&options, sizeof options));
    options.provider = "cpu";
    options.threads = 1;
    OK(segvol_model_open(bundle, &options, &model));
    CHECK(model != NULL);
    return model;
}

static inline SegvolVolume *take_scan(void)
{
    int16_t *voxels = draw();
    SegvolBuffer buffer = describe(voxels);
    SegvolVolume *volume = NULL;

    OK(segvol_volume_from_buffer(&buffer, &volume));
    free(voxels); /* The volume is a copy. */
    return volume;
}

static inline SegvolStudy *make_study(const SegvolModel *model)
{
    SegvolVolume *volume = take_scan();
    SegvolStudy *study = NULL;

    OK(segvol_study_new(model, volume, NULL, &study));
    segvol_volume_free(volume);
    return study;
}

static inline SegvolPrompt named(const char *text)
{
    SegvolPrompt prompt;

    OK(segvol_prompt_init(&prompt, sizeof prompt));
    prompt.text = text;
    return prompt;
}

#endif

/*
 * Opening, volumes, prompts, providers and the log: every function, and every status that a program can provoke. The message
 * must name the argument. results.c has the rest. Usage: api BUNDLE SCAN.nii.gz
 */

#include "check.h"

#include <math.h>

static void versions(void)
{
    char expected[64];

    CHECK(segvol_abi_version() == SEGVOL_ABI_VERSION);
    snprintf(expected, sizeof expected, "%d.%d.%d", SEGVOL_VERSION_MAJOR, SEGVOL_VERSION_MINOR, SEGVOL_VERSION_PATCH);
    CHECK(strcmp(segvol_version(), expected) == 0);
    CHECK(strcmp(segvol_status_name(SEGVOL_STATUS_OK), "SEGVOL_STATUS_OK") == 0);
    CHECK(strcmp(segvol_status_name(SEGVOL_STATUS_WRITE), "SEGVOL_STATUS_WRITE") == 0);
    CHECK(strcmp(segvol_status_name(12345), "unknown status") == 0);
    CHECK(strcmp(segvol_last_error(), "") == 0);
    CHECK(segvol_onnxruntime_version() == NULL); /* Nothing is loaded yet. */
}

/* Runs before a library is loaded, and again afterwards. */
static void missing_library(const char *bundle, int loaded)
{
    SegvolOptions options;
    SegvolModel *model = NULL;
    SegvolProviders *providers = NULL;

    OK(segvol_options_init(&options, sizeof options));
    options.library = "/nonexistent/libonnxruntime.so";
    FAILS(segvol_model_open(bundle, &options, &model), SEGVOL_STATUS_LIBRARY,
          loaded ? "can load only one" : "options.library: ONNX Runtime `/nonexistent/libonnxruntime.so`: there is no such file");
    FAILS(segvol_providers_new("/nonexistent/libonnxruntime.so", &providers), SEGVOL_STATUS_LIBRARY,
          "library: ONNX Runtime `/nonexistent/");
    CHECK(model == NULL && providers == NULL);
}

static void opening(const char *bundle)
{
    const char *unknown_option[] = {"cpu.nonsense=1"}, *known_option[] = {"cpu.spin=off"};
    const char *bad_stages[] = {"decoder=cpu", "mask_decoder=gpu", "mask_decoder", "mask_decoder=auto"};
    const SegvolStatus stage_status[] = {SEGVOL_STATUS_PROVIDER_UNKNOWN, SEGVOL_STATUS_PROVIDER_UNKNOWN,
                                         SEGVOL_STATUS_PROVIDER_UNKNOWN, SEGVOL_STATUS_OPTION};
    const char *good_stage[] = {"mask_decoder=cpu"};
    SegvolModel *const untouched = (SegvolModel *)(void *)&unknown_option;
    SegvolModel *model = untouched;
    SegvolOptions options;
    char *manifest = NULL;
    int n;

    FAILS(segvol_options_init(&options, 8), SEGVOL_STATUS_ARGUMENT, "options: expected `size`");
    FAILS(segvol_model_open("/nonexistent/bundle", NULL, &model), SEGVOL_STATUS_BUNDLE, "bundle: `/nonexistent/bundle`");
    FAILS(segvol_model_open("\xff\xfe", NULL, &model), SEGVOL_STATUS_UTF8, "bundle: expected UTF-8");

    memset(&options, 0, sizeof options); /* Not initialised. */
    FAILS(segvol_model_open(bundle, &options, &model), SEGVOL_STATUS_ARGUMENT, "options: expected `size`");

#define REFUSED(field, value, status, part)                              \
    do {                                                                 \
        OK(segvol_options_init(&options, sizeof options));               \
        options.field = value;                                           \
        FAILS(segvol_model_open(bundle, &options, &model), status, part); \
        CHECK(model == untouched);                                       \
    } while (0)
    REFUSED(provider, "gpu", SEGVOL_STATUS_PROVIDER_UNKNOWN, "options.provider: provider `gpu`");
    REFUSED(provider, "\xff", SEGVOL_STATUS_UTF8, "options.provider");
    REFUSED(provider, "coreml", SEGVOL_STATUS_PROVIDER_MISSING, "options.provider: provider `coreml`");
    REFUSED(precision, "fp64", SEGVOL_STATUS_OPTION, "options.precision");
    REFUSED(precision, "int8", SEGVOL_STATUS_BUNDLE, "bundle: ");
    REFUSED(overlap, 1.5, SEGVOL_STATUS_OPTION, "options.overlap: expected");
    REFUSED(overlap, NAN, SEGVOL_STATUS_OPTION, "options.overlap: expected");
    REFUSED(threshold, 0.0, SEGVOL_STATUS_OPTION, "options.threshold: expected a probability");
    REFUSED(threshold, 1.0, SEGVOL_STATUS_OPTION, "options.threshold: expected a probability");
    REFUSED(threshold, NAN, SEGVOL_STATUS_OPTION, "options.threshold: expected a probability");
    REFUSED(threshold, 50.0, SEGVOL_STATUS_OPTION, "50 % is 0.5");
    REFUSED(zoom_in, 2, SEGVOL_STATUS_ARGUMENT, "options.zoom_in");
    REFUSED(orientation, -1, SEGVOL_STATUS_ARGUMENT, "options.orientation");
    REFUSED(orientation, 3, SEGVOL_STATUS_ARGUMENT, "options.orientation");
    REFUSED(axes, "RLS", SEGVOL_STATUS_OPTION, "R and L are the same axis");
    REFUSED(axes, "\xff", SEGVOL_STATUS_UTF8, "options.axes");
    REFUSED(embeddings, "\xff", SEGVOL_STATUS_UTF8, "options.embeddings");
    REFUSED(embeddings, "/dev/null", SEGVOL_STATUS_OPTION, "embeddings: expected a folder");
    REFUSED(size, offsetof(SegvolOptions, axes) + 1, SEGVOL_STATUS_ARGUMENT, "options: expected `size`");
    REFUSED(profile, 7, SEGVOL_STATUS_ARGUMENT, "options.profile");
    REFUSED(straighten, 2, SEGVOL_STATUS_ARGUMENT, "options.straighten");
    REFUSED(provider_options_len, 1, SEGVOL_STATUS_NULL, "options.provider_options");
    REFUSED(stage_providers_len, 1, SEGVOL_STATUS_NULL, "options.stage_providers");
#undef REFUSED

    OK(segvol_options_init(&options, sizeof options));
    options.provider_options = unknown_option;
    options.provider_options_len = 1;
    FAILS(segvol_model_open(bundle, &options, &model), SEGVOL_STATUS_PROVIDER_OPTION, "options.provider_options: ");
    for (n = 0; n < 4; n++) {
        OK(segvol_options_init(&options, sizeof options));
        options.stage_providers = &bad_stages[n];
        options.stage_providers_len = 1;
        FAILS(segvol_model_open(bundle, &options, &model), stage_status[n], "options.stage_providers: ");
    }
    CHECK(model == untouched);

    options.provider = "cpu";
    options.precision = "fp32";
    options.provider_options = known_option;
    options.provider_options_len = 1;
    options.stage_providers = good_stage;
    options.threads = 1;
    options.cache_bytes = 1 << 20;
    options.overlap = 0.25;
    options.zoom_in = 0;
    options.orientation = SEGVOL_ORIENTATION_STORED;
    options.profile = SEGVOL_PROFILE_RELEASED;
    options.axes = "LPS";
    FAILS(segvol_model_open(bundle, &options, &model), SEGVOL_STATUS_ARGUMENT, "SEGVOL_ORIENTATION_MODEL beside `axes`");
    options.size = offsetof(SegvolOptions, axes); /* An older program does not have the field. */
    OK(segvol_model_open(bundle, &options, &model));
    segvol_model_free(model);
    options.size = sizeof options;
    options.orientation = SEGVOL_ORIENTATION_MODEL;
    OK(segvol_model_open(bundle, &options, &model));
    CHECK(model != untouched);
    CHECK(strcmp(segvol_model_provider(model), "cpu") == 0);
    OK(segvol_model_manifest(model, &manifest));
    CHECK(strstr(manifest, "schema_version") != NULL);
    segvol_string_free(manifest);
    segvol_model_free(model);
}

static void volumes(const char *scan)
{
    SegvolVolume *const untouched = (SegvolVolume *)(void *)&scan;
    SegvolVolume *volume = untouched, *other = NULL;
    int16_t *voxels = draw();
    SegvolBuffer good = describe(voxels), buffer;
    SegvolReadOptions options;
    size_t shape[3];
    double affine[12], again[12];
    int n;

    FAILS(segvol_buffer_init(&buffer, 0), SEGVOL_STATUS_ARGUMENT, "buffer: expected `size`");
    FAILS(segvol_volume_open("/nonexistent/scan.nii", &volume), SEGVOL_STATUS_FILE, "path: /nonexistent/scan.nii");
    FAILS(segvol_volume_open("\xff", &volume), SEGVOL_STATUS_UTF8, "path: expected UTF-8");

#define REFUSED(field, value, status, part)                                \
    do {                                                                   \
        buffer = good;                                                     \
        buffer.field = value;                                              \
        FAILS(segvol_volume_from_buffer(&buffer, &volume), status, part);   \
        CHECK(volume == untouched);                                        \
    } while (0)
    REFUSED(size, 0, SEGVOL_STATUS_ARGUMENT, "buffer: expected `size`");
    REFUSED(voxels, NULL, SEGVOL_STATUS_NULL, "buffer.voxels");
    REFUSED(element, 0, SEGVOL_STATUS_ELEMENT, "buffer.element");
    REFUSED(element, 7, SEGVOL_STATUS_ELEMENT, "found 7");
    REFUSED(voxels, (const char *)voxels + 1, SEGVOL_STATUS_ELEMENT, "buffer.voxels");
    REFUSED(shape[1], 0, SEGVOL_STATUS_SHAPE, "buffer.shape: expected 1 to");
    REFUSED(shape[2], SIZE_MAX / 2, SEGVOL_STATUS_SHAPE, "buffer.shape: expected 1 to");
    REFUSED(strides[0], 2, SEGVOL_STATUS_STRIDE, "found [2, 0, 0] bytes"); /* The other two are 0. */
    REFUSED(strides[0], 3, SEGVOL_STATUS_STRIDE, "buffer.strides");    /* Not a multiple of the element's size. */
    REFUSED(geometry, 0, SEGVOL_STATUS_AFFINE, "buffer.geometry");
    REFUSED(geometry, 5, SEGVOL_STATUS_AFFINE, "buffer.geometry");
    REFUSED(geometry, SEGVOL_GEOMETRY_AFFINE_RAS, SEGVOL_STATUS_AFFINE, "buffer.affine"); /* All 0. */
    REFUSED(spacing[2], NAN, SEGVOL_STATUS_AFFINE, "buffer.spacing");
    REFUSED(spacing[0], 0.0, SEGVOL_STATUS_AFFINE, "buffer.spacing");
    REFUSED(spacing[1], -1.0, SEGVOL_STATUS_AFFINE, "buffer.spacing"); /* It would mirror the patient. */
    REFUSED(direction[4], 0.0, SEGVOL_STATUS_AFFINE, "buffer.direction");
    REFUSED(origin[1], INFINITY, SEGVOL_STATUS_AFFINE, "buffer.origin");
    REFUSED(slope, 0.0, SEGVOL_STATUS_ARGUMENT, "buffer.slope");
    REFUSED(intercept, NAN, SEGVOL_STATUS_ARGUMENT, "buffer.intercept");
#undef REFUSED
    buffer = good;
    for (n = 0; n < 3; n++) {
        buffer.strides[n] = PTRDIFF_MAX - 1;
    }
    FAILS(segvol_volume_from_buffer(&buffer, &volume), SEGVOL_STATUS_STRIDE, "buffer.strides");

    /* The same position, given in four ways. */
    OK(segvol_volume_from_buffer(&good, &volume));
    OK(segvol_volume_shape(volume, shape));
    CHECK(shape[0] == NI && shape[1] == NJ && shape[2] == NK);
    OK(segvol_volume_affine(volume, affine));
    for (n = 0; n < 12; n++) {
        buffer = good;
        buffer.geometry = SEGVOL_GEOMETRY_AFFINE_RAS;
        memcpy(buffer.affine, affine, sizeof affine);
        buffer.affine[n] = NAN;
        FAILS(segvol_volume_from_buffer(&buffer, &other), SEGVOL_STATUS_AFFINE, "buffer.affine");
    }
    CHECK(other == NULL);
    CHECK(affine[0] == -1.0 && affine[3] == 30.0 && affine[5] == -1.0 && affine[7] == -10.0);
    CHECK(affine[10] == 2.0 && affine[11] == -200.0);
    segvol_volume_free(volume);
    for (n = SEGVOL_GEOMETRY_AFFINE_RAS; n <= SEGVOL_GEOMETRY_PARTS_RAS; n++) {
        int lps = n == SEGVOL_GEOMETRY_AFFINE_LPS, entry;

        buffer = good;
        buffer.geometry = n;
        for (entry = 0; entry < 12; entry++) {
            buffer.affine[entry] = lps && entry < 8 ? -affine[entry] : affine[entry];
        }
        buffer.direction[0] = buffer.direction[4] = -1.0;
        buffer.origin[0] = 30.0;
        buffer.origin[1] = -10.0;
        OK(segvol_volume_from_buffer(&buffer, &other));
        OK(segvol_volume_affine(other, again));
        for (entry = 0; entry < 12; entry++) {
            CHECK(affine[entry] == again[entry]);
        }
        segvol_volume_free(other);
    }
    free(voxels);

    OK(segvol_volume_open(scan, &volume));
    OK(segvol_volume_shape(volume, shape));
    CHECK(shape[0] > 1 && shape[1] > 1 && shape[2] > 1);
    OK(segvol_volume_affine(volume, affine));
    segvol_volume_free(volume);

    /* The scan states both affines, and they agree. */
    FAILS(segvol_read_options_init(&options, 0), SEGVOL_STATUS_ARGUMENT, "options: expected `size`");
    for (n = SEGVOL_AFFINE_DEFAULT; n <= SEGVOL_AFFINE_QFORM; n++) {
        OK(segvol_read_options_init(&options, sizeof options));
        options.affine = n;
        OK(segvol_volume_open_with(scan, n == SEGVOL_AFFINE_DEFAULT ? NULL : &options, &other));
        OK(segvol_volume_affine(other, again));
        CHECK(memcmp(affine, again, 3 * sizeof *affine) == 0 || n == SEGVOL_AFFINE_QFORM);
        segvol_volume_free(other);
    }
    other = untouched;
    options.affine = 3;
    FAILS(segvol_volume_open_with(scan, &options, &other), SEGVOL_STATUS_ARGUMENT, "options.affine: expected");
    OK(segvol_read_options_init(&options, sizeof options));
    options.fill_gaps = 2;
    FAILS(segvol_volume_open_with(scan, &options, &other), SEGVOL_STATUS_ARGUMENT, "options.fill_gaps: expected 0 or 1");
    OK(segvol_read_options_init(&options, sizeof options));
    options.series = "\xff";
    FAILS(segvol_volume_open_with(scan, &options, &other), SEGVOL_STATUS_UTF8, "options.series");
    /* A program of the first version, whose struct ends before the series. */
    OK(segvol_read_options_init(&options, offsetof(SegvolReadOptions, series)));
    options.series = "no pointer that the library may read";
    OK(segvol_volume_open_with(scan, &options, &other));
    segvol_volume_free(other);
    other = untouched;
    CHECK(other == untouched);
}

/* Intensities that cannot be normalised. */
static void studies(const SegvolModel *model)
{
    SegvolStudy *const untouched = (SegvolStudy *)(void *)&model;
    SegvolStudy *study = untouched;
    SegvolVolume *volume = NULL;
    SegvolOptions options;
    float *voxels = calloc((size_t)NI * NJ * NK, sizeof *voxels);
    SegvolBuffer buffer = describe(voxels);
    size_t shape[3];

    CHECK(voxels != NULL);
    buffer.element = SEGVOL_ELEMENT_F32;
    OK(segvol_volume_from_buffer(&buffer, &volume));
    FAILS(segvol_study_new(model, volume, NULL, &study), SEGVOL_STATUS_INTENSITY, "volume: the scan has no contrast");
    segvol_volume_free(volume);
    voxels[5] = NAN;
    OK(segvol_volume_from_buffer(&buffer, &volume));
    FAILS(segvol_study_new(model, volume, NULL, &study), SEGVOL_STATUS_INTENSITY, "volume: 1 of the scan's voxels is NaN");
    segvol_volume_free(volume);
    free(voxels);

    volume = take_scan();
    OK(segvol_options_init(&options, sizeof options));
    options.overlap = -0.5;
    FAILS(segvol_study_new(model, volume, &options, &study), SEGVOL_STATUS_OPTION, "options.overlap: expected");
    CHECK(study == untouched);
    OK(segvol_options_init(&options, sizeof options));
    CHECK(options.overlap == -1.0 && options.effort == SEGVOL_EFFORT_BALANCED && options.independent == 0 &&
          options.threshold == 0.5);
    options.effort = 3;
    FAILS(segvol_study_new(model, volume, &options, &study), SEGVOL_STATUS_ARGUMENT, "options.effort: expected");
    options.effort = SEGVOL_EFFORT_EXACT;
    options.independent = 2;
    FAILS(segvol_study_new(model, volume, &options, &study), SEGVOL_STATUS_ARGUMENT, "options.independent: expected");
    CHECK(study == untouched);
    OK(segvol_options_init(&options, sizeof options));
    options.zoom_in = 0;
    OK(segvol_study_new(model, volume, &options, &study));
    OK(segvol_study_shape(study, shape));
    CHECK(shape[0] == NI && shape[1] == NJ && shape[2] == NK);
    segvol_volume_free(volume);
    segvol_study_free(study);
}

static void prompts(const SegvolModel *model)
{
    SegvolStudy *study = make_study(model);
    SegvolMask *const untouched = (SegvolMask *)(void *)&model;
    SegvolMask *mask = untouched;
    SegvolResult *result = NULL;
    SegvolPrompt prompt, two[2], *many;
    SegvolPoint point = {{36.0, 30.0, 14.0}, 1, 0}, bad_point;
    SegvolBox box = {{20.0, 15.0, 8.0}, {50.0, 45.0, 20.0}}, bad_box;
    union {
        SegvolPrompt prompt;
        char bytes[sizeof(SegvolPrompt) + 8];
    } grown;

    FAILS(segvol_prompt_init(&prompt, 0), SEGVOL_STATUS_ARGUMENT, "prompt: expected `size`");
    memset(&prompt, 0, sizeof prompt);
    FAILS(segvol_study_segment(study, &prompt, &mask), SEGVOL_STATUS_ARGUMENT, "prompt: expected `size`");
    prompt = named(NULL);
    FAILS(segvol_study_segment(study, &prompt, &mask), SEGVOL_STATUS_PROMPT, "prompt: object \"object\": expected a text");
    prompt = named("   ");
    FAILS(segvol_study_segment(study, &prompt, &mask), SEGVOL_STATUS_TEXT, "prompt: text prompt ");
    prompt = named("\xc3\x28");
    FAILS(segvol_study_segment(study, &prompt, &mask), SEGVOL_STATUS_UTF8, "prompt.text");
    prompt = named("liver");
    prompt.name = "\xff";
    FAILS(segvol_study_segment(study, &prompt, &mask), SEGVOL_STATUS_UTF8, "prompt.name");
    prompt = named("liver");
    prompt.space = 4;
    FAILS(segvol_study_segment(study, &prompt, &mask), SEGVOL_STATUS_ARGUMENT, "prompt.space");
    prompt.space = 0;
    prompt.reserved = 1;
    FAILS(segvol_study_segment(study, &prompt, &mask), SEGVOL_STATUS_ARGUMENT, "prompt.reserved");

    prompt = named(NULL);
    prompt.points = &bad_point;
    prompt.points_len = 1;
    bad_point = point;
    bad_point.label = -1;
    FAILS(segvol_study_segment(study, &prompt, &mask), SEGVOL_STATUS_ARGUMENT, "prompt.points[0].label");
    bad_point = point;
    bad_point.reserved = 1;
    FAILS(segvol_study_segment(study, &prompt, &mask), SEGVOL_STATUS_ARGUMENT, "prompt.points[0].reserved");
    bad_point = point;
    bad_point.at[0] = NAN;
    FAILS(segvol_study_segment(study, &prompt, &mask), SEGVOL_STATUS_PROMPT, "prompt: object \"object\": point ");
    bad_point.at[0] = NI;
    FAILS(segvol_study_segment(study, &prompt, &mask), SEGVOL_STATUS_OUTSIDE_SCAN, "prompt: object \"object\": point ");
    prompt.points = NULL;
    FAILS(segvol_study_segment(study, &prompt, &mask), SEGVOL_STATUS_NULL, "prompt.points");

    prompt = named(NULL);
    bad_box = box;
    bad_box.max[1] = 3.0;
    prompt.bounding_box = &bad_box;
    FAILS(segvol_study_segment(study, &prompt, &mask), SEGVOL_STATUS_PROMPT, "prompt: object \"object\": box ");
    CHECK(mask == untouched);

    /* A program that is newer than the library has a longer struct: first with zeros at its end, then with a set byte. */
    memset(&grown, 0, sizeof grown);
    OK(segvol_prompt_init(&grown.prompt, sizeof grown));
    CHECK(grown.prompt.size == sizeof grown);
    grown.prompt.text = "liver";
    OK(segvol_study_segment(study, &grown.prompt, &mask));
    segvol_mask_free(mask);
    grown.bytes[sizeof grown - 1] = 1;
    FAILS(segvol_study_segment(study, &grown.prompt, &mask), SEGVOL_STATUS_ARGUMENT, "newer");
    FAILS(segvol_study_segment(study, (const SegvolPrompt *)(const void *)(grown.bytes + 1), &mask),
          SEGVOL_STATUS_ARGUMENT, "prompts: expected an address");

    two[0] = two[1] = named("liver");
    two[1].size = sizeof grown;
    FAILS(segvol_study_segment_all(study, two, 2, NULL, NULL, &result), SEGVOL_STATUS_ARGUMENT, "prompts[1]");
    FAILS(segvol_study_segment_all(study, two, 0, NULL, NULL, &result), SEGVOL_STATUS_PROMPT, "prompts: no prompt");
    many = &two[0];
    FAILS(segvol_study_segment_all(study, many, 65536, NULL, NULL, &result), SEGVOL_STATUS_PROMPT, "prompts: 65536 objects");
    CHECK(result == NULL);

    /* A name, a point and a box together; then points in millimetres. */
    prompt = named("liver");
    prompt.points = &point;
    prompt.points_len = 1;
    prompt.bounding_box = &box;
    OK(segvol_study_segment(study, &prompt, &mask));
    segvol_mask_free(mask);
    prompt = named(NULL);
    point.at[0] = 6.0; /* -30 + 36, 10 + 30, -200 + 2 * 14 */
    point.at[1] = 40.0;
    point.at[2] = -172.0;
    prompt.points = &point;
    prompt.points_len = 1;
    prompt.space = SEGVOL_SPACE_LPS;
    OK(segvol_study_segment(study, &prompt, &mask));
    segvol_mask_free(mask);
    point.at[0] = 60.0;
    FAILS(segvol_study_segment(study, &prompt, &mask), SEGVOL_STATUS_OUTSIDE_SCAN, "lps");
    point.at[0] = -6.0;
    point.at[1] = -40.0;
    prompt.space = SEGVOL_SPACE_RAS;
    OK(segvol_study_segment(study, &prompt, &mask));
    segvol_mask_free(mask);
    segvol_study_free(study);
}

static void providers(void)
{
    SegvolProviders *providers = NULL;
    size_t n, usable = 0;
    char *report = NULL;

    OK(segvol_providers_new(NULL, &providers));
    CHECK(segvol_providers_len(providers) == 10);
    for (n = 0; n < segvol_providers_len(providers); n++) {
        int cpu = strcmp(segvol_providers_name(providers, n), "cpu") == 0;

        usable += segvol_providers_problem(providers, n) == NULL;
        CHECK(!cpu || segvol_providers_problem(providers, n) == NULL);
    }
    CHECK(usable >= 1);
    CHECK(segvol_providers_name(providers, n) == NULL && segvol_providers_problem(providers, n) == NULL);
    OK(segvol_providers_report(providers, &report));
    CHECK(strstr(report, "\"version\"") != NULL);
    segvol_string_free(report);
    segvol_providers_free(providers);
}

typedef struct Told {
    int messages, again;
} Told;

static void tell(int32_t level, const char *message, void *user_data)
{
    Told *told = user_data;

    CHECK(level >= SEGVOL_LOG_LEVEL_ERROR && level <= SEGVOL_LOG_LEVEL_TRACE && message[0] != '\0');
    if (told->messages++ == 0) {
        FAILS(segvol_log_set(0, NULL, NULL), SEGVOL_STATUS_CALLBACK, "segvol_log_set");
        told->again++;
    }
}

static void log_messages(const char *bundle)
{
    Told told = {0, 0};

    FAILS(segvol_log_set(6, tell, &told), SEGVOL_STATUS_ARGUMENT, "level");
    OK(segvol_log_set(SEGVOL_LOG_LEVEL_TRACE, tell, &told));
    segvol_model_free(open_model(bundle));
    CHECK(told.messages > 0 && told.again == 1);
    OK(segvol_log_set(SEGVOL_LOG_LEVEL_OFF, tell, &told));
    told.messages = 0;
    segvol_model_free(open_model(bundle));
    OK(segvol_log_set(SEGVOL_LOG_LEVEL_TRACE, NULL, NULL));
    segvol_model_free(open_model(bundle));
    CHECK(told.messages == 0);
}

int main(int argc, char **argv)
{
    SegvolModel *model;

    CHECK(argc == 3);
    versions();
    missing_library(argv[1], 0);
    opening(argv[1]);
    missing_library(argv[1], 1);
    volumes(argv[2]);
    CHECK(strncmp(segvol_onnxruntime_version(), "1.", 2) == 0);
    model = open_model(argv[1]);
    studies(model);
    prompts(model);
    providers();
    log_messages(argv[1]);
    segvol_model_free(model);
    printf("api: passed\n");
    return 0;
}

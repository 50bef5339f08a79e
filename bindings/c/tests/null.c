/* Passes NULL for every pointer, one at a time. Usage: null BUNDLE */

#include "check.h"

#define NULL_IS(call, argument) FAILS(call, SEGVOL_STATUS_NULL, argument ": expected a pointer, found NULL")

int main(int argc, char **argv)
{
    SegvolModel *model;
    SegvolVolume *volume;
    SegvolStudy *study;
    SegvolMask *mask = NULL;
    SegvolResult *result = NULL;
    SegvolProviders *providers = NULL;
    SegvolPrompt prompt;
    SegvolBuffer buffer;
    SegvolReadOptions read_options;
    SegvolPostprocessing postprocessing;
    SegvolCallbacks callbacks;
    SegvolMaskStatistics mask_statistics;
    SegvolStudyStatistics study_statistics;
    size_t shape[3];
    double affine[12];
    char *text = NULL;
    const uint8_t *voxels = NULL;
    uint8_t byte = 0;
    uint16_t word = 0;
    float value = 0.0F;
    int round;

    CHECK(argc == 2);

    /* Every free function accepts NULL, also several times. */
    for (round = 0; round < 2; round++) {
        segvol_model_free(NULL);
        segvol_volume_free(NULL);
        segvol_study_free(NULL);
        segvol_result_free(NULL);
        segvol_mask_free(NULL);
        segvol_providers_free(NULL);
        segvol_string_free(NULL);
    }

    /* Functions that return a value. */
    CHECK(segvol_model_provider(NULL) == NULL);
    CHECK(segvol_result_len(NULL) == 0);
    CHECK(segvol_providers_len(NULL) == 0);
    CHECK(segvol_providers_name(NULL, 0) == NULL);
    CHECK(segvol_providers_problem(NULL, 0) == NULL);

    NULL_IS(segvol_options_init(NULL, sizeof(SegvolOptions)), "options");
    NULL_IS(segvol_buffer_init(NULL, sizeof buffer), "buffer");
    NULL_IS(segvol_prompt_init(NULL, sizeof prompt), "prompt");
    NULL_IS(segvol_mask_statistics_init(NULL, sizeof mask_statistics), "statistics");
    NULL_IS(segvol_study_statistics_init(NULL, sizeof study_statistics), "statistics");
    prompt = named("liver");
    OK(segvol_mask_statistics_init(&mask_statistics, sizeof mask_statistics));
    OK(segvol_study_statistics_init(&study_statistics, sizeof study_statistics));

    model = NULL;
    NULL_IS(segvol_model_open(NULL, NULL, &model), "bundle");
    NULL_IS(segvol_model_open(argv[1], NULL, NULL), "model");
    CHECK(model == NULL);
    model = open_model(argv[1]);
    NULL_IS(segvol_model_manifest(NULL, &text), "model");
    NULL_IS(segvol_model_manifest(model, NULL), "json");
    NULL_IS(segvol_model_names(NULL, &text), "model");
    NULL_IS(segvol_model_names(model, NULL), "json");
    NULL_IS(segvol_model_check_name(NULL, "liver", &text), "model");
    NULL_IS(segvol_model_check_name(model, NULL, &text), "text");
    NULL_IS(segvol_model_check_name(model, "liver", NULL), "json");

    volume = NULL;
    buffer = describe(NULL);
    NULL_IS(segvol_volume_open(NULL, &volume), "path");
    NULL_IS(segvol_volume_open("scan.nii", NULL), "volume");
    NULL_IS(segvol_read_options_init(NULL, sizeof read_options), "options");
    NULL_IS(segvol_volume_open_with(NULL, NULL, &volume), "path");
    NULL_IS(segvol_volume_open_with("scan.nii", NULL, NULL), "volume");
    NULL_IS(segvol_volume_from_buffer(NULL, &volume), "buffer");
    NULL_IS(segvol_volume_from_buffer(&buffer, NULL), "volume");
    NULL_IS(segvol_volume_from_buffer(&buffer, &volume), "buffer.voxels");
    CHECK(volume == NULL);
    volume = take_scan();
    NULL_IS(segvol_volume_shape(NULL, shape), "volume");
    NULL_IS(segvol_volume_shape(volume, NULL), "shape");
    NULL_IS(segvol_volume_affine(NULL, affine), "volume");
    NULL_IS(segvol_volume_affine(volume, NULL), "affine");

    study = NULL;
    NULL_IS(segvol_study_new(NULL, volume, NULL, &study), "model");
    NULL_IS(segvol_study_new(model, NULL, NULL, &study), "volume");
    NULL_IS(segvol_study_new(model, volume, NULL, NULL), "study");
    CHECK(study == NULL);

    /* Wrong order: handles that were never made are NULL. */
    NULL_IS(segvol_study_segment(study, &prompt, &mask), "study");
    NULL_IS(segvol_result_mask(result, 0, &mask), "result");
    NULL_IS(segvol_mask_save(mask, "mask.nii"), "mask");

    OK(segvol_study_new(model, volume, NULL, &study));
    NULL_IS(segvol_study_segment(study, NULL, &mask), "prompts");
    NULL_IS(segvol_study_segment(study, &prompt, NULL), "mask");
    NULL_IS(segvol_study_segment_all(NULL, &prompt, 1, NULL, NULL, &result), "study");
    NULL_IS(segvol_study_segment_all(study, NULL, 1, NULL, NULL, &result), "prompts");
    NULL_IS(segvol_study_segment_all(study, &prompt, 1, NULL, NULL, NULL), "result");
    NULL_IS(segvol_callbacks_init(NULL, sizeof callbacks), "callbacks");
    NULL_IS(segvol_study_segment_with(NULL, &prompt, 1, NULL, &result), "study");
    NULL_IS(segvol_study_segment_with(study, NULL, 1, NULL, &result), "prompts");
    NULL_IS(segvol_study_segment_with(study, &prompt, 1, NULL, NULL), "result");
    NULL_IS(segvol_study_cancel(NULL), "study");
    NULL_IS(segvol_study_resume(NULL), "study");
    NULL_IS(segvol_study_shape(NULL, shape), "study");
    NULL_IS(segvol_study_shape(study, NULL), "shape");
    NULL_IS(segvol_study_statistics(NULL, &study_statistics), "study");
    NULL_IS(segvol_study_statistics(study, NULL), "statistics");
    CHECK(mask == NULL && result == NULL);

    OK(segvol_study_segment_all(study, &prompt, 1, NULL, NULL, &result));
    NULL_IS(segvol_result_mask(result, 0, NULL), "mask");
    NULL_IS(segvol_result_shape(NULL, shape), "result");
    NULL_IS(segvol_result_shape(result, NULL), "shape");
    NULL_IS(segvol_result_logits(NULL, 0, &value, 1), "result");
    NULL_IS(segvol_result_logits(result, 0, NULL, 1), "values");
    NULL_IS(segvol_result_probabilities(NULL, 0, &value, 1), "result");
    NULL_IS(segvol_result_probabilities(result, 0, NULL, 1), "values");
    NULL_IS(segvol_result_save_logits(NULL, 0, "map.nii", SEGVOL_FLOAT_TYPE_FLOAT32), "result");
    NULL_IS(segvol_result_save_logits(result, 0, NULL, SEGVOL_FLOAT_TYPE_FLOAT32), "path");
    NULL_IS(segvol_result_save_probabilities(NULL, 0, "map.nii", SEGVOL_FLOAT_TYPE_FLOAT32), "result");
    NULL_IS(segvol_result_save_probabilities(result, 0, NULL, SEGVOL_FLOAT_TYPE_FLOAT32), "path");
    NULL_IS(segvol_result_label_map(NULL, &mask), "result");
    NULL_IS(segvol_result_label_map(result, NULL), "mask");
    NULL_IS(segvol_postprocessing_init(NULL, sizeof postprocessing), "postprocessing");
    OK(segvol_postprocessing_init(&postprocessing, sizeof postprocessing));
    NULL_IS(segvol_result_mask_with(NULL, 0, &postprocessing, &mask, NULL), "result");
    NULL_IS(segvol_result_mask_with(result, 0, NULL, &mask, NULL), "postprocessing");
    NULL_IS(segvol_result_mask_with(result, 0, &postprocessing, NULL, &text), "mask");
    NULL_IS(segvol_result_label_map_with(NULL, &postprocessing, &mask), "result");
    NULL_IS(segvol_result_label_map_with(result, NULL, &mask), "postprocessing");
    NULL_IS(segvol_result_label_map_with(result, &postprocessing, NULL), "mask");
    NULL_IS(segvol_result_warnings(NULL, 0, &text), "result");
    NULL_IS(segvol_result_warnings(result, 0, NULL), "json");
    NULL_IS(segvol_result_report(NULL, &text), "result");
    NULL_IS(segvol_result_report(result, NULL), "json");
    CHECK(text == NULL);

    OK(segvol_result_mask(result, 0, &mask));
    NULL_IS(segvol_mask_save(mask, NULL), "path");
    NULL_IS(segvol_mask_shape(NULL, shape), "mask");
    NULL_IS(segvol_mask_shape(mask, NULL), "shape");
    NULL_IS(segvol_mask_voxels(NULL, &voxels), "mask");
    NULL_IS(segvol_mask_voxels(mask, NULL), "voxels");
    NULL_IS(segvol_mask_copy(NULL, &byte, 1, NULL), "mask");
    NULL_IS(segvol_mask_copy(mask, NULL, 1, NULL), "voxels");
    NULL_IS(segvol_mask_copy_u16(NULL, &word, 1, NULL), "mask");
    NULL_IS(segvol_mask_copy_u16(mask, NULL, 1, NULL), "voxels");
    NULL_IS(segvol_mask_statistics(NULL, 1, &mask_statistics), "mask");
    NULL_IS(segvol_mask_statistics(mask, 1, NULL), "statistics");

    NULL_IS(segvol_providers_new(NULL, NULL), "providers");
    NULL_IS(segvol_providers_report(NULL, &text), "providers");
    OK(segvol_providers_new(NULL, &providers));
    NULL_IS(segvol_providers_report(providers, NULL), "json");
    OK(segvol_log_set(SEGVOL_LOG_LEVEL_OFF, NULL, NULL));

    segvol_providers_free(providers);
    segvol_model_free(model); /* In the order in which they were made: no handle needs another. */
    segvol_volume_free(volume);
    segvol_study_free(study);
    segvol_result_free(result);
    segvol_mask_free(mask);
    printf("null: passed\n");
    return 0;
}

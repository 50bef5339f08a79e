/*
 * Eight threads use one study, own studies of one model, and own models, while others cancel their calls or fail. Every mask
 * of one name is the same. Usage: eight BUNDLE ROUNDS
 */

#include "check.h"

#include <pthread.h>

enum { THREADS = 8 };

static const char *const NAMES[] = {"liver", "spleen"};

typedef struct Shared {
    const char *bundle;
    const SegvolModel *model;
    const SegvolStudy *study;
    uint8_t *expected[2];
    int rounds;
} Shared;

typedef struct Task {
    const Shared *shared;
    int number;
} Task;

static void expect(const Shared *shared, const SegvolStudy *study, int name)
{
    SegvolPrompt prompt = named(NAMES[name]);
    SegvolMask *mask = NULL;
    const uint8_t *voxels = NULL;

    OK(segvol_study_segment(study, &prompt, &mask));
    OK(segvol_mask_voxels(mask, &voxels));
    CHECK(memcmp(voxels, shared->expected[name], (size_t)NI * NJ * NK) == 0);
    segvol_mask_free(mask);
}

static int stop(size_t done, size_t total, void *user_data)
{
    (void)done;
    (void)total;
    (void)user_data;
    return 1;
}

static void *work(void *argument)
{
    const Task *task = argument;
    const Shared *shared = task->shared;
    int round;

    for (round = 0; round < shared->rounds; round++) {
        int name = (task->number + round) % 2;
        SegvolModel *model = NULL;
        SegvolStudy *study = NULL;
        SegvolPrompt prompt = named("liver");
        SegvolResult *result = NULL;
        char part[32];

        switch ((task->number + round) % 4) {
        case 0: /* All threads share a study. */
            expect(shared, shared->study, name);
            break;
        case 1: /* All threads share a model. */
            study = make_study(shared->model);
            expect(shared, study, name);
            break;
        case 2: /* The thread has its own model. */
            model = open_model(shared->bundle);
            study = make_study(model);
            segvol_model_free(model);
            expect(shared, study, name);
            break;
        default: /* Failures: each thread has its own message. */
            FAILS(segvol_study_segment_all(shared->study, &prompt, 1, stop, NULL, &result), SEGVOL_STATUS_CANCELLED, NULL);
            snprintf(part, sizeof part, "/nonexistent/%d", task->number);
            FAILS(segvol_model_open(part, NULL, &model), SEGVOL_STATUS_BUNDLE, part);
        }
        segvol_study_free(study);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    Shared shared;
    Task tasks[THREADS];
    pthread_t threads[THREADS];
    SegvolModel *model;
    SegvolStudy *study;
    int n;

    CHECK(argc == 3);
    model = open_model(argv[1]);
    study = make_study(model);
    shared.bundle = argv[1];
    shared.model = model;
    shared.study = study;
    shared.rounds = atoi(argv[2]);
    for (n = 0; n < 2; n++) {
        SegvolPrompt prompt = named(NAMES[n]);
        SegvolMask *mask = NULL;

        shared.expected[n] = malloc((size_t)NI * NJ * NK);
        CHECK(shared.expected[n] != NULL);
        OK(segvol_study_segment(study, &prompt, &mask));
        OK(segvol_mask_copy(mask, shared.expected[n], (size_t)NI * NJ * NK, NULL));
        segvol_mask_free(mask);
    }
    CHECK(memcmp(shared.expected[0], shared.expected[1], (size_t)NI * NJ * NK) != 0);
    for (n = 0; n < THREADS; n++) {
        tasks[n].shared = &shared;
        tasks[n].number = n;
        CHECK(pthread_create(&threads[n], NULL, work, &tasks[n]) == 0);
    }
    for (n = 0; n < THREADS; n++) {
        CHECK(pthread_join(threads[n], NULL) == 0);
    }
    free(shared.expected[0]);
    free(shared.expected[1]);
    segvol_study_free(study);
    segvol_model_free(model);
    printf("eight: passed\n");
    return 0;
}

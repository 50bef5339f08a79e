/* threads: one model for several threads, with one study per thread. All masks are equal. */

#include <segvol.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 4 };

typedef struct Task {
    const SegvolModel *model;   /* shared */
    const SegvolVolume *volume; /* shared */
    const char *name;
    SegvolMask *mask;
    char error[512]; /* Each thread has its own segvol_last_error(). */
} Task;

static int failed(Task *task, SegvolStatus status)
{
    if (status == SEGVOL_STATUS_OK) {
        return 0;
    }
    snprintf(task->error, sizeof task->error, "%s: %s", segvol_status_name(status), segvol_last_error());
    return 1;
}

static void *work(void *argument)
{
    Task *task = argument;
    SegvolStudy *study = NULL;
    SegvolPrompt prompt;

    segvol_prompt_init(&prompt, sizeof prompt);
    prompt.text = task->name;
    if (!failed(task, segvol_study_new(task->model, task->volume, NULL, &study))) {
        failed(task, segvol_study_segment(study, &prompt, &task->mask));
    }
    segvol_study_free(study);
    return NULL;
}

int main(int argc, char **argv)
{
    SegvolModel *model = NULL;
    SegvolVolume *volume = NULL;
    pthread_t threads[THREADS];
    Task tasks[THREADS];
    size_t shape[3];
    int n, result = 0;

    if (argc != 4) {
        fprintf(stderr, "usage: threads BUNDLE SCAN.nii.gz NAME\n");
        return 2;
    }
    if (segvol_model_open(argv[1], NULL, &model) != SEGVOL_STATUS_OK ||
        segvol_volume_open(argv[2], &volume) != SEGVOL_STATUS_OK ||
        segvol_volume_shape(volume, shape) != SEGVOL_STATUS_OK) {
        fprintf(stderr, "%s\n", segvol_last_error());
        return 1;
    }
    memset(tasks, 0, sizeof tasks);
    for (n = 0; n < THREADS; n++) {
        tasks[n].model = model;
        tasks[n].volume = volume;
        tasks[n].name = argv[3];
        if (pthread_create(&threads[n], NULL, work, &tasks[n]) != 0) {
            fprintf(stderr, "cannot start a thread\n");
            return 1;
        }
    }
    for (n = 0; n < THREADS; n++) {
        pthread_join(threads[n], NULL);
    }
    for (n = 0; n < THREADS; n++) {
        const uint8_t *first = NULL, *voxels = NULL;

        if (tasks[n].mask == NULL || segvol_mask_voxels(tasks[0].mask, &first) != SEGVOL_STATUS_OK ||
            segvol_mask_voxels(tasks[n].mask, &voxels) != SEGVOL_STATUS_OK) {
            fprintf(stderr, "thread %d: %s\n", n, tasks[n].error);
            result = 1;
        } else if (memcmp(first, voxels, shape[0] * shape[1] * shape[2]) != 0) {
            fprintf(stderr, "thread %d: the mask differs from that of thread 0\n", n);
            result = 1;
        }
    }
    for (n = 0; n < THREADS; n++) {
        segvol_mask_free(tasks[n].mask);
    }
    if (result == 0) {
        printf("%d threads, one mask\n", THREADS);
    }
    segvol_volume_free(volume);
    segvol_model_free(model);
    return result;
}

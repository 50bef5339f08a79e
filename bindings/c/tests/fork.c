/*
 * A process opens a model and forks. The child only ends: with exit(), with _exit(), or by running another program. Each way must
 * end it, whether the model is still open or not. Usage: fork BUNDLE
 */

#include "check.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void child_ends(int way)
{
    int status = 0, tenths;
    pid_t child = fork();

    CHECK(child >= 0);
    if (child == 0) {
        if (way == 0) {
            exit(0);
        }
        if (way == 1) {
            execl("/bin/true", "true", (char *)NULL);
        }
        _exit(way == 2 ? 0 : 1);
    }
    for (tenths = 0; tenths < 300; tenths++) {
        struct timespec tenth = {0, 100000000};

        if (waitpid(child, &status, WNOHANG) == child) {
            CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
            return;
        }
        nanosleep(&tenth, NULL);
    }
    kill(child, SIGKILL);
    fprintf(stderr, "the child has not ended after 30 seconds\n");
    exit(1);
}

int main(int argc, char **argv)
{
    SegvolModel *model;
    SegvolStudy *study;
    SegvolPrompt prompt = named("liver");
    SegvolMask *mask = NULL;
    int way;

    CHECK(argc == 2 && getenv("ORT_DISABLE_TELEMETRY") == NULL);
    model = open_model(argv[1]);
    CHECK(getenv("ORT_DISABLE_TELEMETRY") == NULL); /* The variables of the program are as before. */
    study = make_study(model);
    OK(segvol_study_segment(study, &prompt, &mask)); /* All threads are there. */
    for (way = 0; way < 3; way++) {
        child_ends(way);
    }
    segvol_mask_free(mask);
    segvol_study_free(study);
    segvol_model_free(model);
    child_ends(0);
    printf("fork: passed\n");
    return 0;
}

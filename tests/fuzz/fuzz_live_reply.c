/*
 * fuzz_live_reply.c - any bytes at all as a window's reply, of a list and of one task: the client
 * must neither crash nor believe what cannot be. What it understands is shown, to nobody.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "inspect_live.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return freopen("/dev/null", "w", stdout) == NULL;
}

static void check_list(const struct sight *sight)
{
    for (size_t i = 0; i < sight->tasks_count; i++) {
        const struct sight_task *task = sight_task(sight, i);

        CHECK(task->lane < sight->lanes_count);
        CHECK(task->view.state < PAWL_WORK_STATES && task->view.key_size <= 64);
    }
    for (size_t i = 1; i < sight->agents_count; i++)
        CHECK(sight->agents[i - 1].incarnation < sight->agents[i].incarnation);
}

static void read_as(const uint8_t *data, size_t size, bool list)
{
    struct inspect_reply *const reply = calloc(1, sizeof(*reply));
    char *const bytes = malloc(size + 1);
    const char *wrong;

    if (reply == NULL || bytes == NULL)
        abort();
    if (size > 0)
        memcpy(bytes, data, size);
    wrong = inspect_reply_read(reply, list, bytes, size);
    CHECK(wrong == NULL || strlen(wrong) > 0);
    CHECK(!reply->ended || (reply->greeted && reply->error != NULL));
    check_list(&reply->list.sight);
    for (unsigned json = 0; json < 2; json++)
        if (list)
            inspect_show_list(&reply->list, json != 0);
        else if (reply->found)
            inspect_show_task(&reply->whole, json != 0);
    inspect_reply_fini(reply);
    free(bytes);
    free(reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_as(data, size, true);
    read_as(data, size, false);
    return 0;
}

/*
 * inspect_store.c - the lanes, agents and work tasks of a store.
 *
 * All tasks are gone through twice: lanes have to be known before tasks are put in an order, and
 * their names are found on the way.
 */
#include "inspect_store.h"

#include <stdlib.h>
#include <string.h>

#include "agent/work_machine.h"
#include "shard/lane_keeper.h"
#include "task/slot.h"
#include "tool.h"

#define LANE_KEY "pawl.lane/" /* then the lane's name: keys of the tasks that keep lanes */

bool inspect_is_work(const struct inspect_store *store, const struct image_task *task)
{
    return strcmp(store_machine(&store->image, task), pawl__work_machine.name) == 0;
}

/* ---- lanes ----------------------------------------------------------------------------------- */

/* Of a task that keeps what a lane was told (shard/lane_keeper.c): whether it is paused, and its
 * breaker, a byte each. False: no memory. */
static bool take_keeper(struct inspect_store *store, const struct image_task *task)
{
    const size_t prefix = strlen(LANE_KEY);
    char key[KEY_SIZE_MAX + 1] = "";
    struct lane_kept kept = {0};
    int64_t lane;

    if (task->key_size <= prefix || task->key_size > prefix + PAWL_LANE_NAME_MAX ||
        strcmp(store_machine(&store->image, task), "pawl.lane") != 0)
        return true;
    memcpy(key, task->key, task->key_size);
    if (!inspect_is_text(key, task->key_size) || strncmp(key, LANE_KEY, prefix) != 0)
        return true;
    lane = pawl__sight_add_lane(&store->sight, pawl_lane_number(key + prefix), key + prefix);
    if (lane < 0)
        return false;
    if (task->context_words > 0)
        memcpy(&kept, task->context, sizeof(kept));
    store->sight.lanes[lane].status.paused = kept.paused != 0;
    store->sight.lanes[lane].status.breaker =
        kept.breaker != PAWL_BREAKER_CLOSED ? PAWL_BREAKER_OPEN : PAWL_BREAKER_CLOSED;
    return true;
}

/* A lane by its name or its number, which then has that name; PAWL_ANY: no task is in it. */
static uint32_t look_up_lane(struct sight *sight, const char *text)
{
    uint32_t lane = pawl__sight_find_lane(sight, pawl_lane_number(text));
    char *end;
    const unsigned long number = strtoul(text, &end, 16);

    if (lane != PAWL_ANY)
        snprintf(sight->lanes[lane].name, sizeof(sight->lanes[lane].name), "%s", text);
    else if (*end == '\0' && strlen(text) == 8)
        lane = pawl__sight_find_lane(sight, (uint32_t)number);
    return lane;
}

/* ---- tasks ----------------------------------------------------------------------------------- */

static bool find_state(const char *name, enum pawl_work_state *state)
{
    for (unsigned i = 0; i < PAWL_WORK_STATES; i++)
        if (strcmp(name, pawl_work_state_name(i)) == 0) {
            *state = (enum pawl_work_state)i;
            return true;
        }
    return false;
}

bool inspect_store_view(const struct inspect_store *store, const struct image_shard *shard,
                        const struct image_task *task, struct pawl_work_view *view)
{
    const struct manifest_machine *const machine = &store->image.manifest->machines[task->machine];

    memset(view, 0, sizeof(*view));
    if (8 * (size_t)task->context_words < sizeof(view->work) ||
        task->key_size > sizeof(view->key) ||
        !find_state(machine->states[task->state], &view->state))
        return false;
    view->task.id = image_task_id(shard, task);
    view->version = task->version >> 1;
    view->age_ns = shard->time_ns > task->since ? shard->time_ns - task->since : 0;
    view->key_size = task->key_size;
    if (task->key_size > 0)
        memcpy(view->key, task->key, task->key_size);
    memcpy(&view->work, task->context, sizeof(view->work));
    return true;
}

bool inspect_store_read(const struct inspect_store *store, uint64_t id, struct pawl_work_view *view)
{
    const struct image_task *const task = store_task(&store->image, id);
    const struct pawl_task now = {store_resolve(&store->image, id)};

    return task && inspect_is_work(store, task) &&
           inspect_store_view(store, &store->image.shards[id_shard(now)], task, view);
}

/* ---- going through all ----------------------------------------------------------------------- */

/* False: no memory. */
typedef bool task_fn(struct inspect_store *store, const struct image_shard *shard,
                     const struct image_task *task);

static bool each_task(struct inspect_store *store, task_fn *fn)
{
    for (uint32_t i = 0; i < store->image.manifest->shards; i++) {
        const struct image_shard *const shard = &store->image.shards[i];

        for (size_t at = 0; at < shard->tasks_count; at++)
            if ((shard->tasks[at].flags & IMAGE_ALIVE) != 0 && !fn(store, shard, &shard->tasks[at]))
                return false;
    }
    return true;
}

/* The tasks of a machine in a state, and the lanes. */
static bool count_task(struct inspect_store *store, const struct image_shard *shard,
                       const struct image_task *task)
{
    const struct manifest *const manifest = store->image.manifest;
    struct pawl_work_view view;
    size_t at = task->state;

    for (unsigned i = 0; i < task->machine; i++)
        at += manifest->machines[i].states_count;
    store->states[at]++;
    if (!inspect_is_work(store, task))
        return take_keeper(store, task);
    return !inspect_store_view(store, shard, task, &view) ||
           pawl__sight_add_lane(&store->sight, view.work.claim.lane, NULL) >= 0;
}

static bool take_task(struct inspect_store *store, const struct image_shard *shard,
                      const struct image_task *task)
{
    struct pawl_work_view view;

    if (!inspect_is_work(store, task))
        return true;
    if (inspect_store_view(store, shard, task, &view))
        return pawl__sight_take(&store->sight, &view) == 0;
    store->sight.foreign++;
    return true;
}

static bool add_states(struct inspect_store *store)
{
    const struct manifest *const manifest = store->image.manifest;
    const uint64_t *count = store->states;

    for (unsigned i = 0; i < manifest->machines_count; i++)
        for (unsigned k = 0; k < manifest->machines[i].states_count; k++, count++)
            if (*count > 0 && !pawl__sight_add_state(&store->sight, manifest->machines[i].name,
                                                     manifest->machines[i].states[k], *count))
                return false;
    return true;
}

static bool count_all(struct inspect_store *store)
{
    const struct manifest *const manifest = store->image.manifest;
    size_t states = 0;

    for (unsigned i = 0; i < manifest->machines_count; i++)
        states += manifest->machines[i].states_count;
    store->states = calloc(states + 1, sizeof(store->states[0]));
    return store->states && each_task(store, count_task) && add_states(store);
}

/* ---- what was asked for ---------------------------------------------------------------------- */

static int list(struct inspect_store *store, const struct inspect_options *options)
{
    struct sight *const sight = &store->sight;
    struct inspect_list shown = {.process = NULL};

    sight->choice = options->choice;
    if (!count_all(store))
        return tool_fail(options->command, "there is no memory for it");
    if (options->lane)
        sight->choice.lane = look_up_lane(sight, options->lane);
    if (options->lane && sight->choice.lane == PAWL_ANY)
        return tool_fail(options->command, "the store has no task in a lane '%s'", options->lane);
    if (!each_task(store, take_task))
        return tool_fail(options->command, "there is no memory for it");
    pawl__sight_settle(sight);
    shown.sight = *sight;
    inspect_show_list(&shown, options->json);
    return TOOL_OK;
}

static void name_lane(const struct inspect_store *store, struct inspect_whole *whole)
{
    const uint32_t lane = pawl__sight_find_lane(&store->sight, whole->view.work.claim.lane);

    snprintf(whole->lane, sizeof(whole->lane), "%s",
             lane != PAWL_ANY ? store->sight.lanes[lane].name : "?");
}

static int show_task(struct inspect_store *store, const struct inspect_options *options)
{
    struct inspect_whole whole = {.questions = true};
    int code = TOOL_OK;

    if (!count_all(store))
        return tool_fail(options->command, "there is no memory for it");
    if (!inspect_store_task(store, options->task, &whole))
        return inspect_no_task(options);
    name_lane(store, &whole);
    if (whole.no_memory) {
        code = tool_fail(options->command, "there is no memory for it");
    } else {
        inspect_show_task(&whole, options->json);
        if (whole.wrong)
            code = tool_fail(options->command, "the notes cannot be read on: %s", whole.wrong);
    }
    inspect_whole_fini(&whole);
    return code;
}

static void say(void *user, const char *text)
{
    tool_fail(user, "%s", text);
}

int inspect_store(const struct inspect_options *options)
{
    struct inspect_store store = {.image = {.say = say, .user = options->command}};
    int code = TOOL_FAILED;

    if (store_open(&store.image, &pawl_storage_posix, options->path) != 0)
        return TOOL_FAILED;
    if (store_load(&store.image) == 0)
        code = options->task ? show_task(&store, options) : list(&store, options);
    pawl__sight_fini(&store.sight);
    free(store.states);
    store_close(&store.image);
    return code;
}

#include "watch/live_look.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lane/lane.h"

#define VIEWS       64
#define AGENT_VIEWS 64u

/* ---- What the walk sees ---- */

struct seen {
    struct pawl_view views[VIEWS];
    struct pawl_work_view works[VIEWS];
};

/* NULL: it is not a work task. */
static struct pawl_work_view *work_of(const struct live_look *look, struct seen *seen, unsigned i)
{
    const struct pawl_view *view = &seen->views[i];
    struct pawl_work_view *work = &seen->works[i];

    if ((int)view->machine != pawl_work_machine(look->runtime) ||
        view->state >= PAWL_WORK_STATES) /* it ends just now */
        return NULL;
    work->task = view->task;
    work->state = (enum pawl_work_state)view->state;
    work->version = view->version;
    work->key_size = view->key_size;
    work->age_ns = view->age_ns;
    memcpy(work->key, view->key, sizeof(work->key));
    return work;
}

static uint64_t *count_of(const struct live_look *look, unsigned machine, unsigned state)
{
    size_t at = state;

    for (unsigned i = 0; i < machine; i++)
        at += pawl_machine_state_count(look->runtime->machines[i].machine);
    return &look->counts[at];
}

static int take_for_list(struct live_look *look, struct seen *seen, unsigned i)
{
    const struct pawl_view *view = &seen->views[i];
    const struct pawl_work_view *work = work_of(look, seen, i);

    (*count_of(look, view->machine, view->state))++;
    return work != NULL ? pawl__sight_take(&look->sight, work) : 0;
}

/* A task keeps its parent's id as it was told; where its store has moved, that is an old one. */
static struct pawl_task parent_of(const struct live_look *look, const struct pawl_work_view *work)
{
    return aliases_resolve(&look->runtime->aliases, (struct pawl_task){work->work.parent});
}

static int take_for_task(struct live_look *look, struct seen *seen, unsigned i)
{
    const struct pawl_work_view *work = work_of(look, seen, i);

    if (work != NULL && parent_of(look, work).id == look->request.task)
        pawl__reply_other(look->text, "child", work->task.id, work);
    return 0;
}

/* One portion: 0, or -ENOMEM. */
static int walk_on(struct live_look *look)
{
    const bool list = look->request.kind == LIVE_LIST;
    const struct pawl_filter filter = {
        .machine = list ? PAWL_ANY : (uint32_t)pawl_work_machine(look->runtime), .state = PAWL_ANY};
    struct seen seen;
    int error = 0;

    for (size_t slots = 0; slots < LOOK_PORTION && !look->walk.done && error == 0; slots += VIEWS) {
        int count;

        for (unsigned i = 0; i < VIEWS; i++) {
            seen.views[i].context = &seen.works[i].work;
            seen.views[i].context_capacity = sizeof(seen.works[i].work);
        }
        count = pawl_task_walk(look->runtime, &look->walk, &filter, seen.views, VIEWS, VIEWS);
        for (int i = 0; i < count && error == 0; i++)
            error = list ? take_for_list(look, &seen, (unsigned)i)
                         : take_for_task(look, &seen, (unsigned)i);
    }
    return error;
}

/* ---- A list ---- */

static void say_no_memory(struct live_look *look)
{
    pawl__reply_error(look->text, -ENOMEM, "there is no memory to look: ask again, or for less");
}

/* A lane by its name, or by its number in eight hexadecimal digits. */
static uint32_t choose_lane(const struct live_look *look)
{
    const char *const name = look->request.lane;
    const uint32_t position = pawl__sight_find_lane(&look->sight, pawl_lane_number(name));

    if (position != PAWL_ANY || strlen(name) != 8 || strspn(name, "0123456789abcdef") != 8)
        return position;
    return pawl__sight_find_lane(&look->sight, (uint32_t)strtoul(name, NULL, 16));
}

static bool begin_list(struct live_look *look)
{
    const struct pawl_runtime *runtime = look->runtime;
    struct sight *sight = &look->sight;
    const char *name;
    size_t states = 0;
    int64_t position = 0;

    sight->choice = look->request.choice;
    for (unsigned i = 0; (name = pawl_lane_name(runtime, i)) != NULL && position >= 0; i++)
        position = pawl__sight_add_lane(sight, pawl_lane_number(name), name);
    for (unsigned i = 0; i < runtime->machine_count; i++)
        states += pawl_machine_state_count(runtime->machines[i].machine);
    look->counts = calloc(states + 1, sizeof(*look->counts));
    if (position < 0 || look->counts == NULL) {
        say_no_memory(look);
        return true;
    }
    if (look->request.lane[0] != '\0') {
        sight->choice.lane = choose_lane(look);
        if (sight->choice.lane == PAWL_ANY) {
            pawl__reply_error(look->text, -ENOENT, "the runtime has no lane of that name");
            return true;
        }
    }
    return false;
}

static void say_runtime(struct live_look *look)
{
    const struct pawl_runtime *runtime = look->runtime;
    const uint64_t now = runtime->clock->now_ns(runtime->clock->user);
    struct pawl_counters counters;

    pawl_runtime_counters(runtime, &counters);
    pawl__reply_runtime(look->text, now > runtime->open_ns ? now - runtime->open_ns : 0,
                        runtime->shard_count, &counters);
}

static void say_states(struct live_look *look)
{
    const uint64_t *count = look->counts;

    for (unsigned i = 0; i < look->runtime->machine_count; i++) {
        const struct pawl_machine *machine = look->runtime->machines[i].machine;
        const size_t states = pawl_machine_state_count(machine);

        for (unsigned k = 0; k < states; k++, count++)
            if (*count > 0)
                pawl__reply_state(
                    look->text, &(struct sight_state){.machine = pawl_machine_name(machine),
                                                      .state = pawl_machine_state_name(machine, k),
                                                      .tasks = *count});
    }
}

/* What the shards count is also of machines of the host's own, and is of now, not of the walk. */
static void say_lanes(struct live_look *look)
{
    for (size_t i = 0; i < look->sight.lanes_count; i++) {
        struct sight_lane *lane = &look->sight.lanes[i];

        if (i < look->runtime->lane_count) /* those behind are no lanes of its own */
            (void)pawl_lane_read(look->runtime, lane->name, &lane->status);
        pawl__reply_lane(look->text, lane);
    }
}

/* Behind those with leases: what there is no place for is left out. 0, or -ENOMEM. */
static int add_open_agents(struct live_look *look)
{
    struct pawl_agent_view views[AGENT_VIEWS];
    unsigned next = 0;
    int count;

    while ((count = pawl_agent_list(look->runtime, &next, views, AGENT_VIEWS)) > 0)
        for (int i = 0; i < count; i++) {
            struct sight_agent *agent = pawl__sight_add_agent(&look->sight, views[i].incarnation);

            if (agent == NULL && look->sight.agents_count < SIGHT_AGENTS_MAX)
                return -ENOMEM;
            if (agent == NULL) /* the next one may have its place already, with its leases */
                continue;
            agent->open = true;
            agent->credits = views[i].credits;
            memcpy(agent->name, views[i].name, sizeof(agent->name));
        }
    return 0;
}

/* 0, or -ENOMEM: nothing is said. */
static int finish_list(struct live_look *look)
{
    struct sight *sight = &look->sight;

    pawl__sight_settle(sight);
    if (add_open_agents(look) != 0)
        return -ENOMEM;
    say_runtime(look);
    say_states(look);
    say_lanes(look);
    for (size_t i = 0; i < sight->agents_count; i++)
        pawl__reply_agent(look->text, &sight->agents[i]);
    for (size_t i = 0; i < sight->tasks_count; i++) {
        const struct sight_task *task = sight_task(sight, i);

        pawl__reply_task(look->text, &task->view, sight->lanes[task->lane].name);
    }
    return 0;
}

/* ---- One task ---- */

static const char *lane_of(const struct live_look *look, uint32_t number, char text[16])
{
    for (unsigned i = 0; i < look->runtime->lane_count; i++)
        if (look->runtime->lanes[i].number == number)
            return look->runtime->lanes[i].name;
    snprintf(text, 16, number != 0 ? "%08x" : "-", number);
    return text;
}

/* A lease's end is in the claim; other timers are the task's shard's alone. */
static void say_lease(struct live_look *look, const struct pawl_work_view *view)
{
    const struct pawl_clock *clock = look->runtime->clock;

    if (sight_is_held(view))
        pawl__reply_timer(look->text, "lease",
                          (int64_t)(view->work.claim.deadline_ns - clock->now_ns(clock->user)));
}

static void say_parent(struct live_look *look, const struct pawl_work_view *view)
{
    struct pawl_work_view parent;
    const struct pawl_task task = parent_of(look, view);

    if (task.id == 0)
        return;
    pawl__reply_other(look->text, "parent", task.id,
                      pawl_work_read(look->runtime, task, &parent) == 0 ? &parent : NULL);
}

static int say_note(void *user, const struct pawl_work_note *note)
{
    struct live_text *text = user;

    pawl__reply_note(text, note);
    return text->full ? -ENOSPC : 0;
}

/* Which task it is. 0, or why there is none. */
static int find_task(struct live_look *look, struct pawl_work_view *view)
{
    struct live_request *request = &look->request;
    struct pawl_task task = {request->task};
    int error = 0;

    if (pawl_work_machine(look->runtime) < 0)
        return -ENOTSUP;
    if (task.id == 0)
        error = pawl_task_find(look->runtime, request->key, request->key_size, &task);
    if (error == 0)
        error = pawl_work_read(look->runtime, task, view);
    if (error == 0)
        request->task = view->task.id;         /* what it is now, if it has moved */
    return error == -EINVAL ? -ENOENT : error; /* it is a task of another machine */
}

static bool begin_task(struct live_look *look)
{
    struct pawl_work_view view;
    char lane[16];
    const int error = find_task(look, &view);

    if (error != 0) {
        pawl__reply_error(look->text, error,
                          error == -ENOTSUP ? "the runtime was opened without work tasks"
                                            : "no work task has that id or key");
        return true;
    }
    pawl__reply_task(look->text, &view, lane_of(look, view.work.claim.lane, lane));
    say_parent(look, &view);
    say_lease(look, &view);
    if (pawl_work_notes(look->runtime, view.task, say_note, look->text) != 0 && !look->text->full) {
        pawl__reply_error(look->text, -ESTALE, "the task has ended, or its notes cannot be read");
        return true;
    }
    return false;
}

/* ---- From outside ---- */

bool pawl__look_begin(struct live_look *look, const struct pawl_runtime *runtime,
                      const struct live_request *request, struct live_text *text)
{
    memset(look, 0, sizeof(*look));
    look->runtime = runtime;
    look->request = *request;
    look->text = text;
    return request->kind == LIVE_LIST ? begin_list(look) : begin_task(look);
}

bool pawl__look_go_on(struct live_look *look)
{
    int error = walk_on(look);

    if (error == 0 && !look->walk.done)
        return false;
    if (error == 0 && look->request.kind == LIVE_LIST)
        error = finish_list(look);
    if (error != 0)
        say_no_memory(look);
    else
        pawl__reply_end(look->text, &look->sight);
    return true;
}

void pawl__look_fini(struct live_look *look)
{
    pawl__sight_fini(&look->sight);
    free(look->counts);
    look->counts = NULL;
}

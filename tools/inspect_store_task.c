/*
 * inspect_store_task.c - one work task of a store, whole.
 *
 * Who waits for whom is not in the tasks' contexts: who waits has asked, and its question lies with
 * the task that is to be settled, deferred, or is still on its way there. So it is found there, for
 * as long as it is open.
 */
#include <stdlib.h>
#include <string.h>

#include "inspect_store.h"

struct search {
    const struct inspect_store *store;
    struct inspect_whole *whole;
};

static void add_other(const struct search *search, struct inspect_others *others, uint64_t id)
{
    struct inspect_other other = {.id = store_resolve(&search->store->image, id)};
    struct pawl_work_view view;

    other.gone = !inspect_store_read(search->store, id, &view);
    if (!other.gone) {
        other.state = view.state;
        other.key_size = view.key_size;
        memcpy(other.key, view.key, sizeof(other.key));
    }
    inspect_whole_add(search->whole, others, &other);
}

/* What is asked of a work task, by the name of the event; NULL: it is none. */
static const char *asked(const struct inspect_store *store, const struct entry_event *event)
{
    const struct image_task *const task = store_task(&store->image, event->task);
    const struct manifest_machine *machine;

    if (!task || !inspect_is_work(store, task))
        return NULL;
    machine = &store->image.manifest->machines[task->machine];
    return event->code < machine->events_count ? machine->events[event->code] : NULL;
}

/* A question that is open, wherever it lies. */
static void take_question(const struct search *search, const struct entry_event *event)
{
    const struct store_image *const image = &search->store->image;
    struct inspect_whole *const whole = search->whole;
    const char *const name = asked(search->store, event);
    const bool has_asker = (event->flags & PAWL_EVENT_ASK) != 0;
    const bool is_mine = store_resolve(image, event->task) == whole->view.task.id;

    if (!name || strcmp(name, "watch") != 0)
        return;
    if (is_mine && !has_asker)
        whole->ports++;
    else if (is_mine)
        add_other(search, &whole->waited_by, event->arg[1]);
    else if (has_asker && store_resolve(image, event->arg[1]) == whole->view.task.id)
        add_other(search, &whole->waits_for, event->task);
}

static void look_at_events(const struct search *search, const struct image_events *events)
{
    for (size_t i = events->first; i < events->count; i++)
        take_question(search, &events->at[i]->event);
}

static void look_at_way(const struct search *search, uint32_t from, uint32_t to, unsigned control)
{
    const struct store_image *const image = &search->store->image;
    const struct image_events *const sent = &image->shards[from].links[to].sent[control];

    for (size_t i = sent->first; i < sent->count; i++)
        if (store_is_under_way(image, from, to, control, sent->at[i]->number))
            take_question(search, &sent->at[i]->event);
}

/* Whether it is a child of the task that is shown. */
static void take_child(const struct search *search, const struct image_shard *shard,
                       const struct image_task *task)
{
    const struct store_image *const image = &search->store->image;
    struct inspect_whole *const whole = search->whole;
    struct pawl_work_view view;

    if ((task->flags & IMAGE_ALIVE) != 0 && inspect_is_work(search->store, task) &&
        inspect_store_view(search->store, shard, task, &view) && view.work.parent != 0 &&
        store_resolve(image, view.work.parent) == whole->view.task.id)
        add_other(search, &whole->children, view.task.id);
}

static void look_around(const struct search *search)
{
    const struct store_image *const image = &search->store->image;
    const uint32_t shards = image->manifest->shards;

    for (uint32_t i = 0; i < shards; i++) {
        const struct image_shard *const shard = &image->shards[i];

        for (size_t at = 0; at < shard->tasks_count; at++) {
            if (image_task_lives(&shard->tasks[at]))
                look_at_events(search, &shard->tasks[at].deferred);
            take_child(search, shard, &shard->tasks[at]);
        }
        for (uint32_t to = 0; to < shards; to++)
            for (unsigned control = 0; control < 2; control++)
                look_at_way(search, i, to, control);
    }
}

static void add_timers(const struct search *search)
{
    const struct store_image *const image = &search->store->image;
    const struct pawl_task id = search->whole->view.task;
    const struct image_task *const task = store_task(image, id.id);
    const struct manifest_machine *const machine = &image->manifest->machines[task->machine];

    for (uint32_t i = 0; i < task->timers_count; i++) {
        const uint64_t number = task->timers[i].timer;

        inspect_whole_add_timer(
            search->whole, number < machine->timers_count ? machine->timers[number] : "?",
            (int64_t)(task->timers[i].expiry_ns - image->shards[pawl_task_shard(id)].time_ns));
    }
}

/* ---- which task ------------------------------------------------------------------------------ */

static bool find_key(const struct inspect_store *store, const char *key,
                     struct pawl_work_view *view)
{
    const size_t size = strlen(key);

    for (uint32_t i = 0; size > 0 && i < store->image.manifest->shards; i++) {
        const struct image_shard *const shard = &store->image.shards[i];

        for (size_t at = 0; at < shard->tasks_count; at++) {
            const struct image_task *const task = &shard->tasks[at];

            if ((task->flags & IMAGE_ALIVE) != 0 && task->key_size == size &&
                memcmp(task->key, key, size) == 0 && inspect_is_work(store, task))
                return inspect_store_view(store, shard, task, view);
        }
    }
    return false;
}

static bool find(const struct inspect_store *store, const char *which, struct pawl_work_view *view)
{
    uint64_t id;

    if (strncmp(which, "key:", 4) == 0)
        return find_key(store, which + 4, view);
    return (inspect_parse_id(which, &id) && inspect_store_read(store, id, view)) ||
           find_key(store, which, view);
}

bool inspect_store_task(const struct inspect_store *store, const char *which,
                        struct inspect_whole *whole)
{
    const struct search search = {store, whole};

    if (!find(store, which, &whole->view))
        return false;
    if (whole->view.work.parent != 0)
        add_other(&search, &whole->parent, whole->view.work.parent);
    look_around(&search);
    add_timers(&search);
    whole->wrong = inspect_notes(store, whole->view.work.newest, whole);
    return true;
}

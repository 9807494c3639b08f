/*
 * inspect.h - what the parts of `pawl inspect` share: the work tasks and lanes of a store.
 *
 *   inspect.c        the command; what it collects, and pieces of output
 *   inspect_list.c   the list of lanes, agents and tasks
 *   inspect_task.c   one task whole
 *   inspect_notes.c  its notes
 *
 * All is read from a model in memory (store_image.h); the store is neither locked nor changed. Work
 * tasks and their notes are known by the names of the library's machines. What is read of them is
 * not believed: a context that is too short, or a note that leads nowhere, is said.
 */
#ifndef PAWL_TOOLS_INSPECT_H
#define PAWL_TOOLS_INSPECT_H

#include <pawl/work.h>

#include "store_image.h"

struct inspect_item {
    const struct image_shard *shard;
    const struct image_task *task;
    const char *state;
    const struct inspect_lane *lane;
    uint64_t age_ns; /* in its state, by the shard's time of its newest frame */
    struct pawl_work work;
};

struct inspect_lane {
    uint32_t number;
    char name[PAWL_LANE_NAME_MAX + 1]; /* or the number in hexadecimal: only that is in the store */
    uint64_t ready, leased, others;
    uint64_t oldest_ns; /* of what is ready */
    bool paused;
    bool broken; /* its breaker is open or tries */
};

struct inspect {
    char *command;
    bool json;
    struct store_image image;
    uint64_t *states;           /* tasks in each state of each machine */
    struct inspect_item *items; /* work tasks */
    size_t count, foreign;      /* foreign: of another version of the library */
    struct inspect_lane *lanes;
    size_t lanes_count, lanes_capacity;
};

enum inspect_sort {
    INSPECT_BY_STATE,
    INSPECT_BY_AGE,
    INSPECT_BY_AGENT,
    INSPECT_BY_LANE,
    INSPECT_BY_PRIORITY,
    INSPECT_SORTS
};

/* Which tasks are listed, and in which order. */
struct inspect_choice {
    const char *state;               /* NULL: any */
    const struct inspect_lane *lane; /* NULL: any */
    uint64_t limit;
    enum inspect_sort sort;
};

void inspect_list(struct inspect *inspect, const struct inspect_choice *choice);

/* One task: its id in hexadecimal, key:NAME, or a key that is no such id. An exit code. */
int inspect_task(const struct inspect *inspect, const char *which);

/* Called for each note, newest first. NULL, or why there are no more although there should be. */
typedef void inspect_note_fn(const struct pawl_work_note *note, bool first);
const char *inspect_notes(const struct inspect *inspect, uint64_t newest, inspect_note_fn *fn);

/* Whether an agent has it now. */
bool inspect_is_held(const struct inspect_item *item);

/* ---- for all: inspect.c ---- */

/* The work task that has this id, or had it before it moved; false: there is none. */
bool inspect_read(const struct inspect *inspect, uint64_t id, struct inspect_item *item);
const char *inspect_machine(const struct inspect *inspect, const struct image_task *task);
const char *inspect_state(const struct inspect *inspect, const struct image_task *task);

/* "12.345 s", right-aligned in so many columns. */
void inspect_put_seconds(uint64_t ns, int columns);
/* "3.17": the opening of the store, and which agent of it; "-" for none. */
const char *inspect_incarnation(uint64_t incarnation, char text[48]);
/* The key as text in quotes, or in hexadecimal; false: it has none. */
bool inspect_put_key(const struct image_task *task, const char *before);
/* A member of a JSON object: ,"name":"...". */
void inspect_put_json(const char *name, const char *text);
void inspect_put_json_key(const struct image_task *task);

/* Whether these bytes can be shown as they are. */
bool inspect_is_text(const void *bytes, size_t size);

#endif /* PAWL_TOOLS_INSPECT_H */

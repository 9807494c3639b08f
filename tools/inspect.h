/*
 * inspect.h - what the parts of `pawl inspect` share: what is shown, whatever it was read from.
 *
 *   inspect.c             the command
 *   inspect_show.c        pieces of output
 *   inspect_list.c        shows lanes, agents and tasks
 *   inspect_task.c        shows one task whole
 *   inspect_whole.c       one task whole, in memory
 *   inspect_store.c       reads a list from a store
 *   inspect_store_task.c  reads one task whole from a store
 *   inspect_notes.c       ... and its notes
 *   inspect_live.c        asks a running process, through its window
 *   inspect_reply.c       takes a window's reply apart
 *   inspect_row.c         ... row by row
 *
 * A list is a struct sight (watch/live_sight.h), which the window of a process fills as well; one
 * task is a struct inspect_whole. Both are filled from a store or from a reply, and shown by one
 * printer each. What is read is not believed: a context that is too short, a note that leads
 * nowhere, a row that cannot be, is said.
 */
#ifndef PAWL_TOOLS_INSPECT_H
#define PAWL_TOOLS_INSPECT_H

#include <pawl/work.h>

#include "watch/live_sight.h"

/* ---- what is shown ---- */

struct inspect_number {
    const char *name;
    uint64_t value;
};

/* Of a running process; the numbers are those of its row, in its order. */
#define INSPECT_NUMBERS_MAX 60
struct inspect_process {
    uint64_t pid;
    char version[32];
    uint64_t uptime_ns;
    size_t numbers_count;
    struct inspect_number numbers[INSPECT_NUMBERS_MAX];
};

struct inspect_list {
    struct sight sight;
    struct inspect_process *process; /* NULL: it is a store's */
};

/* Another task. */
struct inspect_other {
    uint64_t id;
    bool gone;
    enum pawl_work_state state;
    uint32_t key_size;
    char key[64];
};

struct inspect_others {
    struct inspect_other *at;
    size_t count, capacity;
};

struct inspect_timer {
    char name[64];
    int64_t in_ns; /* may be overdue */
};

#define INSPECT_TIMERS_MAX 16

struct inspect_note {
    struct pawl_work_note note;
    bool detailed; /* detail is what its bytes say */
    struct pawl_work_detail detail;
    void *owned; /* its bytes; NULL: they are another's */
};

struct inspect_whole {
    struct pawl_work_view view;
    char lane[PAWL_LANE_NAME_MAX + 1];
    bool questions;                  /* it is known who waits for whom */
    struct inspect_others waits_for; /* those that it has asked, and that have not settled */
    struct inspect_others waited_by;
    struct inspect_others parent; /* one or none */
    struct inspect_others children;
    uint64_t ports; /* that wait for it as well */
    struct inspect_timer timers[INSPECT_TIMERS_MAX];
    size_t timers_count;
    struct inspect_note *notes; /* the newest first */
    size_t notes_count, notes_capacity;
    const char *wrong; /* why there are no more notes although there should be; NULL: all right */
    bool no_memory;    /* something is missing, for want of it */
};

/* ---- reading ---- */

struct inspect_options {
    char *command;
    const char *path; /* of a store or of a window's socket */
    const char *task; /* NULL: a list */
    const char *lane; /* NULL: any */
    bool live;
    bool json;
    struct sight_choice choice;
};

/* Reads, and shows what was asked for. An exit code; what went wrong is said. */
int inspect_store(const struct inspect_options *options);
int inspect_live(const struct inspect_options *options);

/* Ids as people write them: hexadecimal, perhaps after 0x. */
bool inspect_parse_id(const char *text, uint64_t *id);

/* "no work task has the id or key ..."; an exit code. */
int inspect_no_task(const struct inspect_options *options);

/* ---- one task whole: inspect_whole.c ---- */

void inspect_whole_fini(struct inspect_whole *whole);
void inspect_whole_add(struct inspect_whole *whole, struct inspect_others *others,
                       const struct inspect_other *other);
/* copied: its bytes do not outlive the call. */
void inspect_whole_add_note(struct inspect_whole *whole, const struct pawl_work_note *note,
                            bool copied);
void inspect_whole_add_timer(struct inspect_whole *whole, const char *name, int64_t in_ns);

/* ---- showing ---- */

void inspect_show_list(const struct inspect_list *list, bool json);
void inspect_show_task(const struct inspect_whole *whole, bool json);

/* A name, at least so many columns wide: what is no text, or would leave its line, as "?". */
void inspect_put_name(const char *name, int columns);
/* "12.345 s", right-aligned in so many columns. */
void inspect_put_seconds(uint64_t ns, int columns);
/* "3.17": the opening of the store, and which agent of it; "-" for none. */
const char *inspect_incarnation(uint64_t incarnation, char text[48]);
/* The key as text in quotes, or in hexadecimal; false: it has none. */
bool inspect_put_key(const char *key, uint32_t size, const char *before);
/* Members of a JSON object: ,"name":"...". */
void inspect_put_json(const char *name, const char *text);
void inspect_put_json_key(const char *key, uint32_t size);

/* Whether these bytes can be shown as they are. */
bool inspect_is_text(const void *bytes, size_t size);

#endif /* PAWL_TOOLS_INSPECT_H */

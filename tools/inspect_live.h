/*
 * inspect_live.h - a window's reply, taken apart.
 */
#ifndef PAWL_TOOLS_INSPECT_LIVE_H
#define PAWL_TOOLS_INSPECT_LIVE_H

#include "inspect.h"

/* Bytes of a reply that are taken; a window has its own limit. */
#define INSPECT_REPLY_MAX (16u << 20)

struct inspect_reply {
    bool greeted;
    bool ended;    /* the last row was there */
    bool complete; /* ... and said that nothing is missing */
    int code;      /* why not */
    const char *error;
    struct inspect_process process;
    struct inspect_list list;
    bool found; /* a task's row: whole is one */
    struct inspect_whole whole;
};

/*
 * inspect_reply_read - takes all rows of a reply into a zeroed struct. The bytes, `size` and one more,
 * are changed, and must live as long as it. NULL, or what is wrong with them. `list` decides whether
 * tasks belong to a list.
 */
const char *inspect_reply_read(struct inspect_reply *reply, bool list, char *bytes, size_t size);
void inspect_reply_fini(struct inspect_reply *reply);

#endif /* PAWL_TOOLS_INSPECT_LIVE_H */

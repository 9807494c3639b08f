/*
 * live.h - a window into a running process: whoever may open a socket sees its lanes, agents and
 * tasks from outside. `pawl inspect --live PATH` is the client.
 *
 *     struct pawl_live_options options = {.path = "/run/builds/pawl.sock"};
 *
 *     pawl_live_open(runtime, &options, &live);      ... and before pawl_close:
 *     pawl_live_close(live);
 *
 * A window has one thread of its own, which sleeps until somebody asks and then looks a portion at a
 * time, as pawl_task_walk does. No shard waits for it, and no request changes anything. In the
 * host-driven mode, too, that thread is the window's own; the shards are not turned by it.
 *
 * What it takes from the system: a thread, a listening stream socket, and while there are clients
 * for each one descriptor and at most PAWL_LIVE_REPLY_MAX bytes and what the longest list needs.
 * A client that does not send its request, or does not take its reply, in time is let go.
 *
 * The protocol, version 1. A conversation is one request; all is text in lines that end with \n.
 *
 *   1. The window greets: {"row":"pawl","protocol":1,"version":"...","pid":N}
 *   2. The client sends one line of at most PAWL_LIVE_REQUEST_MAX bytes, its end included: a word,
 *      then parameters NAME=VALUE, one blank before each. In a value, %XX is the byte of that
 *      hexadecimal number; blanks, %, control characters and what is not ASCII must be written so.
 *   3. The window answers in rows, each a flat JSON object in a line of its own, whose first member
 *      "row" says of which kind it is. The last is {"row":"end","complete":true,...}, or
 *      {"row":"end","complete":false,"code":-N,"error":"..."}: what came before is then not all.
 *      Then it closes the connection. Without such a row something has cut the reply off.
 *
 * Rows and members may be added; a client passes over those that it does not know. Another protocol
 * number means that what is here does not hold. Ids, incarnations, tokens, hashes and the numbers
 * that mean something to the host alone are strings of 16 hexadecimal digits, other numbers decimal
 * (up to 2^64 - 1), a name ending in _ns is nanoseconds, one in _hex is bytes, two digits each.
 *
 * Requests:
 *   list [state=NAME] [lane=NAME] [sort=state|age|agent|lane|priority] [limit=N]
 *       rows runtime, state, lane, agent, task, end. state and lane (its name, or its number in 8
 *       digits) choose tasks, of which the first `limit` (100; at most PAWL_LIVE_TASKS_MAX) in that
 *       order are shown: by age the oldest first, which also decides among equals; by priority the
 *       one that became ready first.
 *   task id=HEX | task key=BYTES
 *       rows task, parent, timer, note (newest first), child, end: all of one work task.
 *
 * Rows:
 *   runtime  uptime_ns, shards, and every member of struct pawl_counters, by its name
 *   state    machine, state, tasks: those that are in it; only where there are any
 *   lane     lane, number (8 digits), others (work tasks of it that are neither ready nor leased),
 *            and every member of struct pawl_lane_status; breaker: closed, open, half-open
 *   agent    agent (its incarnation), name ("" when it is not known), open (false: it is gone, and
 *            has leases still), credits (those that it offers), leases (work tasks that it has),
 *            oldest_ns (how long it has had the first of them); at most 8192 are shown, those with
 *            leases rather than others
 *   task     a work task: task, state, lane, key_hex, age_ns, version, held (an agent has it), and
 *            the members of struct pawl_claim and struct pawl_work that have a meaning outside
 *   parent, child   task, state ("" when it is gone), key_hex
 *   timer    timer, in_ns (may be negative)
 *   note     kind (detail, evidence, attempt, verdict, kicked), wall_ns, class, reason, agent, token,
 *            value, hash, bytes_hex; of a detail also title_hex, description_hex, payload_hex and
 *            metadata_hex instead of bytes_hex
 *   end      complete, and with list: matching (how many tasks the choice has, shown or not), and
 *            agents_left_out (the leases of agents that are not shown, because they are too many)
 */
#ifndef PAWL_LIVE_H
#define PAWL_LIVE_H

#include <pawl/agent.h>
#include <pawl/error.h>
#include <pawl/export.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

PAWL_BEGIN_DECLS

struct pawl_live;
struct pawl_runtime;

#define PAWL_LIVE_PROTOCOL    1
#define PAWL_LIVE_REQUEST_MAX 1024       /* bytes of a request, its line end included */
#define PAWL_LIVE_TASKS_MAX   4096       /* tasks that one reply lists */
#define PAWL_LIVE_REPLY_MAX   (8u << 20) /* bytes of a reply; what is more is left out, and said */
#define PAWL_LIVE_CLIENTS_MAX 16         /* at once */

/* 0 and NULL mean the default said here. */
struct pawl_live_options {
    const char *path; /* of the socket: at most 107 bytes, in a directory that is there */
    unsigned mode;    /* permissions of the socket; 0: 0600, only the same user */
    unsigned clients; /* served at once, others wait; 0: 4; at most PAWL_LIVE_CLIENTS_MAX */
    /* How long a client may do nothing; 0: 10 s. To send its whole request it has 16 times as long,
     * and as long again to take the whole reply. */
    uint64_t patience_ns;
    pawl_diagnostic_fn *diagnose; /* what is wrong, in words; may be NULL */
    void *user;                   /* for diagnose */
};

/*
 * pawl_live_open - opens a window on a runtime, in any stage after pawl_open; its address is the path
 * from now on. A socket there that nobody listens on any more is replaced. -EINVAL (a number, a
 * path that is too long), -EBUSY (somebody listens there, or is just about to), -EEXIST (what is
 * there is no socket), -ENOMEM, or what the system says of the path (-ENOENT, -EACCES ...) or of the
 * thread. Nothing is left behind then. Thread: any. The strings are copied.
 *
 * pawl_live_close - ends it: conversations are cut off, the path is removed if it still leads to
 * this window, and the thread has ended on return. pawl_close says -EBUSY before. Thread: any. live
 * may be NULL.
 */
PAWL_API int pawl_live_open(struct pawl_runtime *runtime, const struct pawl_live_options *options,
                            struct pawl_live **live);
PAWL_API void pawl_live_close(struct pawl_live *live);

/* ---- What a window shows and other calls do not tell ---- */

/* The name of a lane by its position in pawl_options.lanes; NULL: there are no more. Thread: any;
 * the string lives as long as the runtime. */
PAWL_API const char *pawl_lane_name(const struct pawl_runtime *runtime, unsigned position);

/* An open agent, as others see it. */
struct pawl_agent_view {
    uint64_t incarnation;
    uint64_t number;    /* pawl_agent_number of its name */
    uint64_t lanes;     /* the positions of those it serves, a bit each */
    uint64_t silent_ns; /* since its last sign of life; 0 for an agent without a heartbeat */
    uint32_t credits;   /* offered, and taken by no shard yet */
    char name[PAWL_AGENT_NAME_MAX + 1]; /* "": not known */
};

/*
 * pawl_agent_list - the open agents, a portion at a time: start with *next 0; up to capacity views,
 * returns how many, 0: that was all. One that is open all the while is listed once. Thread: any; it
 * waits for threads that open or close a port, not for shards.
 */
PAWL_API int pawl_agent_list(const struct pawl_runtime *runtime, unsigned *next,
                             struct pawl_agent_view *views, unsigned capacity);

PAWL_END_DECLS

#endif /* PAWL_LIVE_H */

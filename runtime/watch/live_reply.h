/*
 * live_reply.h - the rows that a window answers with; <pawl/live.h> says what is in them.
 *
 * Layer: watch. Each call appends one whole row, or none when the reply is full.
 */
#ifndef PAWL_WATCH_LIVE_REPLY_H
#define PAWL_WATCH_LIVE_REPLY_H

#include <pawl/watch.h>

#include "watch/live_sight.h"
#include "watch/live_text.h"

/* Kept free for the last row. */
#define REPLY_END_MAX 1024u

void pawl__reply_greeting(struct live_text *text);
void pawl__reply_runtime(struct live_text *text, uint64_t uptime_ns, unsigned shards,
                         const struct pawl_counters *counters);
void pawl__reply_state(struct live_text *text, const struct sight_state *state);
void pawl__reply_lane(struct live_text *text, const struct sight_lane *lane);
void pawl__reply_agent(struct live_text *text, const struct sight_agent *agent);
void pawl__reply_task(struct live_text *text, const struct pawl_work_view *view, const char *lane);

/* row: "parent" or "child"; view NULL: it is gone. */
void pawl__reply_other(struct live_text *text, const char *row, uint64_t task,
                       const struct pawl_work_view *view);
void pawl__reply_timer(struct live_text *text, const char *timer, int64_t in_ns);
void pawl__reply_note(struct live_text *text, const struct pawl_work_note *note);

/* The last row, for which there is always room but when there is no memory at all. */
void pawl__reply_end(struct live_text *text, const struct sight *sight);
void pawl__reply_error(struct live_text *text, int error, const char *what);

/* "detail", "evidence", "attempt", "verdict", "kicked"; "?". */
const char *pawl__reply_note_name(unsigned kind);
/* "closed", "open", "half-open". */
const char *pawl__reply_breaker_name(enum pawl_breaker breaker);

#endif /* PAWL_WATCH_LIVE_REPLY_H */

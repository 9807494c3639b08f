#include "watch/live_reply.h"

#include <inttypes.h>
#include <pawl/version.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"

const char *pawl__reply_note_name(unsigned kind)
{
    static const char *const names[PAWL_WORK_NOTE_KINDS] = {"detail", "evidence", "attempt",
                                                            "verdict", "kicked"};

    return kind < PAWL_WORK_NOTE_KINDS ? names[kind] : "?";
}

const char *pawl__reply_breaker_name(enum pawl_breaker breaker)
{
    switch (breaker) {
    case PAWL_BREAKER_CLOSED:
        return "closed";
    case PAWL_BREAKER_OPEN:
        return "open";
    case PAWL_BREAKER_HALF_OPEN:
        return "half-open";
    }
    return "?";
}

/* ---- Members ---- */

static void put_number(struct live_text *text, const char *name, uint64_t value)
{
    pawl__live_text_say(text, ",\"%s\":%" PRIu64, name, value);
}

static void put_signed(struct live_text *text, const char *name, int64_t value)
{
    pawl__live_text_say(text, ",\"%s\":%" PRId64, name, value);
}

static void put_id(struct live_text *text, const char *name, uint64_t value)
{
    pawl__live_text_say(text, ",\"%s\":\"%016" PRIx64 "\"", name, value);
}

static void put_bool(struct live_text *text, const char *name, bool value)
{
    pawl__live_text_say(text, ",\"%s\":%s", name, value ? "true" : "false");
}

static void put_string(struct live_text *text, const char *name, const char *value)
{
    pawl__live_text_say(text, ",\"%s\":", name);
    pawl__live_text_string(text, value);
}

static void put_bytes(struct live_text *text, const char *name, const void *bytes, size_t size)
{
    pawl__live_text_say(text, ",\"%s\":", name);
    pawl__live_text_hex(text, bytes, size);
}

static void begin(struct live_text *text, const char *row)
{
    pawl__live_text_say(text, "{\"row\":\"%s\"", row);
}

static void end(struct live_text *text)
{
    pawl__live_text_say(text, "}");
    pawl__live_text_end_row(text);
}

/* ---- Rows ---- */

void pawl__reply_greeting(struct live_text *text)
{
    begin(text, "pawl");
    put_number(text, "protocol", PAWL_LIVE_PROTOCOL);
    put_string(text, "version", PAWL_VERSION);
    put_number(text, "pid", (uint64_t)getpid());
    end(text);
}

/* In the order of the struct, which is all of one type. */
#define COUNTER(name)                                                                              \
    {                                                                                              \
#name, offsetof(struct pawl_counters, name)                                                \
    }
static const struct {
    const char *name;
    size_t at;
} counter_names[] = {
    COUNTER(turns),        COUNTER(events),       COUNTER(transitions), COUNTER(created),
    COUNTER(ended),        COUNTER(ignored),      COUNTER(refused),     COUNTER(stale),
    COUNTER(aborted),      COUNTER(deferred),     COUNTER(recalled),    COUNTER(undelivered),
    COUNTER(timers_fired), COUNTER(posted),       COUNTER(sent),        COUNTER(parks),
    COUNTER(stalls),       COUNTER(throttled),    COUNTER(tasks),       COUNTER(timers),
    COUNTER(inflight),     COUNTER(memory_bytes),
};
_Static_assert(ARRAY_LEN(counter_names) * sizeof(uint64_t) == sizeof(struct pawl_counters),
               "every counter is shown");

void pawl__reply_runtime(struct live_text *text, uint64_t uptime_ns, unsigned shards,
                         const struct pawl_counters *counters)
{
    begin(text, "runtime");
    put_number(text, "uptime_ns", uptime_ns);
    put_number(text, "shards", shards);
    for (size_t i = 0; i < ARRAY_LEN(counter_names); i++) {
        uint64_t value;

        memcpy(&value, (const char *)counters + counter_names[i].at, sizeof(value));
        put_number(text, counter_names[i].name, value);
    }
    end(text);
}

void pawl__reply_state(struct live_text *text, const struct sight_state *state)
{
    begin(text, "state");
    put_string(text, "machine", state->machine);
    put_string(text, "state", state->state);
    put_number(text, "tasks", state->tasks);
    end(text);
}

void pawl__reply_lane(struct live_text *text, const struct sight_lane *lane)
{
    const struct pawl_lane_status *const status = &lane->status;

    begin(text, "lane");
    put_string(text, "lane", lane->name);
    pawl__live_text_say(text, ",\"number\":\"%08" PRIx32 "\"", lane->number);
    put_number(text, "ready", status->ready);
    put_number(text, "leased", status->leased);
    put_number(text, "others", lane->others);
    put_number(text, "oldest_ns", status->oldest_ns);
    put_number(text, "leases", status->leases);
    put_number(text, "returned", status->returned);
    put_number(text, "expired", status->expired);
    put_number(text, "lost", status->lost);
    put_number(text, "refused", status->refused);
    put_number(text, "good", status->good);
    put_number(text, "bad", status->bad);
    put_bool(text, "paused", status->paused);
    put_string(text, "breaker", pawl__reply_breaker_name(status->breaker));
    end(text);
}

void pawl__reply_agent(struct live_text *text, const struct sight_agent *agent)
{
    begin(text, "agent");
    put_id(text, "agent", agent->incarnation);
    put_string(text, "name", agent->name);
    put_bool(text, "open", agent->open);
    put_number(text, "credits", agent->credits);
    put_number(text, "leases", agent->leases);
    put_number(text, "oldest_ns", agent->oldest_ns);
    end(text);
}

static void put_claim(struct live_text *text, const struct pawl_claim *claim)
{
    put_number(text, "since_ns", claim->since_ns);
    put_id(text, "token", claim->token);
    put_id(text, "agent", claim->agent);
    put_id(text, "assignee", claim->assignee);
    put_number(text, "priority", claim->priority);
    put_number(text, "leases", claim->leases);
}

static void put_work(struct live_text *text, const struct pawl_work *work)
{
    put_id(text, "parent", work->parent);
    put_id(text, "value", work->value);
    put_id(text, "progress", work->progress);
    put_number(text, "created_ns", work->created_ns);
    put_number(text, "started_ns", work->started_ns);
    put_number(text, "settled_ns", work->settled_ns);
    put_number(text, "due_ns", work->due_ns);
    put_number(text, "deadline_ns", work->deadline_ns);
    put_number(text, "waits", work->waits);
    put_number(text, "attempts", work->attempts);
    put_number(text, "attempts_max", work->attempts_max);
    put_number(text, "crashes", work->crashes);
    put_number(text, "class", work->klass);
    put_signed(text, "reason", work->reason);
    put_number(text, "policy", work->policy);
    put_number(text, "flags", work->flags & (PAWL_WORK_HELD | PAWL_WORK_GROUP));
    put_number(text, "notes", work->notes);
    put_number(text, "bytes", work->bytes);
    put_number(text, "history", work->history);
    put_number(text, "missed", work->missed);
}

void pawl__reply_task(struct live_text *text, const struct pawl_work_view *view, const char *lane)
{
    begin(text, "task");
    put_id(text, "task", view->task.id);
    put_string(text, "state", pawl_work_state_name(view->state));
    put_string(text, "lane", lane);
    put_bytes(text, "key_hex", view->key, view->key_size);
    put_number(text, "age_ns", view->age_ns);
    put_number(text, "version", view->version);
    put_bool(text, "held", sight_is_held(view));
    put_claim(text, &view->work.claim);
    put_work(text, &view->work);
    end(text);
}

void pawl__reply_other(struct live_text *text, const char *row, uint64_t task,
                       const struct pawl_work_view *view)
{
    begin(text, row);
    put_id(text, "task", task);
    put_string(text, "state", view != NULL ? pawl_work_state_name(view->state) : "");
    put_bytes(text, "key_hex", view != NULL ? view->key : "", view != NULL ? view->key_size : 0);
    end(text);
}

void pawl__reply_timer(struct live_text *text, const char *timer, int64_t in_ns)
{
    begin(text, "timer");
    put_string(text, "timer", timer);
    put_signed(text, "in_ns", in_ns);
    end(text);
}

void pawl__reply_note(struct live_text *text, const struct pawl_work_note *note)
{
    struct pawl_work_detail detail;

    begin(text, "note");
    put_string(text, "kind", pawl__reply_note_name(note->kind));
    put_number(text, "wall_ns", note->wall_ns);
    put_number(text, "class", note->klass);
    put_signed(text, "reason", note->reason);
    put_id(text, "agent", note->agent);
    put_id(text, "token", note->token);
    put_id(text, "value", note->value);
    put_id(text, "hash", note->hash);
    if (note->kind == PAWL_WORK_NOTE_DETAIL && pawl_work_note_detail(note, &detail) == 0) {
        put_bytes(text, "title_hex", detail.title, strlen(detail.title));
        put_bytes(text, "description_hex", detail.description, strlen(detail.description));
        put_bytes(text, "payload_hex", detail.payload, detail.payload_size);
        put_bytes(text, "metadata_hex", detail.metadata, detail.metadata_size);
    } else {
        put_bytes(text, "bytes_hex", note->bytes, note->size);
    }
    end(text);
}

/* ---- The last row ---- */

static void put_error(struct live_text *text, int error, const char *what)
{
    begin(text, "end");
    put_bool(text, "complete", false);
    put_signed(text, "code", error);
    put_string(text, "error", what);
    end(text);
}

/* True: something has been left out. The reserve is there for what comes now. */
static bool open_reserve(struct live_text *text)
{
    const bool full = text->full;

    text->limit = text->limit + REPLY_END_MAX;
    text->full = false;
    return full;
}

void pawl__reply_end(struct live_text *text, const struct sight *sight)
{
    if (open_reserve(text)) {
        put_error(text, -ENOSPC, "the rest does not fit in a reply, or in memory: ask for less");
        return;
    }
    begin(text, "end");
    put_bool(text, "complete", true);
    put_number(text, "matching", sight->matching);
    put_number(text, "agents_left_out", sight->agents_left_out);
    end(text);
}

void pawl__reply_error(struct live_text *text, int error, const char *what)
{
    open_reserve(text);
    put_error(text, error, what);
}

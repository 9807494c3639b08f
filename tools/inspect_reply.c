/*
 * inspect_reply.c - takes a window's reply apart, row by row, into what is shown.
 *
 * The rows are another process's: nothing in them is believed. What is missing is 0 or empty, what
 * is too long is cut, rows and members that are not known are passed over.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inspect_live.h"
#include "inspect_row.h"
#include "watch/live_reply.h"

#define LANES_MAX  4096u /* more than any window has: each is looked for among all */
#define AGENTS_MAX SIGHT_AGENTS_MAX

static bool find_state(const char *name, enum pawl_work_state *state)
{
    for (unsigned i = 0; i < PAWL_WORK_STATES; i++)
        if (strcmp(name, pawl_work_state_name(i)) == 0) {
            *state = (enum pawl_work_state)i;
            return true;
        }
    return false;
}

static void take_key(const struct row *row, char key[64], uint32_t *size)
{
    size_t bytes;
    const char *const from = row_bytes(row, "key_hex", &bytes);

    *size = from && bytes <= 64 ? (uint32_t)bytes : 0;
    if (*size > 0)
        memcpy(key, from, *size);
}

/* ---- Rows of both ---------------------------------------------------------------------------- */

static const char *take_greeting(struct inspect_reply *reply, const struct row *row)
{
    if (row_number(row, "protocol") != PAWL_LIVE_PROTOCOL)
        return "it speaks another protocol: use the pawl command of the version that it runs";
    reply->greeted = true;
    reply->process.pid = row_number(row, "pid");
    snprintf(reply->process.version, sizeof(reply->process.version), "%s",
             row_string(row, "version"));
    return NULL;
}

static void take_end(struct inspect_reply *reply, const struct row *row)
{
    reply->ended = true;
    reply->complete = row_bool(row, "complete");
    reply->code = (int)(int64_t)row_number(row, "code");
    reply->error = row_string(row, "error");
    reply->list.sight.matching = row_number(row, "matching");
    reply->list.sight.agents_left_out = row_number(row, "agents_left_out");
}

static void take_claim(const struct row *row, struct pawl_claim *claim)
{
    claim->since_ns = row_number(row, "since_ns");
    claim->token = row_id(row, "token");
    claim->agent = row_id(row, "agent");
    claim->assignee = row_id(row, "assignee");
    claim->priority = (uint32_t)row_number(row, "priority");
    claim->leases = (uint32_t)row_number(row, "leases");
    claim->lane = pawl_lane_number(row_string(row, "lane"));
}

static void take_work(const struct row *row, struct pawl_work *work)
{
    take_claim(row, &work->claim);
    work->parent = row_id(row, "parent");
    work->value = row_id(row, "value");
    work->progress = row_id(row, "progress");
    work->created_ns = row_number(row, "created_ns");
    work->started_ns = row_number(row, "started_ns");
    work->settled_ns = row_number(row, "settled_ns");
    work->due_ns = row_number(row, "due_ns");
    work->deadline_ns = row_number(row, "deadline_ns");
    work->waits = (uint32_t)row_number(row, "waits");
    work->attempts = (uint32_t)row_number(row, "attempts");
    work->attempts_max = (uint32_t)row_number(row, "attempts_max");
    work->crashes = (uint8_t)row_number(row, "crashes");
    work->klass = (uint8_t)row_number(row, "class");
    work->reason = (int32_t)row_number(row, "reason");
    work->policy = (uint16_t)row_number(row, "policy");
    work->flags = (uint8_t)row_number(row, "flags");
    work->notes = (uint16_t)row_number(row, "notes");
    work->bytes = (uint32_t)row_number(row, "bytes");
    work->history = (uint16_t)row_number(row, "history");
    work->missed = (uint16_t)row_number(row, "missed");
}

/* False: its state is not known. */
static bool take_view(const struct row *row, struct pawl_work_view *view)
{
    memset(view, 0, sizeof(*view));
    if (!find_state(row_string(row, "state"), &view->state))
        return false;
    view->task.id = row_id(row, "task");
    view->age_ns = row_number(row, "age_ns");
    view->version = (uint32_t)row_number(row, "version");
    take_key(row, view->key, &view->key_size);
    take_work(row, &view->work);
    return true;
}

/* ---- Rows of a list -------------------------------------------------------------------------- */

static const char *take_runtime(struct inspect_reply *reply, const struct row *row)
{
    struct inspect_process *const process = &reply->process;

    process->uptime_ns = row_number(row, "uptime_ns");
    process->numbers_count = 0;
    for (size_t i = 0; i < row->count && process->numbers_count < INSPECT_NUMBERS_MAX; i++) {
        const struct row_member *const member = &row->members[i];

        if (member->type == ROW_NUMBER && strcmp(member->name, "uptime_ns") != 0)
            process->numbers[process->numbers_count++] =
                (struct inspect_number){member->name, member->number};
    }
    return NULL;
}

static const char *take_state(struct inspect_reply *reply, const struct row *row)
{
    return pawl__sight_add_state(&reply->list.sight, row_string(row, "machine"),
                                 row_string(row, "state"), row_number(row, "tasks"))
               ? NULL
               : "there is no memory for it";
}

static enum pawl_breaker find_breaker(const char *name)
{
    enum pawl_breaker breaker = PAWL_BREAKER_HALF_OPEN;

    while (breaker != PAWL_BREAKER_CLOSED && strcmp(name, pawl__reply_breaker_name(breaker)) != 0)
        breaker = (enum pawl_breaker)(breaker - 1);
    return breaker;
}

static const char *take_lane(struct inspect_reply *reply, const struct row *row)
{
    struct sight *const sight = &reply->list.sight;
    const char *const name = row_string(row, "lane");
    const int64_t at = sight->lanes_count < LANES_MAX
                           ? pawl__sight_add_lane(sight, (uint32_t)row_id(row, "number"), name)
                           : -ENOSPC;

    if (at < 0)
        return at == -ENOSPC ? "it has too many lanes" : "there is no memory for it";
    sight->lanes[at].others = row_number(row, "others");
    sight->lanes[at].status = (struct pawl_lane_status){
        .ready = row_number(row, "ready"),
        .leased = row_number(row, "leased"),
        .oldest_ns = row_number(row, "oldest_ns"),
        .leases = row_number(row, "leases"),
        .returned = row_number(row, "returned"),
        .expired = row_number(row, "expired"),
        .lost = row_number(row, "lost"),
        .refused = row_number(row, "refused"),
        .good = row_number(row, "good"),
        .bad = row_number(row, "bad"),
        .paused = row_bool(row, "paused"),
        .breaker = find_breaker(row_string(row, "breaker")),
    };
    return NULL;
}

static const char *take_agent(struct inspect_reply *reply, const struct row *row)
{
    struct sight *const sight = &reply->list.sight;
    struct sight_agent *const agent = pawl__sight_add_agent(sight, row_id(row, "agent"));

    if (!agent)
        return sight->agents_count < AGENTS_MAX ? "there is no memory for it"
                                                : "it has too many agents";
    snprintf(agent->name, sizeof(agent->name), "%s", row_string(row, "name"));
    agent->open = row_bool(row, "open");
    agent->credits = (uint32_t)row_number(row, "credits");
    agent->leases = row_number(row, "leases");
    agent->oldest_ns = row_number(row, "oldest_ns");
    return NULL;
}

static const char *take_listed(struct inspect_reply *reply, const struct row *row)
{
    struct sight *const sight = &reply->list.sight;
    const char *const name = row_string(row, "lane");
    struct pawl_work_view view;
    uint32_t lane = 0;

    if (!take_view(row, &view)) {
        sight->foreign++;
        return NULL;
    }
    while (lane < sight->lanes_count && strcmp(sight->lanes[lane].name, name) != 0)
        lane++;
    if (lane == sight->lanes_count)
        return "a task is in a lane that is not listed";
    return pawl__sight_append(sight, &view, lane) ? NULL : "there is no memory for it";
}

/* ---- Rows of one task ------------------------------------------------------------------------ */

static const char *take_task(struct inspect_reply *reply, const struct row *row)
{
    if (!take_view(row, &reply->whole.view))
        return "its state is not known: use the pawl command of the version that it runs";
    reply->found = true;
    snprintf(reply->whole.lane, sizeof(reply->whole.lane), "%s", row_string(row, "lane"));
    return NULL;
}

static void take_other(struct inspect_whole *whole, struct inspect_others *others,
                       const struct row *row)
{
    struct inspect_other other = {.id = row_id(row, "task")};

    other.gone = !find_state(row_string(row, "state"), &other.state);
    take_key(row, other.key, &other.key_size);
    inspect_whole_add(whole, others, &other);
}

static void take_detail(const struct row *row, struct inspect_note *note)
{
    size_t size;
    const char *title, *description;

    title = row_bytes(row, "title_hex", &size);
    description = row_bytes(row, "description_hex", &size);
    if (!title || !description)
        return;
    note->detailed = true;
    note->detail.title = title;
    note->detail.description = description;
    note->detail.payload = row_bytes(row, "payload_hex", &note->detail.payload_size);
    note->detail.metadata = row_bytes(row, "metadata_hex", &note->detail.metadata_size);
}

static void take_note(struct inspect_whole *whole, const struct row *row)
{
    struct pawl_work_note note = {.kind = PAWL_WORK_NOTE_DETAIL};
    const size_t count = whole->notes_count;

    while (note.kind < PAWL_WORK_NOTE_KINDS &&
           strcmp(row_string(row, "kind"), pawl__reply_note_name(note.kind)) != 0)
        note.kind = (enum pawl_work_note_kind)(note.kind + 1);
    note.wall_ns = row_number(row, "wall_ns");
    note.klass = (uint8_t)row_number(row, "class");
    note.reason = (int32_t)row_number(row, "reason");
    note.agent = row_id(row, "agent");
    note.token = row_id(row, "token");
    note.value = row_id(row, "value");
    note.hash = row_id(row, "hash");
    note.bytes = row_bytes(row, "bytes_hex", &note.size);
    if (!note.bytes)
        note.bytes = "";
    inspect_whole_add_note(whole, &note, false);
    if (whole->notes_count > count && note.kind == PAWL_WORK_NOTE_DETAIL) {
        whole->notes[count].detailed = false;
        take_detail(row, &whole->notes[count]);
    }
}

/* ---- All of them ----------------------------------------------------------------------------- */

static const char *take_row(struct inspect_reply *reply, bool list, const struct row *row)
{
    static const struct {
        const char *name;
        const char *(*take)(struct inspect_reply *reply, const struct row *row);
    } listed[] = {{"runtime", take_runtime},
                  {"state", take_state},
                  {"lane", take_lane},
                  {"agent", take_agent},
                  {"task", take_listed}};
    struct inspect_whole *const whole = &reply->whole;
    const char *const name = row_string(row, "row");

    if (!reply->greeted)
        return strcmp(name, "pawl") == 0 ? take_greeting(reply, row)
                                         : "it does not greet as a window does";
    if (strcmp(name, "end") == 0)
        take_end(reply, row);
    for (size_t i = 0; list && i < sizeof(listed) / sizeof(listed[0]); i++)
        if (strcmp(name, listed[i].name) == 0)
            return listed[i].take(reply, row);
    if (list)
        return NULL;
    if (strcmp(name, "task") == 0)
        return take_task(reply, row);
    if (strcmp(name, "parent") == 0)
        take_other(whole, &whole->parent, row);
    else if (strcmp(name, "child") == 0)
        take_other(whole, &whole->children, row);
    else if (strcmp(name, "timer") == 0)
        inspect_whole_add_timer(whole, row_string(row, "timer"), (int64_t)row_number(row, "in_ns"));
    else if (strcmp(name, "note") == 0)
        take_note(whole, row);
    return whole->no_memory ? "there is no memory for it" : NULL;
}

const char *inspect_reply_read(struct inspect_reply *reply, bool list, char *bytes, size_t size)
{
    char *const end = bytes + size;
    const char *wrong = NULL;

    reply->list.process = &reply->process;
    reply->list.sight.choice.limit = UINT64_MAX;
    while (bytes < end && !wrong && !reply->ended) {
        char *const line = memchr(bytes, '\n', (size_t)(end - bytes));
        struct row row;

        if (!line) /* cut off: there is no end row */
            break;
        wrong = row_parse(&row, bytes, (size_t)(line - bytes));
        if (!wrong)
            wrong = take_row(reply, list, &row);
        bytes = line + 1;
    }
    return wrong;
}

void inspect_reply_fini(struct inspect_reply *reply)
{
    pawl__sight_fini(&reply->list.sight);
    inspect_whole_fini(&reply->whole);
}

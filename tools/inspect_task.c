/*
 * inspect_task.c - one work task of a store, whole.
 *
 * Who waits for whom is not in the tasks' contexts: who waits has asked, and its question lies with
 * the task that is to be settled, deferred, or is still on its way there. So it is found there, for
 * as long as it is open.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/work_machine.h"
#include "inspect.h"
#include "task/slot.h"
#include "tool.h"

#define SHOWN_TEXT 1024u /* of a piece of text or bytes that is printed; JSON has all */
#define SHOWN_HEX  32u

/* ---- other tasks ----------------------------------------------------------------------------- */

struct ids {
    uint64_t *at;
    size_t count, capacity;
};

struct whole {
    const struct inspect *inspect;
    struct inspect_item item;
    uint64_t id;
    struct ids waits_for;
    struct ids waited_by;
    struct ids children;
    uint64_t ports; /* that wait for it as well, or others without an id */
    bool no_memory;
};

static void add_id(struct whole *whole, struct ids *ids, uint64_t id)
{
    if (ids->count == ids->capacity) {
        const size_t capacity = 2 * ids->capacity + 8;
        uint64_t *const at = realloc(ids->at, capacity * sizeof(at[0]));

        if (!at) {
            whole->no_memory = true;
            return;
        }
        ids->at = at;
        ids->capacity = capacity;
    }
    ids->at[ids->count++] = id;
}

/* What is asked of a work task, by the name of the event; NULL: it is none. */
static const char *asked(const struct inspect *inspect, const struct entry_event *event)
{
    const struct image_task *const task = store_task(&inspect->image, event->task);
    const struct manifest_machine *machine;

    if (!task || strcmp(inspect_machine(inspect, task), pawl__work_machine.name) != 0)
        return NULL;
    machine = &inspect->image.manifest->machines[task->machine];
    return event->code < machine->events_count ? machine->events[event->code] : NULL;
}

/* A question that is open, wherever it lies. */
static void take_question(struct whole *whole, const struct entry_event *event)
{
    const struct store_image *const image = &whole->inspect->image;
    const char *const name = asked(whole->inspect, event);
    const bool has_asker = (event->flags & PAWL_EVENT_ASK) != 0;
    const bool is_mine = store_resolve(image, event->task) == whole->id;

    if (!name || strcmp(name, "watch") != 0)
        return;
    if (is_mine && !has_asker)
        whole->ports++;
    else if (is_mine)
        add_id(whole, &whole->waited_by, store_resolve(image, event->arg[1]));
    else if (has_asker && store_resolve(image, event->arg[1]) == whole->id)
        add_id(whole, &whole->waits_for, store_resolve(image, event->task));
}

static void look_at_events(struct whole *whole, const struct image_events *events)
{
    for (size_t i = events->first; i < events->count; i++)
        take_question(whole, &events->at[i]->event);
}

static void look_at_way(struct whole *whole, uint32_t from, uint32_t to, unsigned control)
{
    const struct store_image *const image = &whole->inspect->image;
    const struct image_events *const sent = &image->shards[from].links[to].sent[control];

    for (size_t i = sent->first; i < sent->count; i++)
        if (store_is_under_way(image, from, to, control, sent->at[i]->number))
            take_question(whole, &sent->at[i]->event);
}

static void look_around(struct whole *whole)
{
    const struct store_image *const image = &whole->inspect->image;
    const uint32_t shards = image->manifest->shards;

    for (uint32_t i = 0; i < shards; i++) {
        for (size_t at = 0; at < image->shards[i].tasks_count; at++)
            if (image_task_lives(&image->shards[i].tasks[at]))
                look_at_events(whole, &image->shards[i].tasks[at].deferred);
        for (uint32_t to = 0; to < shards; to++)
            for (unsigned control = 0; control < 2; control++)
                look_at_way(whole, i, to, control);
    }
    for (size_t i = 0; i < whole->inspect->count; i++) {
        const struct inspect_item *const other = &whole->inspect->items[i];

        if (other->work.parent != 0 && store_resolve(image, other->work.parent) == whole->id)
            add_id(whole, &whole->children, image_task_id(other->shard, other->task));
    }
}

/* ---- words ----------------------------------------------------------------------------------- */

static const char *note_name(unsigned kind)
{
    static const char *const names[PAWL_WORK_NOTE_KINDS] = {"detail", "evidence", "attempt",
                                                            "verdict", "kicked"};

    return kind < PAWL_WORK_NOTE_KINDS ? names[kind] : "?";
}

static const char *class_name(unsigned klass, char text[8])
{
    static const char *const names[] = {"expired",    "lost",   "rejected",    "overdue",
                                        "dependency", "parent", "quarantined", "no-lane"};

    if (klass >= PAWL_WORK_CLASS_EXPIRED &&
        klass - PAWL_WORK_CLASS_EXPIRED < sizeof(names) / sizeof(names[0]))
        return names[klass - PAWL_WORK_CLASS_EXPIRED];
    snprintf(text, 8, "%u", klass & 0xffu);
    return text;
}

static void put_wall(uint64_t wall_ns)
{
    const time_t seconds = (time_t)(wall_ns / 1000000000u);
    struct tm fields;
    char text[32];

    if (wall_ns == 0 || !gmtime_r(&seconds, &fields)) {
        printf("(no wall clock)");
        return;
    }
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &fields);
    printf("%s.%09" PRIu64 "Z", text, wall_ns % 1000000000u);
}

static void put_time(const char *name, uint64_t wall_ns)
{
    if (wall_ns == 0)
        return;
    printf("%-12s", name);
    put_wall(wall_ns);
    putchar('\n');
}

/* ---- as text --------------------------------------------------------------------------------- */

/* Text with its lines indented, anything else in hexadecimal. */
static void put_bytes(const void *bytes, size_t size)
{
    const unsigned char *const at = bytes;
    const bool text = inspect_is_text(bytes, size);
    const size_t most = text ? SHOWN_TEXT : SHOWN_HEX;
    size_t shown = size < most ? size : most;

    while (text && shown < size && (at[shown] & 0xc0) == 0x80)
        shown--; /* not within a character */
    fputs("    ", stdout);
    for (size_t i = 0; i < shown; i++)
        if (!text)
            printf("%02x", at[i]);
        else if (at[i] == '\n' && i + 1 < shown)
            fputs("\n    ", stdout);
        else if (at[i] != '\n')
            putchar(at[i]);
    putchar('\n');
    if (shown < size)
        printf("    (%zu of %zu bytes; --json has them all)\n", shown, size);
}

static void put_named(const char *name, const void *bytes, size_t size)
{
    if (size == 0)
        return;
    printf("  %s, %zu bytes\n", name, size);
    put_bytes(bytes, size);
}

static void print_detail(const struct pawl_work_note *note)
{
    struct pawl_work_detail detail;

    if (pawl_work_note_detail(note, &detail) != 0) {
        puts("    it cannot be read");
        return;
    }
    put_named("title", detail.title, strlen(detail.title));
    put_named("description", detail.description, strlen(detail.description));
    put_named("payload", detail.payload, detail.payload_size);
    put_named("metadata", detail.metadata, detail.metadata_size);
}

static void print_note(const struct pawl_work_note *note, bool first)
{
    char text[48];

    if (first)
        puts("notes, newest first:");
    put_wall(note->wall_ns);
    printf("  %s", note_name(note->kind));
    if (note->kind == PAWL_WORK_NOTE_ATTEMPT)
        printf(" %" PRIu64 " failed", note->value);
    else if (note->kind == PAWL_WORK_NOTE_VERDICT)
        fputs(note->value == 1 ? " accepted" : " rejected", stdout);
    else if (note->kind == PAWL_WORK_NOTE_KICKED)
        printf(" when %s", pawl_work_state_name((unsigned)note->value));
    else if (note->kind == PAWL_WORK_NOTE_EVIDENCE)
        printf(", %zu bytes, value %" PRIu64 ", hash %016" PRIx64, note->size, note->value,
               note->hash);
    if (note->klass != 0)
        printf(", class %s", class_name(note->klass, text));
    if (note->reason != 0)
        printf(", %s", pawl_strerror(note->reason));
    if (note->agent != 0)
        printf(", agent %s", inspect_incarnation(note->agent, text));
    if (note->token != 0)
        printf(", token %s", inspect_incarnation(note->token, text));
    putchar('\n');
    if (note->kind == PAWL_WORK_NOTE_DETAIL)
        print_detail(note);
    else if (note->size > 0)
        put_bytes(note->bytes, note->size);
}

static void print_other(const struct whole *whole, const char *name, uint64_t id)
{
    const uint64_t now = store_resolve(&whole->inspect->image, id);
    struct inspect_item other;

    printf("%-12s%016" PRIx64, name, now);
    if (inspect_read(whole->inspect, id, &other)) {
        printf("  %s", other.state);
        inspect_put_key(other.task, "  ");
    } else {
        fputs("  gone", stdout);
    }
    putchar('\n');
}

static void print_others(const struct whole *whole, const char *name, const struct ids *ids)
{
    for (size_t i = 0; i < ids->count; i++)
        print_other(whole, i == 0 ? name : "", ids->at[i]);
}

static void print_timers(const struct inspect_item *item, const struct inspect *inspect)
{
    const struct image_task *const task = item->task;
    const struct manifest_machine *const machine =
        &inspect->image.manifest->machines[task->machine];

    for (uint32_t i = 0; i < task->timers_count; i++) {
        const uint64_t expiry = task->timers[i].expiry_ns, now = item->shard->time_ns;
        const uint64_t number = task->timers[i].timer;

        printf("%-12s%s in ", i == 0 ? "timers" : "",
               number < machine->timers_count ? machine->timers[number] : "?");
        inspect_put_seconds(expiry > now ? expiry - now : 0, 0);
        putchar('\n');
    }
}

static void print_claim(const struct whole *whole)
{
    const struct pawl_work *const work = &whole->item.work;
    char agent[48], token[48];

    printf("lane        %s, priority %" PRIu32 "\n", whole->item.lane->name, work->claim.priority);
    if (work->claim.assignee != 0)
        printf("assignee    only the agent of number %016" PRIx64 "\n", work->claim.assignee);
    if (work->claim.leases > 0)
        printf("lease       %s agent %s, token %s; leases so far: %" PRIu32 "\n",
               inspect_is_held(&whole->item) ? "held by" : "last held by",
               inspect_incarnation(work->claim.agent, agent),
               inspect_incarnation(work->claim.token, token), work->claim.leases);
}

static void print_work(const struct whole *whole)
{
    const struct pawl_work *const work = &whole->item.work;
    char text[48];

    printf("attempts    %" PRIu32 " of ", work->attempts);
    if (work->attempts_max == PAWL_WORK_UNLIMITED)
        puts("any number");
    else
        printf("%" PRIu32 "\n", work->attempts_max);
    if (work->crashes > 0)
        printf("crashes     agents that died with it: %u\n", work->crashes);
    if (work->klass != 0 || work->reason != 0)
        printf("failure     class %s%s%s\n", class_name(work->klass, text),
               work->reason != 0 ? ": " : "", work->reason != 0 ? pawl_strerror(work->reason) : "");
    if (work->progress != 0)
        printf("progress    %" PRIu64 "\n", work->progress);
    if (strcmp(whole->item.state, "completed") == 0)
        printf("value       %" PRIu64 "\n", work->value);
    if ((work->flags & PAWL_WORK_GROUP) != 0)
        puts("group       it has no work of its own");
    printf("policy      %u\n", work->policy);
    put_time("created", work->created_ns);
    put_time("started", work->started_ns);
    put_time("not before", work->due_ns);
    put_time("deadline", work->deadline_ns);
    put_time("settled", work->settled_ns);
    print_timers(&whole->item, whole->inspect);
}

static int print_whole(const struct whole *whole)
{
    const struct inspect_item *const item = &whole->item;
    const struct pawl_work *const work = &item->work;
    const char *wrong;

    printf("task        %016" PRIx64, whole->id);
    inspect_put_key(item->task, ", key ");
    printf(", shard %u\nstate       %s for ", item->shard->number, item->state);
    inspect_put_seconds(item->age_ns, 0);
    printf(", version %" PRIu32 "\n", item->task->version >> 1);
    print_claim(whole);
    print_work(whole);
    if (work->waits > 0)
        printf("waits       for tasks: %" PRIu32 "\n", work->waits);
    print_others(whole, "  for", &whole->waits_for);
    print_others(whole, "waited by", &whole->waited_by);
    if (whole->ports > 0)
        printf("ports       that wait for it: %" PRIu64 "\n", whole->ports);
    if (work->parent != 0)
        print_other(whole, "parent", work->parent);
    print_others(whole, "children", &whole->children);
    printf("evidence    notes: %u, bytes: %" PRIu32 "\nhistory     notes: %u", work->notes,
           work->bytes, work->history);
    if (work->missed > 0)
        printf(", without room for %u more", work->missed);
    putchar('\n');
    wrong = inspect_notes(whole->inspect, work->newest, print_note);
    return wrong ? tool_fail(whole->inspect->command, "the notes cannot be read on: %s", wrong)
                 : TOOL_OK;
}

/* ---- as JSON --------------------------------------------------------------------------------- */

/* Text may hold no zero bytes: what does is in hexadecimal, as what is no text at all. */
static void json_bytes(const char *name, const void *bytes, size_t size)
{
    const unsigned char *const at = bytes;
    char *const text = inspect_is_text(bytes, size) ? malloc(size + 1) : NULL;

    if (text) {
        if (size > 0)
            memcpy(text, bytes, size);
        text[size] = '\0';
        inspect_put_json(name, text);
        free(text);
        return;
    }
    printf(",\"%s_hex\":\"", name);
    for (size_t i = 0; i < size; i++)
        printf("%02x", at[i]);
    putchar('"');
}

static void json_note(const struct pawl_work_note *note, bool first)
{
    struct pawl_work_detail detail;
    char text[48];

    fputs(first ? "\n{\"kind\":" : ",\n{\"kind\":", stdout);
    tool_json_string(stdout, note_name(note->kind));
    printf(",\"wall_ns\":%" PRIu64 ",\"class\":\"%s\",\"reason\":%" PRId32, note->wall_ns,
           class_name(note->klass, text), note->reason);
    inspect_put_json("agent", inspect_incarnation(note->agent, text));
    inspect_put_json("token", inspect_incarnation(note->token, text));
    printf(",\"value\":\"%016" PRIx64 "\",\"hash\":\"%016" PRIx64 "\"", note->value, note->hash);
    if (note->kind == PAWL_WORK_NOTE_DETAIL && pawl_work_note_detail(note, &detail) == 0) {
        json_bytes("title", detail.title, strlen(detail.title));
        json_bytes("description", detail.description, strlen(detail.description));
        json_bytes("payload", detail.payload, detail.payload_size);
        json_bytes("metadata", detail.metadata, detail.metadata_size);
    } else {
        json_bytes("bytes", note->bytes, note->size);
    }
    putchar('}');
}

static void json_others(const char *name, const struct ids *ids)
{
    printf(",\"%s\":[", name);
    for (size_t i = 0; i < ids->count; i++)
        printf("%s\"%016" PRIx64 "\"", i > 0 ? "," : "", ids->at[i]);
    putchar(']');
}

static void json_claim(const struct inspect_item *item)
{
    const struct pawl_claim *const claim = &item->work.claim;
    char text[48];

    inspect_put_json("lane", item->lane->name);
    printf(",\"priority\":%" PRIu32 ",\"since_ns\":%" PRIu64 ",\"leases\":%" PRIu32
           ",\"held\":%s,\"assignee\":\"%016" PRIx64 "\"",
           claim->priority, claim->since_ns, claim->leases,
           inspect_is_held(item) ? "true" : "false", claim->assignee);
    inspect_put_json("agent", inspect_incarnation(claim->agent, text));
    inspect_put_json("token", inspect_incarnation(claim->token, text));
}

static void json_timers(const struct whole *whole)
{
    const struct inspect_item *const item = &whole->item;
    const struct manifest_machine *const machine =
        &whole->inspect->image.manifest->machines[item->task->machine];

    fputs(",\"timers\":{", stdout);
    for (uint32_t i = 0; i < item->task->timers_count; i++) {
        const struct entry_timer *const timer = &item->task->timers[i];

        fputs(i > 0 ? "," : "", stdout);
        tool_json_string(
            stdout, timer->timer < machine->timers_count ? machine->timers[timer->timer] : "?");
        /* Signed: it may be overdue. */
        printf(":%" PRId64, (int64_t)(timer->expiry_ns - item->shard->time_ns));
    }
    putchar('}');
}

static void json_work(const struct whole *whole)
{
    const struct pawl_work *const work = &whole->item.work;
    char text[48];

    printf(",\"attempts\":%" PRIu32 ",\"attempts_max\":%" PRIu32
           ",\"crashes\":%u,\"class\":\"%s\",\"reason\":%" PRId32 ",\"progress\":\"%016" PRIx64
           "\",\"value\":\"%016" PRIx64 "\",\"policy\":%u,\"held_back\":%s,\"group\":%s",
           work->attempts, work->attempts_max, work->crashes, class_name(work->klass, text),
           work->reason, work->progress, work->value, work->policy,
           (work->flags & PAWL_WORK_HELD) != 0 ? "true" : "false",
           (work->flags & PAWL_WORK_GROUP) != 0 ? "true" : "false");
    printf(",\"created_ns\":%" PRIu64 ",\"started_ns\":%" PRIu64 ",\"due_ns\":%" PRIu64
           ",\"deadline_ns\":%" PRIu64 ",\"settled_ns\":%" PRIu64 ",\"waits\":%" PRIu32,
           work->created_ns, work->started_ns, work->due_ns, work->deadline_ns, work->settled_ns,
           work->waits);
}

static int json_whole(const struct whole *whole)
{
    const struct inspect_item *const item = &whole->item;
    const char *wrong;

    printf("{\"task\":\"%016" PRIx64 "\"", whole->id);
    inspect_put_json_key(item->task);
    printf(",\"shard\":%" PRIu32, item->shard->number);
    inspect_put_json("state", item->state);
    printf(",\"age_ns\":%" PRIu64 ",\"version\":%" PRIu32, item->age_ns, item->task->version >> 1);
    json_claim(item);
    json_work(whole);
    json_timers(whole);
    json_others("waits_for", &whole->waits_for);
    json_others("waited_by", &whole->waited_by);
    printf(",\"ports_waiting\":%" PRIu64, whole->ports);
    if (item->work.parent != 0)
        printf(",\"parent\":\"%016" PRIx64 "\"",
               store_resolve(&whole->inspect->image, item->work.parent));
    json_others("children", &whole->children);
    printf(",\"evidence\":%u,\"evidence_bytes\":%" PRIu32 ",\"history\":%u,\"missed\":%u",
           item->work.notes, item->work.bytes, item->work.history, item->work.missed);
    fputs(",\"notes\":[", stdout);
    wrong = inspect_notes(whole->inspect, item->work.newest, json_note);
    puts("]}");
    return wrong ? tool_fail(whole->inspect->command, "the notes cannot be read on: %s", wrong)
                 : TOOL_OK;
}

/* ---- which task ------------------------------------------------------------------------------ */

static bool parse_id(const char *text, uint64_t *id)
{
    const char *const digits = strncmp(text, "0x", 2) == 0 ? text + 2 : text;

    if (digits[0] == '\0' || strlen(digits) > 16 ||
        strspn(digits, "0123456789abcdefABCDEF") != strlen(digits))
        return false;
    *id = strtoull(digits, NULL, 16);
    return true;
}

static bool find_key(const struct inspect *inspect, const char *key, struct inspect_item *item)
{
    const size_t size = strlen(key);

    for (size_t i = 0; i < inspect->count; i++) {
        *item = inspect->items[i];
        if (size > 0 && item->task->key_size == size && memcmp(item->task->key, key, size) == 0)
            return true;
    }
    return false;
}

static bool find(const struct inspect *inspect, const char *which, struct inspect_item *item)
{
    uint64_t id;

    if (strncmp(which, "key:", 4) == 0)
        return find_key(inspect, which + 4, item);
    return (parse_id(which, &id) && inspect_read(inspect, id, item)) ||
           find_key(inspect, which, item);
}

int inspect_task(const struct inspect *inspect, const char *which)
{
    struct whole whole = {.inspect = inspect};
    int code;

    if (!find(inspect, which, &whole.item))
        return tool_fail(inspect->command,
                         "no work task has the id or key '%s'; 'pawl history' shows tasks that "
                         "have ended, 'pawl export' those of other machines",
                         which);
    whole.id = image_task_id(whole.item.shard, whole.item.task);
    look_around(&whole);
    if (whole.no_memory)
        code = tool_fail(inspect->command, "there is no memory for it");
    else
        code = inspect->json ? json_whole(&whole) : print_whole(&whole);
    free(whole.waits_for.at);
    free(whole.waited_by.at);
    free(whole.children.at);
    return code;
}

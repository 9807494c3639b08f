/*
 * inspect_task.c - shows one work task whole; as text, and as JSON.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "inspect.h"
#include "tool.h"
#include "watch/live_reply.h"

#define SHOWN_TEXT 1024u /* of a piece of text or bytes that is printed; JSON has all */
#define SHOWN_HEX  32u

/* ---- words ----------------------------------------------------------------------------------- */

static const char *class_name(unsigned klass, char text[8])
{
    static const char *const names[] = {"expired",     "lost",       "rejected",
                                        "overdue",     "dependency", "parent",
                                        "quarantined", "no-lane",    "undeclared"};

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

static void print_detail(const struct inspect_note *note)
{
    if (!note->detailed) {
        puts("    it cannot be read");
        return;
    }
    put_named("title", note->detail.title, strlen(note->detail.title));
    put_named("description", note->detail.description, strlen(note->detail.description));
    put_named("payload", note->detail.payload, note->detail.payload_size);
    put_named("metadata", note->detail.metadata, note->detail.metadata_size);
}

static void print_note(const struct inspect_note *whole)
{
    const struct pawl_work_note *const note = &whole->note;
    char text[48];

    put_wall(note->wall_ns);
    printf("  %s", pawl__reply_note_name(note->kind));
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
        print_detail(whole);
    else if (note->size > 0)
        put_bytes(note->bytes, note->size);
}

static void print_other(const char *name, const struct inspect_other *other)
{
    printf("%-12s%016" PRIx64, name, other->id);
    if (other->gone) {
        fputs("  gone", stdout);
    } else {
        printf("  %s", pawl_work_state_name(other->state));
        inspect_put_key(other->key, other->key_size, "  ");
    }
    putchar('\n');
}

static void print_others(const char *name, const struct inspect_others *others)
{
    for (size_t i = 0; i < others->count; i++)
        print_other(i == 0 ? name : "", &others->at[i]);
}

static void print_timers(const struct inspect_whole *whole)
{
    for (size_t i = 0; i < whole->timers_count; i++) {
        const int64_t in_ns = whole->timers[i].in_ns;

        printf("%-12s", i == 0 ? "timers" : "");
        inspect_put_name(whole->timers[i].name, 0);
        fputs(" in ", stdout);
        inspect_put_seconds(in_ns > 0 ? (uint64_t)in_ns : 0, 0);
        putchar('\n');
    }
}

static void print_claim(const struct inspect_whole *whole)
{
    const struct pawl_work *const work = &whole->view.work;
    char agent[48], token[48];

    fputs("lane        ", stdout);
    inspect_put_name(whole->lane, 0);
    printf(", priority %" PRIu32 "\n", work->claim.priority);
    if (work->claim.assignee != 0)
        printf("assignee    only the agent of number %016" PRIx64 "\n", work->claim.assignee);
    if (work->claim.leases > 0)
        printf("lease       %s agent %s, token %s; leases so far: %" PRIu32 "\n",
               sight_is_held(&whole->view) ? "held by" : "last held by",
               inspect_incarnation(work->claim.agent, agent),
               inspect_incarnation(work->claim.token, token), work->claim.leases);
}

static void print_work(const struct inspect_whole *whole)
{
    const struct pawl_work *const work = &whole->view.work;
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
    if (whole->view.state == PAWL_WORK_COMPLETED)
        printf("value       %" PRIu64 "\n", work->value);
    if ((work->flags & PAWL_WORK_GROUP) != 0)
        puts("group       it has no work of its own");
    printf("policy      %u\n", work->policy);
    put_time("created", work->created_ns);
    put_time("started", work->started_ns);
    put_time("not before", work->due_ns);
    put_time("deadline", work->deadline_ns);
    put_time("settled", work->settled_ns);
    print_timers(whole);
}

static void print_whole(const struct inspect_whole *whole)
{
    const struct pawl_work *const work = &whole->view.work;

    printf("task        %016" PRIx64, whole->view.task.id);
    inspect_put_key(whole->view.key, whole->view.key_size, ", key ");
    printf(", shard %u\nstate       %s for ", pawl_task_shard(whole->view.task),
           pawl_work_state_name(whole->view.state));
    inspect_put_seconds(whole->view.age_ns, 0);
    printf(", version %" PRIu32 "\n", whole->view.version);
    print_claim(whole);
    print_work(whole);
    if (work->waits > 0)
        printf("waits       for tasks: %" PRIu32 "\n", work->waits);
    print_others("  for", &whole->waits_for);
    print_others("waited by", &whole->waited_by);
    if (whole->ports > 0)
        printf("ports       that wait for it: %" PRIu64 "\n", whole->ports);
    print_others("parent", &whole->parent);
    print_others("children", &whole->children);
    printf("evidence    notes: %u, bytes: %" PRIu32 "\nhistory     notes: %u", work->notes,
           work->bytes, work->history);
    if (work->missed > 0)
        printf(", without room for %u more", work->missed);
    putchar('\n');
    if (whole->notes_count > 0)
        puts("notes, newest first:");
    for (size_t i = 0; i < whole->notes_count; i++)
        print_note(&whole->notes[i]);
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

static void json_note(const struct inspect_note *whole, const char *before)
{
    const struct pawl_work_note *const note = &whole->note;
    const struct pawl_work_detail *const detail = &whole->detail;
    char text[48];

    printf("%s\n{\"kind\":", before);
    tool_json_string(stdout, pawl__reply_note_name(note->kind));
    printf(",\"wall_ns\":%" PRIu64 ",\"class\":\"%s\",\"reason\":%" PRId32, note->wall_ns,
           class_name(note->klass, text), note->reason);
    inspect_put_json("agent", inspect_incarnation(note->agent, text));
    inspect_put_json("token", inspect_incarnation(note->token, text));
    printf(",\"value\":\"%016" PRIx64 "\",\"hash\":\"%016" PRIx64 "\"", note->value, note->hash);
    if (whole->detailed) {
        json_bytes("title", detail->title, strlen(detail->title));
        json_bytes("description", detail->description, strlen(detail->description));
        json_bytes("payload", detail->payload, detail->payload_size);
        json_bytes("metadata", detail->metadata, detail->metadata_size);
    } else {
        json_bytes("bytes", note->bytes, note->size);
    }
    putchar('}');
}

static void json_others(const char *name, const struct inspect_others *others)
{
    printf(",\"%s\":[", name);
    for (size_t i = 0; i < others->count; i++)
        printf("%s\"%016" PRIx64 "\"", i > 0 ? "," : "", others->at[i].id);
    putchar(']');
}

static void json_claim(const struct inspect_whole *whole)
{
    const struct pawl_claim *const claim = &whole->view.work.claim;
    char text[48];

    inspect_put_json("lane", whole->lane);
    printf(",\"priority\":%" PRIu32 ",\"since_ns\":%" PRIu64 ",\"leases\":%" PRIu32
           ",\"held\":%s,\"assignee\":\"%016" PRIx64 "\"",
           claim->priority, claim->since_ns, claim->leases,
           sight_is_held(&whole->view) ? "true" : "false", claim->assignee);
    inspect_put_json("agent", inspect_incarnation(claim->agent, text));
    inspect_put_json("token", inspect_incarnation(claim->token, text));
}

static void json_timers(const struct inspect_whole *whole)
{
    fputs(",\"timers\":{", stdout);
    for (size_t i = 0; i < whole->timers_count; i++) {
        fputs(i > 0 ? "," : "", stdout);
        tool_json_string(stdout, whole->timers[i].name);
        printf(":%" PRId64, whole->timers[i].in_ns);
    }
    putchar('}');
}

static void json_work(const struct inspect_whole *whole)
{
    const struct pawl_work *const work = &whole->view.work;
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

static void json_whole(const struct inspect_whole *whole)
{
    const struct pawl_work *const work = &whole->view.work;

    printf("{\"task\":\"%016" PRIx64 "\"", whole->view.task.id);
    inspect_put_json_key(whole->view.key, whole->view.key_size);
    printf(",\"shard\":%u", pawl_task_shard(whole->view.task));
    inspect_put_json("state", pawl_work_state_name(whole->view.state));
    printf(",\"age_ns\":%" PRIu64 ",\"version\":%" PRIu32, whole->view.age_ns, whole->view.version);
    json_claim(whole);
    json_work(whole);
    json_timers(whole);
    if (whole->questions) {
        json_others("waits_for", &whole->waits_for);
        json_others("waited_by", &whole->waited_by);
        printf(",\"ports_waiting\":%" PRIu64, whole->ports);
    }
    if (whole->parent.count > 0)
        printf(",\"parent\":\"%016" PRIx64 "\"", whole->parent.at[0].id);
    json_others("children", &whole->children);
    printf(",\"evidence\":%u,\"evidence_bytes\":%" PRIu32 ",\"history\":%u,\"missed\":%u",
           work->notes, work->bytes, work->history, work->missed);
    fputs(",\"notes\":[", stdout);
    for (size_t i = 0; i < whole->notes_count; i++)
        json_note(&whole->notes[i], i > 0 ? "," : "");
    puts("]}");
}

void inspect_show_task(const struct inspect_whole *whole, bool json)
{
    if (json)
        json_whole(whole);
    else
        print_whole(whole);
}

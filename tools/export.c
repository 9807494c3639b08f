/*
 * export.c - `pawl export`: a store as JSON lines.
 *
 * One object a line, so that a store of any size can be read by line-wise tools. Whatever could
 * exceed 53 bits and is no time or count is a string of hexadecimal digits, because many readers of
 * JSON have doubles only.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "store_image.h"
#include "task/slot.h"
#include "tool.h"

static const char usage[] =
    "usage: pawl export DIR >LINES\n"
    "\n"
    "Prints what a store holds as JSON lines, which 'pawl import' makes a store of again. Reads\n"
    "only; the store may be in use, and is then shown as of now. pawl-export(1) describes the "
    "lines.\n"
    "\n"
    "  -h, --help     print this text\n"
    "  -V, --version  print the version\n"
    "\n"
    "Exit status: 0 if all was printed, 1 if the store cannot be read or is damaged, 2 on wrong\n"
    "usage.\n";

/* ---- pieces ---------------------------------------------------------------------------------- */

static void put_hex(FILE *out, const char *name, const void *bytes, size_t size)
{
    const uint8_t *const at = bytes;

    fprintf(out, ",\"%s\":\"", name);
    for (size_t i = 0; i < size; i++)
        fprintf(out, "%02x", at[i]);
    fputc('"', out);
}

/* Printable ASCII can be text; what else a key holds is not ours to interpret. */
static bool is_text(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] < 0x20 || bytes[i] > 0x7e)
            return false;
    return true;
}

static void put_key(FILE *out, const struct image_task *task)
{
    char text[KEY_SIZE_MAX + 1] = "";

    if (task->key_size == 0)
        return;
    if (!is_text(task->key, task->key_size)) {
        put_hex(out, "key_hex", task->key, task->key_size);
        return;
    }
    memcpy(text, task->key, task->key_size);
    fputs(",\"key\":", out);
    tool_json_string(out, text);
}

static const char *durability_name(uint32_t durability)
{
    static const char *const names[] = {"memory", "async", "sync"};

    return names[durability];
}

static void put_names(FILE *out, const char *kind, char *const *names, uint32_t count)
{
    fprintf(out, ",\"%s\":[", kind);
    for (uint32_t i = 0; i < count; i++) {
        fputs(i ? "," : "", out);
        tool_json_string(out, names[i]);
    }
    fputc(']', out);
}

/* ---- lines ----------------------------------------------------------------------------------- */

static void put_store(FILE *out, const struct manifest *manifest)
{
    fprintf(out,
            "{\"pawl_export\":1,\"store\":\"%016" PRIx64 "\",\"key_seed\":\"%016" PRIx64
            "\",\"epoch\":%" PRIu64 ",\"shards\":%u,\"machines\":[",
            manifest->store, manifest->key_seed, manifest->epoch, manifest->shards);
    for (uint32_t i = 0; i < manifest->machines_count; i++) {
        const struct manifest_machine *const machine = &manifest->machines[i];

        fprintf(out, "%s{\"name\":", i ? "," : "");
        tool_json_string(out, machine->name);
        fprintf(out, ",\"hash\":\"%016" PRIx64 "\",\"context_size\":%u,\"durability\":\"%s\"",
                machine->hash, machine->context_size, durability_name(machine->durability));
        put_names(out, "states", machine->states, machine->states_count);
        put_names(out, "events", machine->events, machine->events_count);
        put_names(out, "timers", machine->timers, machine->timers_count);
        fputc('}', out);
    }
    fputs("]}\n", out);
}

static void put_shard(FILE *out, const struct image_shard *shard)
{
    fprintf(out, "{\"shard\":%u,\"time_ns\":%" PRIu64 ",\"lsn\":%" PRIu64 ",\"links\":[",
            shard->number, shard->time_ns, shard->lsn);
    for (uint32_t i = 0; i < shard->peers; i++) {
        const struct image_link *const link = &shard->links[i];

        fprintf(
            out, "%s{\"taken\":[%" PRIu64 ",%" PRIu64 "],\"confirmed\":[%" PRIu64 ",%" PRIu64 "]}",
            i ? "," : "", link->taken[0], link->taken[1], link->confirmed[0], link->confirmed[1]);
    }
    fputs("],\"floors\":[", out);
    for (size_t i = 0; i < shard->floors_count; i++)
        fprintf(out, "%s[%u,%u,%u]", i ? "," : "", shard->floors[i].slot, shard->floors[i].count,
                shard->floors[i].generation);
    fputs("]}\n", out);
    for (size_t i = 0; i < shard->aliases_count; i++)
        fprintf(out, "{\"alias\":\"%016" PRIx64 "\",\"is\":\"%016" PRIx64 "\",\"of_shard\":%u}\n",
                shard->aliases[i].from, shard->aliases[i].to, shard->number);
}

/* The members of an event, without braces; "event" is for people and is not read again. */
static void put_event(FILE *out, const struct store_image *image, const struct image_event *event)
{
    const struct entry_event *const e = &event->event;
    const struct image_task *const task = store_task(image, e->task);

    fprintf(out,
            "\"to\":\"%016" PRIx64 "\",\"code\":%u,\"flags\":%u,\"tag\":%u,\"args\":[\"%016" PRIx64
            "\",\"%016" PRIx64 "\"]",
            e->task, e->code, e->flags, e->tag, e->arg[0], e->arg[1]);
    if (e->size > 0)
        put_hex(out, "payload", event->event.payload, e->size);
    if (task && e->code < image->manifest->machines[task->machine].events_count) {
        fputs(",\"event\":", out);
        tool_json_string(out, image->manifest->machines[task->machine].events[e->code]);
    }
}

static void put_timers(FILE *out, const struct manifest_machine *machine,
                       const struct image_shard *shard, const struct image_task *task)
{
    fputs(",\"timers\":[", out);
    for (uint32_t i = 0; i < task->timers_count; i++) {
        fprintf(out, "%s{\"number\":%" PRIu64 ",\"timer\":", i ? "," : "", task->timers[i].timer);
        tool_json_string(out, machine->timers[task->timers[i].timer]);
        /* Signed: it may be overdue. */
        fprintf(out, ",\"remains_ns\":%" PRId64 "}",
                (int64_t)(task->timers[i].expiry_ns - shard->time_ns));
    }
    fputc(']', out);
}

static void put_task(FILE *out, const struct store_image *image, const struct image_shard *shard,
                     const struct image_task *task)
{
    const struct manifest_machine *const machine = &image->manifest->machines[task->machine];

    fprintf(out,
            "{\"task\":\"%016" PRIx64 "\",\"machine\":%u,\"name\":", image_task_id(shard, task),
            task->machine);
    tool_json_string(out, machine->name);
    fputs(",\"state\":", out);
    tool_json_string(out, machine->states[task->state]);
    fprintf(out, ",\"version\":%u,\"history\":%u,\"since\":\"%016" PRIx64 "\"", task->version,
            task->history, task->since);
    if ((task->flags & IMAGE_RESERVED) != 0)
        fputs(",\"reserved\":true", out);
    put_key(out, task);
    put_hex(out, "context", task->context, 8 * (size_t)task->context_words);
    if (task->timers_count > 0)
        put_timers(out, machine, shard, task);
    if (task->deferred.first < task->deferred.count) {
        fputs(",\"deferred\":[", out);
        for (size_t i = task->deferred.first; i < task->deferred.count; i++) {
            fputs(i > task->deferred.first ? ",{" : "{", out);
            put_event(out, image, task->deferred.at[i]);
            fputc('}', out);
        }
        fputc(']', out);
    }
    fputs("}\n", out);
}

static void put_sent(FILE *out, const struct store_image *image, uint32_t from, uint32_t to,
                     unsigned control)
{
    const struct image_events *const sent = &image->shards[from].links[to].sent[control];

    for (size_t i = sent->first; i < sent->count; i++) {
        if (!store_is_under_way(image, from, to, control, sent->at[i]->number))
            continue;
        fprintf(out, "{\"sent_by\":%u,\"number\":%" PRIu64 ",", from, sent->at[i]->number);
        put_event(out, image, sent->at[i]);
        fputs("}\n", out);
    }
}

int store_export(const struct store_image *image, FILE *out)
{
    const uint32_t shards = image->manifest->shards;

    put_store(out, image->manifest);
    for (uint32_t s = 0; s < shards; s++)
        put_shard(out, &image->shards[s]);
    for (uint32_t s = 0; s < shards; s++)
        for (size_t i = 0; i < image->shards[s].tasks_count; i++)
            if (image_task_lives(&image->shards[s].tasks[i]))
                put_task(out, image, &image->shards[s], &image->shards[s].tasks[i]);
    for (uint32_t from = 0; from < shards; from++)
        for (uint32_t to = 0; to < shards; to++) {
            put_sent(out, image, from, to, 0);
            put_sent(out, image, from, to, 1);
        }
    return ferror(out) ? -EIO : 0;
}

/* ---- the command ----------------------------------------------------------------------------- */

static void say(void *user, const char *text)
{
    tool_fail(user, "%s", text);
}

static int run(char *command, const char *directory)
{
    struct store_image image = {.say = say, .user = command};
    int error = store_open(&image, &pawl_storage_posix, directory);

    if (error)
        return TOOL_FAILED;
    error = store_load(&image);
    if (!error)
        error = store_export(&image, stdout);
    store_close(&image);
    return error ? TOOL_FAILED : TOOL_OK;
}

int cmd_export(int argc, char **argv)
{
    const int code =
        tool_parse_plain(argc, argv, usage, NULL, 1, "name one directory, the store's");

    if (code >= 0)
        return code;
    return run(argv[0], argv[argc - 1]);
}

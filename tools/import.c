/*
 * import.c - `pawl import`: makes a store of the lines that `pawl export` prints.
 *
 * The lines are believed as little as a file: whatever recovery would refuse, or could
 * misunderstand, is refused here with the line's number. All of them are read before anything is
 * written.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <pawl/machine.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "store_image.h"
#include "task/slot.h"
#include "tool.h"

static const char usage[] =
    "usage: pawl import DIR <LINES\n"
    "\n"
    "Makes a store of the JSON lines that 'pawl export' prints. DIR must not exist or be empty.\n"
    "Ids, keys, states and what remains of timers are as in the lines; the store gets an id of "
    "its\n"
    "own. If a line is wrong its number is said, and nothing is written.\n"
    "\n"
    "  -h, --help     print this text\n"
    "  -V, --version  print the version\n"
    "\n"
    "Exit status: 0 if the store was written and read back, 1 if not, 2 on wrong usage.\n";

struct in {
    struct store_image *image;
    uint64_t line;
    char *wrong;
    size_t size;
    int error; /* 0 until something is wrong */
};

static bool fail(struct in *in, const char *format, ...) __attribute__((format(printf, 2, 3)));
static bool fail(struct in *in, const char *format, ...)
{
    va_list arguments;
    int length;

    if (in->error)
        return false;
    in->error = -EBADMSG;
    length = snprintf(in->wrong, in->size, "line %" PRIu64 ": ", in->line);
    va_start(arguments, format);
    vsnprintf(in->wrong + length, in->size - (size_t)length, format, arguments);
    va_end(arguments);
    return false;
}

static bool no_memory(struct in *in)
{
    fail(in, "there is no memory for it");
    in->error = -ENOMEM;
    return false;
}

/* ---- members --------------------------------------------------------------------------------- */

/* names: what an object may have, between blanks. */
static bool only(struct in *in, json_t *object, const char *names)
{
    const char *name;
    json_t *value;

    if (!json_is_object(object))
        return fail(in, "an object belongs there");
    json_object_foreach(object, name, value)
    {
        const size_t length = strlen(name);
        const char *at = length ? strstr(names, name) : NULL;

        while (at && (at[-1] != ' ' || at[length] != ' '))
            at = strstr(at + 1, name);
        if (!at)
            return fail(in, "there is a member '%.40s' that does not belong there", name);
    }
    return true;
}

static bool number_of(struct in *in, const json_t *value, const char *name, uint64_t min,
                      uint64_t max, uint64_t *to)
{
    *to = 0;
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        (uint64_t)json_integer_value(value) < min || (uint64_t)json_integer_value(value) > max)
        return fail(in, "'%s' must be a whole number from %" PRIu64 " to %" PRIu64, name, min, max);
    *to = (uint64_t)json_integer_value(value);
    return true;
}

static bool number(struct in *in, const json_t *object, const char *name, uint64_t min,
                   uint64_t max, uint64_t *to)
{
    return number_of(in, json_object_get(object, name), name, min, max, to);
}

/* Two digits, or -1. */
static int hex_byte(const char *digits)
{
    int byte = 0;

    for (int i = 0; i < 2; i++) {
        const char c = digits[i];

        if (c >= '0' && c <= '9')
            byte = byte << 4 | (c - '0');
        else if (c >= 'a' && c <= 'f')
            byte = byte << 4 | (c - 'a' + 10);
        else
            return -1;
    }
    return byte;
}

static bool hex_of(struct in *in, const json_t *value, const char *name, uint64_t *to)
{
    const char *const text = json_string_value(value);

    *to = 0;
    if (!text || strlen(text) != 16)
        return fail(in, "'%s' must be a string of 16 hexadecimal digits", name);
    for (int i = 0; i < 16; i += 2) {
        const int byte = hex_byte(text + i);

        if (byte < 0)
            return fail(in, "'%s' must be hexadecimal digits, with small letters", name);
        *to = *to << 8 | (uint64_t)byte;
    }
    return true;
}

static bool hex(struct in *in, const json_t *object, const char *name, uint64_t *to)
{
    return hex_of(in, json_object_get(object, name), name, to);
}

/* The caller frees *bytes. A member that is not there is no bytes. */
static bool bytes(struct in *in, const json_t *object, const char *name, size_t max, uint8_t **to,
                  size_t *size)
{
    const json_t *const value = json_object_get(object, name);
    const char *const text = json_string_value(value);

    *size = 0;
    *to = calloc(1, text ? strlen(text) / 2 + 8 : 8);
    if (!*to)
        return no_memory(in);
    if (!value)
        return true;
    if (!text || strlen(text) % 2 != 0 || strlen(text) / 2 > max)
        return fail(in, "'%s' must be a string of at most %zu bytes in hexadecimal digits", name,
                    max);
    for (; text[2 * *size] != '\0'; ++*size) {
        const int byte = hex_byte(text + 2 * *size);

        if (byte < 0)
            return fail(in, "'%s' must be hexadecimal digits, with small letters", name);
        (*to)[*size] = (uint8_t)byte;
    }
    return true;
}

/* NULL: it is not there, or is empty; said. */
static const char *text_of(struct in *in, const json_t *value, const char *name)
{
    const char *const text = json_string_value(value);

    if (!text || !*text)
        fail(in, "'%s' must be a string, not empty", name);
    return text && *text ? text : NULL;
}

static json_t *array(struct in *in, const json_t *object, const char *name, size_t max)
{
    json_t *const value = json_object_get(object, name);

    if (!json_is_array(value) || json_array_size(value) > max) {
        fail(in, "'%s' must be an array of at most %zu", name, max);
        return NULL;
    }
    return value;
}

/* ---- the store's line ------------------------------------------------------------------------ */

static bool names(struct in *in, const json_t *object, const char *name, size_t max, char ***to,
                  uint32_t *count)
{
    json_t *const from = array(in, object, name, max);

    if (!from)
        return false;
    *to = calloc(json_array_size(from) + 1, sizeof(**to));
    if (!*to)
        return no_memory(in);
    for (size_t i = 0; i < json_array_size(from); i++) {
        const char *const text = text_of(in, json_array_get(from, i), name);

        if (!text)
            return false;
        (*to)[i] = strdup(text);
        if (!(*to)[i])
            return no_memory(in);
        *count = (uint32_t)i + 1;
    }
    return true;
}

static bool read_machine(struct in *in, json_t *object)
{
    struct manifest *const manifest = in->image->manifest;
    struct manifest_machine *const machine = &manifest->machines[manifest->machines_count];
    const char *name, *durability;
    uint64_t context;

    if (!only(in, object, " name hash context_size durability states events timers "))
        return false;
    name = text_of(in, json_object_get(object, "name"), "name");
    durability = text_of(in, json_object_get(object, "durability"), "durability");
    if (!name || !durability || !hex(in, object, "hash", &machine->hash) ||
        !number(in, object, "context_size", 0, CONTEXT_MAX, &context))
        return false;
    if (pawl__manifest_find(manifest, name, machine->hash) >= 0)
        return fail(in, "the machine '%.60s' is there a second time", name);
    machine->context_size = (uint32_t)context;
    if (strcmp(durability, "sync") == 0)
        machine->durability = PAWL_DURABILITY_SYNC;
    else if (strcmp(durability, "async") == 0)
        machine->durability = PAWL_DURABILITY_ASYNC;
    else if (strcmp(durability, "memory") != 0)
        return fail(in, "'durability' must be memory, async or sync");
    machine->name = strdup(name);
    if (!machine->name)
        return no_memory(in);
    manifest->machines_count++;
    return names(in, object, "states", STATES_MAX, &machine->states, &machine->states_count) &&
           names(in, object, "events", EVENTS_MAX, &machine->events, &machine->events_count) &&
           names(in, object, "timers", TIMERS_MAX, &machine->timers, &machine->timers_count);
}

static bool read_store(struct in *in, json_t *object)
{
    struct manifest *const manifest = in->image->manifest;
    uint64_t version, shards, ignored;
    json_t *machines;

    if (manifest->shards != 0)
        return fail(in, "the line for the store is there a second time");
    if (!only(in, object, " pawl_export store key_seed epoch shards machines ") ||
        !number(in, object, "pawl_export", 1, 1, &version) || !hex(in, object, "store", &ignored) ||
        !hex(in, object, "key_seed", &manifest->key_seed) ||
        !number(in, object, "epoch", 0, UINT32_MAX - 1, &manifest->epoch) ||
        !number(in, object, "shards", 1, SHARDS_MAX, &shards))
        return false;
    machines = array(in, object, "machines", MANIFEST_MACHINES_MAX);
    if (!machines)
        return false;
    for (size_t i = 0; i < json_array_size(machines); i++)
        if (!read_machine(in, json_array_get(machines, i)))
            return false;
    manifest->shards = (uint32_t)shards;
    manifest->set = 2; /* of a set above 1 the journal alone is not the whole state */
    manifest->closed = true;
    return store_reset(in->image) == 0 || no_memory(in);
}

/* ---- a shard's line -------------------------------------------------------------------------- */

static bool read_pair(struct in *in, const json_t *object, const char *name, uint64_t pair[2])
{
    const json_t *const from = json_object_get(object, name);

    if (!json_is_array(from) || json_array_size(from) != 2)
        return fail(in, "'%s' must be an array of two numbers: of ordinary and of control events",
                    name);
    return number_of(in, json_array_get(from, 0), name, 0, INT64_MAX, &pair[0]) &&
           number_of(in, json_array_get(from, 1), name, 0, INT64_MAX, &pair[1]);
}

static bool read_floor(struct in *in, struct image_shard *shard, const json_t *from)
{
    uint64_t slot, count, generation;
    struct image_floor floor;

    if (!json_is_array(from) || json_array_size(from) != 3)
        return fail(in, "a floor is an array of slot, count and generation");
    if (!number_of(in, json_array_get(from, 0), "floors", 0, UINT32_MAX, &slot) ||
        !number_of(in, json_array_get(from, 1), "floors", 1, UINT32_MAX, &count) ||
        !number_of(in, json_array_get(from, 2), "floors", 0, GENERATION_MAX, &generation))
        return false;
    if (slot + count > UINT64_C(1) << 32)
        return fail(in, "a floor reaches behind the last slot");
    floor = (struct image_floor){(uint32_t)slot, (uint32_t)count, (uint32_t)generation};
    return image_shard_add_floor(shard, &floor) || no_memory(in);
}

static bool read_shard(struct in *in, json_t *object)
{
    struct image_shard *shard;
    json_t *links, *floors;
    uint64_t number_;

    if (!only(in, object, " shard time_ns lsn links floors ") ||
        !number(in, object, "shard", 0, in->image->manifest->shards - 1, &number_))
        return false;
    shard = &in->image->shards[number_];
    if (shard->file != 0)
        return fail(in, "shard %" PRIu64 " is there a second time", number_);
    shard->file = 1;
    links = array(in, object, "links", shard->peers);
    floors = array(in, object, "floors", SIZE_MAX);
    if (!links || !floors || !number(in, object, "time_ns", 0, INT64_MAX, &shard->time_ns) ||
        !number(in, object, "lsn", 0, INT64_MAX, &shard->lsn))
        return false;
    shard->lsn = 1;
    if (json_array_size(links) != shard->peers)
        return fail(in, "there must be a link to each of %u shards", shard->peers);
    for (uint32_t i = 0; i < shard->peers; i++) {
        json_t *const link = json_array_get(links, i);

        if (!only(in, link, " taken confirmed ") ||
            !read_pair(in, link, "taken", shard->links[i].taken) ||
            !read_pair(in, link, "confirmed", shard->links[i].confirmed))
            return false;
    }
    for (size_t i = 0; i < json_array_size(floors); i++)
        if (!read_floor(in, shard, json_array_get(floors, i)))
            return false;
    return true;
}

static bool read_alias(struct in *in, json_t *object)
{
    struct image_alias alias;
    uint64_t of;

    if (!only(in, object, " alias is of_shard ") || !hex(in, object, "alias", &alias.from) ||
        !hex(in, object, "is", &alias.to) ||
        !number(in, object, "of_shard", 0, in->image->manifest->shards - 1, &of))
        return false;
    if (alias.from == 0 || alias.from == alias.to)
        return fail(in, "an id cannot lead to itself");
    return image_shard_add_alias(&in->image->shards[of], &alias) || no_memory(in);
}

/* ---- events ---------------------------------------------------------------------------------- */

/* As recovery would look at it. */
static bool check_sent(struct in *in, const struct entry_event *event, const uint8_t *payload)
{
    const size_t size = (sizeof(struct entry_send) + event->size + 7) / 8 * 8;
    struct entry_send *const send = calloc(1, size);
    const char *wrong;
    size_t offset;

    if (!send)
        return no_memory(in);
    send->header.words = (uint16_t)(size / 8);
    send->header.type = ENTRY_SEND;
    send->number = 1;
    send->event = *event;
    memcpy(send->event.payload, payload, event->size);
    wrong = pawl__entry_check(send, size, &offset);
    free(send);
    return !wrong || fail(in, "%s", wrong);
}

/* Adds it to `events`, or with `sent` to the link that its flags and its task say. */
static bool read_event(struct in *in, const json_t *object, struct image_events *events,
                       struct image_shard *sender, uint64_t sent)
{
    struct entry_event event = {0};
    uint64_t code, flags, tag;
    const json_t *const args = json_object_get(object, "args");
    uint8_t *payload = NULL;
    size_t size = 0;
    bool good = hex(in, object, "to", &event.task) &&
                number(in, object, "code", 0, UINT16_MAX, &code) &&
                number(in, object, "flags", 0, UINT16_MAX, &flags) &&
                number(in, object, "tag", 0, UINT32_MAX, &tag) &&
                bytes(in, object, "payload", EVENT_PAYLOAD_MAX, &payload, &size);

    if (good && (!json_is_array(args) || json_array_size(args) != 2))
        good = fail(in, "'args' must be an array of two strings of hexadecimal digits");
    good = good && hex_of(in, json_array_get(args, 0), "args", &event.arg[0]) &&
           hex_of(in, json_array_get(args, 1), "args", &event.arg[1]);
    if (good && store_event_shard(&event) >= in->image->manifest->shards)
        good = fail(in, "'to' names a shard that the store does not have");
    if (good) {
        event.code = (uint16_t)code;
        event.flags = (uint16_t)flags;
        event.tag = (uint32_t)tag;
        event.size = (uint32_t)size;
        good = check_sent(in, &event, payload);
    }
    if (good && sender) {
        const unsigned control = (flags & PAWL_EVENT_CONTROL) != 0;
        const uint32_t to = store_event_shard(&event);

        events = &sender->links[to].sent[control];
        if (!store_is_under_way(in->image, sender->number, to, control, sent))
            good = fail(in, "its receiver has handled number %" PRIu64, sent);
        else if (events->count > events->first && events->at[events->count - 1]->number >= sent)
            good = fail(in, "numbers of one sender and receiver must grow from line to line");
    }
    good = good && (image_events_add(events, sent, &event, payload) || no_memory(in));
    free(payload);
    return good;
}

static bool read_sent(struct in *in, json_t *object)
{
    uint64_t from, sent;

    return only(in, object, " sent_by number to code flags tag args payload event ") &&
           number(in, object, "sent_by", 0, in->image->manifest->shards - 1, &from) &&
           number(in, object, "number", 1, INT64_MAX, &sent) &&
           read_event(in, object, NULL, &in->image->shards[from], sent);
}

/* ---- tasks ----------------------------------------------------------------------------------- */

static int state_of(const struct manifest_machine *machine, const char *name)
{
    for (uint32_t i = 0; i < machine->states_count; i++)
        if (strcmp(machine->states[i], name) == 0)
            return (int)i;
    return -1;
}

static bool read_key(struct in *in, const json_t *object, struct image_task *task)
{
    const json_t *const value = json_object_get(object, "key");
    const char *const text = json_string_value(value);
    uint8_t *key;
    size_t size;
    bool good;

    if (value) {
        if (!text || !*text || strlen(text) > KEY_SIZE_MAX || json_object_get(object, "key_hex"))
            return fail(in, "a key is a string of 1 to %u bytes, or as many in 'key_hex'",
                        KEY_SIZE_MAX);
        task->key_size = (uint32_t)strlen(text);
        return image_set(&task->key, text, strlen(text)) || no_memory(in);
    }
    if (!json_object_get(object, "key_hex"))
        return true;
    good = bytes(in, object, "key_hex", KEY_SIZE_MAX, &key, &size) &&
           (size > 0 || fail(in, "an empty key is none: leave it out"));
    task->key_size = (uint32_t)size;
    good = good && (image_set(&task->key, key, size) || no_memory(in));
    free(key);
    return good;
}

static bool read_context(struct in *in, const json_t *object,
                         const struct manifest_machine *machine, struct image_task *task)
{
    const size_t wanted = (machine->context_size + 7) / 8 * 8;
    uint8_t *context;
    size_t size;
    bool good = bytes(in, object, "context", CONTEXT_MAX, &context, &size);

    if (good && size != wanted && (size != 0 || (task->flags & IMAGE_RESERVED) == 0))
        good = fail(in, "the context must have %zu bytes, as its machine says", wanted);
    task->context_words = (uint32_t)(size / 8);
    good = good && (image_set(&task->context, context, size) || no_memory(in));
    free(context);
    return good;
}

static bool read_timer(struct in *in, json_t *object, const struct manifest_machine *machine,
                       uint64_t now_ns, struct image_task *task)
{
    struct entry_timer *const timer = &task->timers[task->timers_count];
    const json_t *const remains = json_object_get(object, "remains_ns");
    int64_t expiry_ns;

    if (!only(in, object, " number timer remains_ns ") ||
        !number(in, object, "number", 0, UINT32_MAX, &timer->timer))
        return false;
    if (timer->timer >= machine->timers_count)
        return fail(in, "its machine has %u timers: there is no number %" PRIu64,
                    machine->timers_count, timer->timer);
    for (uint32_t i = 0; i < task->timers_count; i++)
        if (task->timers[i].timer == timer->timer)
            return fail(in, "timer %" PRIu64 " is there a second time", timer->timer);
    if (!json_is_integer(remains) ||
        __builtin_add_overflow((int64_t)now_ns, json_integer_value(remains), &expiry_ns) ||
        expiry_ns < 0)
        return fail(in, "'remains_ns' must be nanoseconds from the shard's time on");
    timer->expiry_ns = (uint64_t)expiry_ns;
    task->timers_count++;
    return true;
}

static bool read_timers(struct in *in, const json_t *object, const struct manifest_machine *machine,
                        uint64_t now_ns, struct image_task *task)
{
    json_t *timers;

    if (!json_object_get(object, "timers"))
        return true;
    timers = array(in, object, "timers", TIMERS_MAX);
    if (!timers)
        return false;
    task->timers = calloc(json_array_size(timers) + 1, sizeof(task->timers[0]));
    if (!task->timers)
        return no_memory(in);
    for (size_t i = 0; i < json_array_size(timers); i++)
        if (!read_timer(in, json_array_get(timers, i), machine, now_ns, task))
            return false;
    return true;
}

static bool read_deferred(struct in *in, const json_t *object, struct image_task *task)
{
    json_t *events;

    if (!json_object_get(object, "deferred"))
        return true;
    events = array(in, object, "deferred", SIZE_MAX);
    for (size_t i = 0; events && i < json_array_size(events); i++) {
        json_t *const event = json_array_get(events, i);

        if (!only(in, event, " to code flags tag args payload event ") ||
            !read_event(in, event, &task->deferred, NULL, 0))
            return false;
    }
    return events != NULL;
}

static struct image_task *place_task(struct in *in, struct pawl_task id)
{
    struct image_shard *shard;
    struct image_task *task;

    if (id_shard(id) >= in->image->manifest->shards || id_generation(id) == 0 || id_slot(id) == 0) {
        fail(in, "'task' is no id of this store");
        return NULL;
    }
    shard = &in->image->shards[id_shard(id)];
    if (shard->file == 0) {
        fail(in, "the line of shard %u must stand before its tasks", id_shard(id));
        return NULL;
    }
    if (image_shard_task(shard, id_slot(id))) {
        fail(in, "there is a task in this slot already");
        return NULL;
    }
    task = image_shard_place(shard, id_slot(id), id_generation(id));
    if (!task)
        no_memory(in);
    return task;
}

static bool read_task(struct in *in, json_t *object)
{
    const struct manifest *const manifest = in->image->manifest;
    const json_t *const reserved = json_object_get(object, "reserved");
    const struct manifest_machine *machine;
    uint64_t number_, version, history;
    struct pawl_task id;
    struct image_task *task;
    const char *name;
    int state;

    if (!only(in, object,
              " task machine name state version history since reserved key key_hex context timers "
              "deferred ") ||
        !hex(in, object, "task", &id.id) ||
        !number(in, object, "machine", 0, MANIFEST_MACHINES_MAX - 1, &number_) ||
        !number(in, object, "version", 0, UINT32_MAX, &version) ||
        !number(in, object, "history", 0, UINT16_MAX, &history))
        return false;
    if (number_ >= manifest->machines_count)
        return fail(in, "there is no machine %" PRIu64, number_);
    if (version % 2 != 0)
        return fail(in, "a version is even");
    if (reserved && !json_is_true(reserved))
        return fail(in, "'reserved' is true or is not there");
    machine = &manifest->machines[number_];
    name = text_of(in, json_object_get(object, "state"), "state");
    state = name ? state_of(machine, name) : -1;
    if (state < 0)
        return fail(in, "the machine '%.60s' has no state '%.60s'", machine->name,
                    name ? name : "");
    task = place_task(in, id);
    if (!task)
        return false;
    task->flags = IMAGE_BORN | (reserved ? IMAGE_RESERVED : IMAGE_ALIVE);
    task->machine = (uint8_t)number_;
    task->state = (uint16_t)state;
    task->version = (uint32_t)version;
    task->history = (uint16_t)history;
    return hex(in, object, "since", &task->since) && read_key(in, object, task) &&
           read_context(in, object, machine, task) &&
           read_timers(in, object, machine, in->image->shards[id_shard(id)].time_ns, task) &&
           read_deferred(in, object, task);
}

/* ---- all lines ------------------------------------------------------------------------------- */

static bool read_line(struct in *in, const char *text, size_t size)
{
    json_error_t error;
    json_t *const object = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    bool good;

    if (!object)
        return fail(in, "at column %d: %s", error.column, error.text);
    if (!json_is_object(object))
        good = fail(in, "an object belongs there");
    else if (json_object_get(object, "pawl_export"))
        good = read_store(in, object);
    else if (in->image->manifest->shards == 0)
        good = fail(in, "the first line must be the store's, with 'pawl_export'");
    else if (json_object_get(object, "shard"))
        good = read_shard(in, object);
    else if (json_object_get(object, "alias"))
        good = read_alias(in, object);
    else if (json_object_get(object, "task"))
        good = read_task(in, object);
    else if (json_object_get(object, "sent_by"))
        good = read_sent(in, object);
    else
        good = fail(in, "it is of no kind there is: 'shard', 'alias', 'task' and 'sent_by' are");
    json_decref(object);
    return good;
}

static bool check_all(struct in *in)
{
    const struct manifest *const manifest = in->image->manifest;
    char text[256];

    if (manifest->shards == 0 || in->image->shards == NULL)
        return fail(in, "there is no line for the store");
    for (uint32_t i = 0; i < manifest->shards; i++)
        if (in->image->shards[i].file == 0)
            return fail(in, "the end, but there is no line for shard %u", i);
    return !store_check(in->image, text, sizeof(text)) || fail(in, "the end: %s", text);
}

int store_import(struct store_image *image, FILE *from, char *wrong, size_t size)
{
    struct in in = {.image = image, .wrong = wrong, .size = size};
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length;
    bool good = true;

    image->manifest = pawl__manifest_create();
    if (!image->manifest)
        return no_memory(&in), in.error;
    while (good && (length = getline(&line, &capacity, from)) >= 0) {
        in.line++;
        good = read_line(&in, line, (size_t)length);
    }
    if (good && ferror(from))
        fail(&in, "reading it failed: %s", strerror(errno));
    else if (good)
        check_all(&in);
    free(line);
    return in.error;
}

/* ---- the command ----------------------------------------------------------------------------- */

static void say(void *user, const char *text)
{
    tool_fail(user, "%s", text);
}

static int run(char *command, const char *directory)
{
    struct store_image image = {.say = say, .user = command};
    char wrong[512];
    int error = store_import(&image, stdin, wrong, sizeof(wrong));

    if (error)
        tool_fail(command, "%s. Nothing was written", wrong);
    /* An id of its own, so that files of the two stores are never taken for each other's. */
    if (!error)
        error = pawl_random_system.fill(pawl_random_system.user, &image.manifest->store,
                                        sizeof(image.manifest->store));
    if (!error)
        error = store_write(&image, &pawl_storage_posix, directory);
    store_close(&image);
    return error ? TOOL_FAILED : TOOL_OK;
}

int cmd_import(int argc, char **argv)
{
    const int code =
        tool_parse_plain(argc, argv, usage, NULL, 1, "name one directory, the new store's");

    if (code >= 0)
        return code;
    return run(argv[0], argv[argc - 1]);
}

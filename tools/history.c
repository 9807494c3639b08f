/*
 * history.c - `pawl history`: the steps of one task, as far back as the journal goes.
 *
 * It follows the entries in the order in which they were written. What a step changed stands beside
 * it in the journal, so nothing has to be kept but the state before.
 */
#include <inttypes.h>
#include <pawl/error.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store_image.h"
#include "task/slot.h"
#include "tool.h"

static const char usage[] = "usage: pawl history DIR TASK\n"
                            "\n"
                            "Prints the steps of a task that a store's journal still has, oldest "
                            "first: when, the event, the\n"
                            "state before and after, and what the step sent, armed and deferred.\n"
                            "\n"
                            "  TASK           its id in hexadecimal, as 'pawl export' prints it, "
                            "or key:NAME for the tasks\n"
                            "                 that have or had this key\n"
                            "  -h, --help     print this text\n"
                            "  -V, --version  print the version\n"
                            "\n"
                            "Exit status: 0 if there was something, 1 if not or if the store "
                            "cannot be read to its end, 2 on\n"
                            "wrong usage.\n";

struct history;
typedef void entry_fn(struct history *history, const struct reader_frame *frame,
                      const char *file_name, const struct entry_header *entry);

struct history {
    char *command;
    struct store_image image;
    const char *key; /* NULL: an id was given */
    bool broken;     /* something could not be read; said */
    uint64_t *ids;   /* of the tasks to print */
    size_t ids_count, ids_capacity;
    /* The task being printed. */
    uint64_t id;
    const struct manifest_machine *machine; /* NULL: not known yet */
    struct {
        uint32_t version;
        uint16_t state;
    } images[16]; /* what snapshots say */
    unsigned images_count;
    bool has_before;
    uint32_t version;
    uint16_t state; /* after the step printed last */
    uint64_t steps;
    bool in_step; /* the last STEP was this task's: what is sent now is of it */
};

/* ---- every entry of a shard ------------------------------------------------------------------ */

static void each_entry(struct history *history, const struct reader_frame *frame,
                       const struct store_file *file, entry_fn *fn)
{
    const struct entry_header *entry = NULL;
    char name[STORE_NAME_MAX];

    pawl__store_file_name(file, name);
    history->in_step = false;
    while (frame->header.type == FRAME_STEPS &&
           (entry = entry_next(frame->payload, frame->header.size, entry)) != NULL)
        fn(history, frame, name, entry);
}

static void in_snapshots(struct history *history, uint32_t shard, entry_fn *fn)
{
    size_t count;
    const struct store_file *const files =
        store_files(&history->image, shard, FILE_SNAPSHOT, &count);

    for (size_t i = 0; i < count; i++) {
        struct reader reader;
        struct reader_frame frame;

        /* A damaged one takes nothing away: the journal is what is looked for. */
        if (pawl__reader_open(&reader, history->image.storage, history->image.directory, &files[i],
                              history->image.manifest->store) != 0)
            continue;
        while (pawl__reader_next(&reader, &frame) == READER_FRAME)
            each_entry(history, &frame, &files[i], fn);
        pawl__reader_close(&reader);
    }
}

static void in_journal(struct history *history, uint32_t shard, entry_fn *fn)
{
    struct journal_reader journal;
    struct reader_frame frame;
    enum reader_result result;
    size_t count;
    const struct store_file *const files =
        store_files(&history->image, shard, FILE_JOURNAL, &count);

    if (count == 0)
        return;
    if (pawl__journal_reader_open(&journal, history->image.storage, history->image.directory, files,
                                  count, history->image.manifest->store) != 0) {
        tool_fail(history->command, "%s", journal.what);
        history->broken = true;
        return;
    }
    while ((result = pawl__journal_reader_next(&journal, &frame)) == READER_FRAME)
        each_entry(history, &frame, &files[journal.at], fn);
    if ((result == READER_CORRUPT || result == READER_FAILED) && !history->broken) {
        tool_fail(history->command, "the journal cannot be read behind here: %s", journal.what);
        history->broken = true;
    }
    pawl__journal_reader_close(&journal);
}

/* ---- which tasks ----------------------------------------------------------------------------- */

static void add_id(struct history *history, uint64_t id)
{
    for (size_t i = 0; i < history->ids_count; i++)
        if (history->ids[i] == id)
            return;
    if (history->ids_count == history->ids_capacity) {
        const size_t capacity = 2 * history->ids_capacity + 8;
        uint64_t *const ids = realloc(history->ids, capacity * sizeof(ids[0]));

        if (!ids) {
            tool_fail(history->command, "there is no memory");
            history->broken = true;
            return;
        }
        history->ids = ids;
        history->ids_capacity = capacity;
    }
    history->ids[history->ids_count++] = id;
}

static uint32_t shard_of(const struct reader_frame *frame)
{
    return frame->header.shard;
}

static void look_for_key(struct history *history, const struct reader_frame *frame,
                         const char *file_name, const struct entry_header *entry)
{
    const struct entry_key *const key = (const struct entry_key *)(const void *)entry;

    (void)file_name;
    if (entry->type == ENTRY_KEY && key->size == strlen(history->key) &&
        memcmp(key->bytes, history->key, key->size) == 0)
        add_id(history, id_make(shard_of(frame), key->generation, entry->slot).id);
}

static void look_for_alias(struct history *history, const struct reader_frame *frame,
                           const char *file_name, const struct entry_header *entry)
{
    const struct entry_alias *const alias = (const struct entry_alias *)(const void *)entry;

    (void)frame, (void)file_name;
    for (size_t i = 0; entry->type == ENTRY_ALIAS && i < history->ids_count; i++)
        if (alias->from == history->ids[i] && alias->to != 0)
            add_id(history, alias->to);
}

static void in_all(struct history *history, entry_fn *fn)
{
    for (uint32_t i = 0; i < history->image.manifest->shards; i++) {
        in_snapshots(history, i, fn);
        in_journal(history, i, fn);
    }
}

/* ---- printing -------------------------------------------------------------------------------- */

static const char *state_name(const struct history *history, uint16_t state)
{
    const struct manifest_machine *const machine = history->machine;

    return machine && state < machine->states_count ? machine->states[state] : "?";
}

static void print_code(const struct manifest_machine *machine, uint16_t code)
{
    if (code == PAWL_CODE_CREATE)
        printf("(create)");
    else if (code == PAWL_CODE_CANCEL)
        printf("(cancel)");
    else if (machine && code < machine->events_count)
        printf("%s", machine->events[code]);
    else
        printf("event %u", code);
}

static void print_seconds(const char *before, uint64_t ns)
{
    printf("%s%" PRIu64 ".%09" PRIu64 " s", before, ns / 1000000000u, ns % 1000000000u);
}

static void print_wall(uint64_t wall_ns)
{
    const time_t seconds = (time_t)(wall_ns / 1000000000u);
    struct tm fields;
    char text[32];

    if (wall_ns == 0 || !gmtime_r(&seconds, &fields)) {
        printf("%-30s", "(no wall clock)");
        return;
    }
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &fields);
    printf("%s.%09" PRIu64 "Z", text, wall_ns % 1000000000u);
}

static void print_event(const struct history *history, const char *before,
                        const struct entry_event *event)
{
    /* Codes mean something to the receiver's machine, which is known if it is this one. */
    const bool own = event->task == history->id;

    printf("    %s ", before);
    if (event->code == PAWL_CODE_CREATE)
        printf("a new task");
    else
        print_code(own ? history->machine : NULL, event->code);
    printf(" for %016" PRIx64 ", args %016" PRIx64 " %016" PRIx64, event->task, event->arg[0],
           event->arg[1]);
    if ((event->flags & PAWL_EVENT_CONTROL) != 0)
        printf(", control");
    if (event->size > 0)
        printf(", %u bytes", event->size);
    putchar('\n');
}

static void print_timers(const struct history *history, const struct reader_frame *frame,
                         const struct entry_timers *timers)
{
    if (timers->count == 0)
        puts("    no timer is armed");
    for (uint32_t i = 0; i < timers->count; i++) {
        const struct entry_timer *const timer = &timers->timers[i];
        const uint64_t now = frame->header.time_ns;

        if (history->machine && timer->timer < history->machine->timers_count)
            printf("    timer %s", history->machine->timers[timer->timer]);
        else
            printf("    timer %" PRIu64, timer->timer);
        print_seconds(" fires in ", timer->expiry_ns > now ? timer->expiry_ns - now : 0);
        putchar('\n');
    }
}

/* The state before this step, if it is known. */
static bool state_before(struct history *history, const struct entry_step *step, uint16_t *before)
{
    if (history->has_before && history->version + 2 == step->version) {
        *before = history->state;
        return true;
    }
    for (unsigned i = 0; i < history->images_count; i++)
        if (history->images[i].version + 2 == step->version) {
            *before = history->images[i].state;
            return true;
        }
    return false;
}

static void print_step(struct history *history, const struct reader_frame *frame,
                       const char *file_name, const struct entry_step *step)
{
    const unsigned flags = step->header.flags;
    uint16_t before;

    if (step->machine < history->image.manifest->machines_count)
        history->machine = &history->image.manifest->machines[step->machine];
    print_wall(frame->header.wall_ns);
    print_seconds("  ", frame->header.time_ns);
    printf("  ");
    print_code(history->machine, step->code);
    if ((flags & ENTRY_RESERVED) != 0)
        printf(": reserved");
    else if ((flags & ENTRY_CREATED) != 0)
        printf(": created in %s", state_name(history, step->state));
    else
        printf(": %s -> %s",
               state_before(history, step, &before) ? state_name(history, before) : "?",
               state_name(history, step->state));
    if ((flags & ENTRY_ENDED) != 0)
        printf(", ended");
    printf("  version %u  LSN %" PRIu64 "  %s\n", step->version, frame->header.lsn, file_name);
    history->has_before = (flags & ENTRY_ENDED) == 0;
    history->version = step->version;
    history->state = step->state;
    history->steps++;
}

static bool is_of(const struct history *history, const struct entry_header *entry,
                  uint32_t generation)
{
    const struct pawl_task task = {history->id};

    return entry->slot == id_slot(task) && generation == id_generation(task);
}

static void print_entry(struct history *history, const struct reader_frame *frame,
                        const char *file_name, const struct entry_header *entry)
{
    const void *const any = entry;
    const struct entry_step *const step = any;
    const struct entry_timers *const timers = any;
    const struct entry_defer *const defer = any;
    const struct entry_send *const send = any;

    if (entry->type == ENTRY_STEP) {
        history->in_step = is_of(history, entry, step->generation);
        if (history->in_step)
            print_step(history, frame, file_name, step);
    } else if (entry->type == ENTRY_TIMERS && is_of(history, entry, timers->generation)) {
        print_timers(history, frame, timers);
    } else if (entry->type == ENTRY_DEFER && is_of(history, entry, defer->generation)) {
        if ((entry->flags & ENTRY_EMPTY) != 0)
            puts("    nothing is deferred any more");
        else
            print_event(history, (entry->flags & ENTRY_RESET) != 0 ? "deferred now:" : "defers",
                        &defer->event);
    } else if (entry->type == ENTRY_SEND && history->in_step &&
               entry->slot == id_slot((struct pawl_task){history->id})) {
        print_event(history, "sends", &send->event);
    }
}

static void find_machine(struct history *history, const struct reader_frame *frame,
                         const char *file_name, const struct entry_header *entry)
{
    const struct entry_step *const step = (const struct entry_step *)(const void *)entry;

    (void)frame, (void)file_name;
    if (entry->type == ENTRY_STEP && is_of(history, entry, step->generation) &&
        step->machine < history->image.manifest->machines_count)
        history->machine = &history->image.manifest->machines[step->machine];
}

static void keep_image(struct history *history, const struct reader_frame *frame,
                       const char *file_name, const struct entry_header *entry)
{
    const struct entry_step *const step = (const struct entry_step *)(const void *)entry;
    const size_t most = sizeof(history->images) / sizeof(history->images[0]);

    if (entry->type != ENTRY_STEP || !is_of(history, entry, step->generation) ||
        history->images_count == most)
        return;
    find_machine(history, frame, file_name, entry);
    history->images[history->images_count].version = step->version;
    history->images[history->images_count++].state = step->state;
}

/* True: there was something of it. */
static bool print_task(struct history *history, uint64_t id)
{
    const uint32_t shard = id_shard((struct pawl_task){id});

    history->id = id;
    history->machine = NULL;
    history->images_count = 0;
    history->has_before = false;
    history->steps = 0;
    if (shard >= history->image.manifest->shards)
        return false;
    in_snapshots(history, shard, keep_image);
    in_journal(history, shard, find_machine);
    printf("task %016" PRIx64, id);
    if (history->machine)
        printf(", %s", history->machine->name);
    putchar('\n');
    for (unsigned i = 0; i < history->images_count; i++)
        printf("in a snapshot: %s  version %u\n", state_name(history, history->images[i].state),
               history->images[i].version);
    in_journal(history, shard, print_entry);
    if (history->steps == 0)
        puts(history->images_count > 0 ? "no steps that the journal still has"
                                       : "nothing is known of it");
    return history->steps > 0 || history->images_count > 0;
}

/* ---- the command ----------------------------------------------------------------------------- */

static bool parse_id(const char *text, uint64_t *id)
{
    char *end;

    if (strncmp(text, "0x", 2) == 0)
        text += 2;
    if (strspn(text, "0123456789abcdefABCDEF") != strlen(text) || strlen(text) == 0 ||
        strlen(text) > 16)
        return false;
    *id = strtoull(text, &end, 16);
    return true;
}

static void say(void *user, const char *text)
{
    tool_fail(user, "%s", text);
}

static int run(char *command, const char *directory, const char *task)
{
    struct history history = {.command = command, .image = {.say = say, .user = command}};
    bool found = false;
    uint64_t id = 0;

    if (strncmp(task, "key:", 4) == 0)
        history.key = task + 4;
    else if (!parse_id(task, &id))
        return tool_usage(command, "'%s' is neither an id in hexadecimal nor key:NAME", task);
    if (store_open(&history.image, &pawl_storage_posix, directory) != 0)
        return TOOL_FAILED;
    if (history.key)
        in_all(&history, look_for_key);
    else {
        add_id(&history, id);
        in_all(&history, look_for_alias);
    }
    if (history.ids_count == 0)
        tool_fail(command, "no task has or had the key '%s', as far as the journal goes back",
                  history.key);
    for (size_t i = 0; i < history.ids_count; i++) {
        if (i > 0)
            putchar('\n');
        found |= print_task(&history, history.ids[i]);
    }
    free(history.ids);
    store_close(&history.image);
    return found && !history.broken ? TOOL_OK : TOOL_FAILED;
}

int cmd_history(int argc, char **argv)
{
    const int code = tool_parse_plain(argc, argv, usage, NULL, 2, "name a directory and a task");

    if (code >= 0)
        return code;
    return run(argv[0], argv[argc - 2], argv[argc - 1]);
}

/*
 * inspect.c - `pawl inspect`: the lanes, agents and work tasks of a store.
 */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "agent/work_machine.h"
#include "inspect.h"
#include "shard/lane_keeper.h"
#include "task/slot.h"
#include "tool.h"

#define LANE_KEY "pawl.lane/" /* then the lane's name: keys of the tasks that keep lanes */

static const char usage[] =
    "usage: pawl inspect DIR [OPTION]...\n"
    "       pawl inspect DIR --task TASK [--json]\n"
    "\n"
    "Lists what a store has for agents: tasks of each machine by state, lanes, agents with "
    "leases,\n"
    "and work tasks. Reads only; the store may be in use, and is then shown as of now. Ages are "
    "by\n"
    "the shards' time, which stands still while nobody has the store open.\n"
    "\n"
    "  -t, --task TASK    shows one work task whole: its id in hexadecimal, key:NAME, or a key "
    "that\n"
    "                     is no such id. Claim, times, what it was submitted with, notes with\n"
    "                     evidence and history, tasks that it waits for, parent and children\n"
    "  -s, --state NAME   only work tasks in this state (new, dependent, delayed, ready, leased,\n"
    "                     unverified, checked, completed, failed, cancelled, dead)\n"
    "  -l, --lane NAME    only those of this lane, by its name or by its number in hexadecimal. A\n"
    "                     store has the numbers only, and the names of lanes that were paused or\n"
    "                     whose breaker has opened\n"
    "  -r, --sort WHAT    state (default), age, agent, lane or priority; then the oldest first\n"
    "  -n, --limit N      at most so many work tasks (default: 100)\n"
    "  -j, --json         print one JSON object; bytes that are no text are in hexadecimal\n"
    "      --live         says how a running host is looked at\n"
    "  -h, --help         print this text\n"
    "  -V, --version      print the version\n"
    "\n"
    "Exit status: 0 if all was shown, 1 if the store cannot be read or is damaged, or has no such\n"
    "task or lane, 2 on wrong usage.\n";

static const char *const sort_names[INSPECT_SORTS] = {"state", "age", "agent", "lane", "priority"};

struct options {
    char *command;
    const char *directory;
    const char *task;
    const char *lane;
    struct inspect_choice choice;
    bool json;
};

/* ---- pieces ---------------------------------------------------------------------------------- */

void inspect_put_seconds(uint64_t ns, int columns)
{
    printf("%*" PRIu64 ".%03" PRIu64 " s", columns > 6 ? columns - 6 : 0, ns / 1000000000u,
           ns / 1000000u % 1000u);
}

const char *inspect_incarnation(uint64_t incarnation, char text[48])
{
    const uint64_t count = incarnation & ((UINT64_C(1) << 40) - 1);

    if (incarnation == 0)
        return "-";
    snprintf(text, 48, "%" PRIu64 ".%" PRIu64, incarnation >> 40, count);
    return text;
}

/* Bytes of the UTF-8 sequence that begins here; 0: none does, or it is a control character. */
static size_t sequence(const unsigned char *at, size_t size)
{
    const size_t length = at[0] < 0x80 ? 1 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
    uint32_t code = at[0];

    if (length == 1)
        return (at[0] >= 0x20 && at[0] != 0x7f) || at[0] == '\n' || at[0] == '\t';
    if (at[0] < 0xc2 || at[0] > 0xf4 || size < length)
        return 0;
    code &= 0x7fu >> length;
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (at[i] & 0x3fu);
    }
    if (code < 0xa0 || (length == 3 && code < 0x800) || (length == 4 && code < 0x10000) ||
        (code >= 0xd800 && code < 0xe000) || code > 0x10ffff)
        return 0;
    return length;
}

bool inspect_is_text(const void *bytes, size_t size)
{
    const unsigned char *at = bytes;

    while (size > 0) {
        const size_t length = sequence(at, size);

        if (length == 0)
            return false;
        at += length;
        size -= length;
    }
    return true;
}

static bool has_text_key(const struct image_task *task, char text[KEY_SIZE_MAX + 1])
{
    if (task->key_size == 0 || task->key_size > KEY_SIZE_MAX ||
        !inspect_is_text(task->key, task->key_size))
        return false;
    memcpy(text, task->key, task->key_size);
    text[task->key_size] = '\0';
    return true;
}

bool inspect_put_key(const struct image_task *task, const char *before)
{
    char text[KEY_SIZE_MAX + 1];

    if (task->key_size == 0)
        return false;
    fputs(before, stdout);
    if (has_text_key(task, text)) {
        tool_json_string(stdout, text);
        return true;
    }
    for (uint32_t i = 0; i < task->key_size; i++)
        printf("%02x", task->key[i]);
    return true;
}

void inspect_put_json(const char *name, const char *text)
{
    printf(",\"%s\":", name);
    tool_json_string(stdout, text);
}

void inspect_put_json_key(const struct image_task *task)
{
    char text[KEY_SIZE_MAX + 1];

    if (has_text_key(task, text)) {
        inspect_put_json("key", text);
    } else if (inspect_put_key(task, ",\"key_hex\":\"")) {
        putchar('"');
    }
}

const char *inspect_machine(const struct inspect *inspect, const struct image_task *task)
{
    return inspect->image.manifest->machines[task->machine].name;
}

const char *inspect_state(const struct inspect *inspect, const struct image_task *task)
{
    return inspect->image.manifest->machines[task->machine].states[task->state];
}

/* ---- lanes ----------------------------------------------------------------------------------- */

static struct inspect_lane *find_lane(const struct inspect *inspect, uint32_t number)
{
    for (size_t i = 0; i < inspect->lanes_count; i++)
        if (inspect->lanes[i].number == number)
            return &inspect->lanes[i];
    return NULL;
}

/* The lane, new if it is not known yet; name: NULL, or what it is called. NULL: no memory. */
static struct inspect_lane *add_lane(struct inspect *inspect, uint32_t number, const char *name)
{
    struct inspect_lane *lane = find_lane(inspect, number);

    if (!lane && inspect->lanes_count == inspect->lanes_capacity) {
        const size_t capacity = 2 * inspect->lanes_capacity + 8;
        struct inspect_lane *const lanes = realloc(inspect->lanes, capacity * sizeof(lanes[0]));

        if (!lanes)
            return NULL;
        inspect->lanes = lanes;
        inspect->lanes_capacity = capacity;
    }
    if (!lane) {
        lane = &inspect->lanes[inspect->lanes_count++];
        *lane = (struct inspect_lane){.number = number};
        if (number == 0) /* of groups: they have no work of their own */
            snprintf(lane->name, sizeof(lane->name), "-");
        else
            snprintf(lane->name, sizeof(lane->name), "%08" PRIx32, number);
    }
    if (name)
        snprintf(lane->name, sizeof(lane->name), "%s", name);
    return lane;
}

/* Of a task that keeps what a lane was told (shard/lane_keeper.c): whether it is paused, and its
 * breaker, a byte each. */
static bool take_keeper(struct inspect *inspect, const struct image_task *task)
{
    const size_t prefix = strlen(LANE_KEY);
    char key[KEY_SIZE_MAX + 1];
    struct inspect_lane *lane;
    struct lane_kept kept = {0};

    if (strcmp(inspect_machine(inspect, task), "pawl.lane") != 0 || !has_text_key(task, key) ||
        strncmp(key, LANE_KEY, prefix) != 0 || key[prefix] == '\0' ||
        strlen(key + prefix) > PAWL_LANE_NAME_MAX)
        return true;
    lane = add_lane(inspect, pawl_lane_number(key + prefix), key + prefix);
    if (!lane)
        return false;
    if (task->context_words > 0)
        memcpy(&kept, task->context, sizeof(kept));
    lane->paused = kept.paused != 0;
    lane->broken = kept.breaker != PAWL_BREAKER_CLOSED;
    return true;
}

static bool count_in_lane(struct inspect *inspect, struct inspect_item *item)
{
    const struct pawl_work *work = &item->work;
    struct inspect_lane *const lane = add_lane(inspect, work->claim.lane, NULL);
    const bool ready = strcmp(item->state, "ready") == 0 || strcmp(item->state, "unverified") == 0;
    const bool leased = strcmp(item->state, "leased") == 0 || strcmp(item->state, "checked") == 0;

    if (!lane)
        return false;
    lane->ready += ready;
    lane->leased += leased;
    lane->others += !ready && !leased;
    if (ready && item->age_ns > lane->oldest_ns)
        lane->oldest_ns = item->age_ns;
    return true;
}

/* ---- collecting ------------------------------------------------------------------------------ */

typedef bool task_fn(struct inspect *inspect, const struct image_shard *shard,
                     const struct image_task *task);

static bool each_task(struct inspect *inspect, task_fn *fn)
{
    for (uint32_t i = 0; i < inspect->image.manifest->shards; i++) {
        const struct image_shard *const shard = &inspect->image.shards[i];

        for (size_t at = 0; at < shard->tasks_count; at++)
            if ((shard->tasks[at].flags & IMAGE_ALIVE) != 0 &&
                !fn(inspect, shard, &shard->tasks[at]))
                return false;
    }
    return true;
}

static bool is_work(const struct inspect *inspect, const struct image_task *task)
{
    return strcmp(inspect_machine(inspect, task), pawl__work_machine.name) == 0;
}

/* False: its context is not one that this version of the library knows. */
static bool fill_item(const struct inspect *inspect, const struct image_shard *shard,
                      const struct image_task *task, struct inspect_item *item)
{
    *item =
        (struct inspect_item){.shard = shard, .task = task, .state = inspect_state(inspect, task)};
    if (8 * (size_t)task->context_words < sizeof(item->work))
        return false;
    memcpy(&item->work, task->context, sizeof(item->work));
    item->age_ns = shard->time_ns > task->since ? shard->time_ns - task->since : 0;
    return true;
}

bool inspect_read(const struct inspect *inspect, uint64_t id, struct inspect_item *item)
{
    const struct image_task *const task = store_task(&inspect->image, id);
    const struct pawl_task now = {store_resolve(&inspect->image, id)};

    if (!task || !is_work(inspect, task) ||
        !fill_item(inspect, &inspect->image.shards[id_shard(now)], task, item))
        return false;
    item->lane = find_lane(inspect, item->work.claim.lane);
    return true;
}

/* The tasks of a machine in a state, for the table of all. */
static bool count_task(struct inspect *inspect, const struct image_shard *shard,
                       const struct image_task *task)
{
    const struct manifest *const manifest = inspect->image.manifest;
    size_t at = task->state;

    (void)shard;
    for (unsigned i = 0; i < task->machine; i++)
        at += manifest->machines[i].states_count;
    inspect->states[at]++;
    inspect->count += is_work(inspect, task);
    return take_keeper(inspect, task);
}

static bool take_task(struct inspect *inspect, const struct image_shard *shard,
                      const struct image_task *task)
{
    struct inspect_item *const item = &inspect->items[inspect->count];

    if (!is_work(inspect, task))
        return true;
    if (!fill_item(inspect, shard, task, item)) {
        inspect->foreign++;
        return true;
    }
    inspect->count++;
    return count_in_lane(inspect, item);
}

/* A lane by its name or its number; NULL: no task is in it. */
static struct inspect_lane *look_up_lane(const struct inspect *inspect, const char *text)
{
    struct inspect_lane *lane = find_lane(inspect, pawl_lane_number(text));
    char *end;
    const unsigned long number = strtoul(text, &end, 16);

    if (lane)
        snprintf(lane->name, sizeof(lane->name), "%s", text);
    else if (*end == '\0' && strlen(text) == 8)
        lane = find_lane(inspect, (uint32_t)number);
    return lane;
}

static int collect(struct inspect *inspect)
{
    const struct manifest *const manifest = inspect->image.manifest;
    size_t states = 0;
    bool done;

    for (unsigned i = 0; i < manifest->machines_count; i++)
        states += manifest->machines[i].states_count;
    inspect->states = calloc(states + 1, sizeof(inspect->states[0]));
    done = inspect->states != NULL && each_task(inspect, count_task);
    inspect->items = done ? calloc(inspect->count + 1, sizeof(inspect->items[0])) : NULL;
    inspect->count = 0;
    if (!inspect->items || !each_task(inspect, take_task))
        return tool_fail(inspect->command, "there is no memory for it");
    /* Lanes stay where they are now that all are known. */
    for (size_t i = 0; i < inspect->count; i++)
        inspect->items[i].lane = find_lane(inspect, inspect->items[i].work.claim.lane);
    return TOOL_OK;
}

static int list(struct inspect *inspect, const struct options *options)
{
    struct inspect_choice choice = options->choice;

    if (options->lane)
        choice.lane = look_up_lane(inspect, options->lane);
    if (options->lane && !choice.lane)
        return tool_fail(inspect->command, "the store has no task in a lane '%s'", options->lane);
    inspect_list(inspect, &choice);
    return TOOL_OK;
}

/* ---- the command ----------------------------------------------------------------------------- */

static void say(void *user, const char *text)
{
    tool_fail(user, "%s", text);
}

static int run(const struct options *options)
{
    struct inspect inspect = {.command = options->command,
                              .json = options->json,
                              .image = {.say = say, .user = options->command}};
    int code;

    if (store_open(&inspect.image, &pawl_storage_posix, options->directory) != 0)
        return TOOL_FAILED;
    code = store_load(&inspect.image) == 0 ? collect(&inspect) : TOOL_FAILED;
    if (code == TOOL_OK && options->task)
        code = inspect_task(&inspect, options->task);
    else if (code == TOOL_OK)
        code = list(&inspect, options);
    free(inspect.lanes);
    free(inspect.items);
    free(inspect.states);
    store_close(&inspect.image);
    return code;
}

static bool take_sort(struct options *options, const char *text)
{
    for (unsigned i = 0; i < INSPECT_SORTS; i++)
        if (strcmp(text, sort_names[i]) == 0) {
            options->choice.sort = (enum inspect_sort)i;
            return true;
        }
    tool_usage(options->command, "--sort wants state, age, agent, lane or priority, not '%s'",
               text);
    return false;
}

static bool take_state(struct options *options, const char *text)
{
    for (unsigned i = 0; i < PAWL_WORK_STATES; i++)
        if (strcmp(text, pawl_work_state_name(i)) == 0) {
            options->choice.state = text;
            return true;
        }
    tool_usage(options->command, "--state wants a state of work tasks, such as ready, not '%s'",
               text);
    return false;
}

/* A host's tasks are in its memory; what is on disk can be read whether it runs or not. */
static int say_live(const char *command)
{
    return tool_usage(command,
                      "there is no way into a running process from here. 'inspect DIR' shows its "
                      "store as of now; within the host pawl_work_walk lists its tasks, "
                      "pawl_work_read and pawl_work_notes show one, pawl_lane_read a lane");
}

/* Returns -1 to go on, or the exit code. */
static int take_option(struct options *options, int option)
{
    bool good = true;

    switch (option) {
    case 't':
        options->task = optarg;
        break;
    case 's':
        good = take_state(options, optarg);
        break;
    case 'l':
        options->lane = optarg;
        break;
    case 'r':
        good = take_sort(options, optarg);
        break;
    case 'n':
        good = tool_parse_u64(options->command, "--limit", optarg, 0, UINT64_MAX,
                              &options->choice.limit);
        break;
    case 'j':
        options->json = true;
        break;
    case 'L':
        return say_live(options->command);
    case 'h':
        fputs(usage, stdout);
        return TOOL_OK;
    case 'V':
        return tool_version(options->command);
    default:
        fprintf(stderr, "Try '%s --help'.\n", options->command);
        return TOOL_USAGE;
    }
    return good ? -1 : TOOL_USAGE;
}

int cmd_inspect(int argc, char **argv)
{
    static const struct option known[] = {
        {"task", required_argument, NULL, 't'},  {"state", required_argument, NULL, 's'},
        {"lane", required_argument, NULL, 'l'},  {"sort", required_argument, NULL, 'r'},
        {"limit", required_argument, NULL, 'n'}, {"json", no_argument, NULL, 'j'},
        {"live", no_argument, NULL, 'L'},        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},     {NULL, 0, NULL, 0},
    };
    struct options options = {.command = argv[0], .choice.limit = 100};
    int option;

    optind = 0; /* another getopt may have run before: start afresh */
    while ((option = getopt_long(argc, argv, "t:s:l:r:n:jhV", known, NULL)) != -1) {
        const int code = take_option(&options, option);

        if (code >= 0)
            return code;
    }
    if (argc - optind != 1)
        return tool_usage(options.command, "name one directory");
    options.directory = argv[optind];
    return run(&options);
}

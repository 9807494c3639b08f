/*
 * stress.c - `pawl stress`: options and summary (stress.h is the map).
 */
#include "stress.h"

#include <getopt.h>
#include <string.h>
#include <time.h>

#include "stress_agents.h"
#include "stress_durable.h"
#include "tool.h"

static const char help[] =
    "usage: pawl stress [OPTION]...\n"
    "       pawl stress --durable DIR [--sync | --async] [OPTION]...\n"
    "       pawl stress --resume DIR [OPTION]...\n"
    "       pawl stress --agents N [--durable DIR | --resume DIR] [OPTION]...\n"
    "\n"
    "Attacks the runtime's promises and reconciles every event. Producers, with ports and\n"
    "without, post sequenced events to tasks; the tasks check order and count, post on to each\n"
    "other across shards, ask and answer, defer, raise, arm and cancel timers, create tasks, and\n"
    "give steps up half done; other tasks are created by key, ended and used after their end;\n"
    "readers peek, find and walk all the while. In the end every total must add up.\n"
    "\n"
    "      --tasks N          tasks that live through the run (default 100k)\n"
    "      --events N         events that producers post to them; 0: until the time is over\n"
    "                         (default 0)\n"
    "      --seconds S        how long producers post; 0: until the events are posted (default\n"
    "                         10, or 0 when --events is given)\n"
    "  -n, --shards N         shards; 0: as the placement plan advises (default 0)\n"
    "      --producers N      producing threads (default 4)\n"
    "      --portless N       how many of them post without a port (default a quarter)\n"
    "      --readers N        reading threads (default 1)\n"
    "      --port-capacity N  events in each ring of a port, a power of two from 64 (default\n"
    "                         1024)\n"
    "      --inflight N       limit of events queued inside a shard; a small one makes steps\n"
    "                         fail, which must be told (default the library's)\n"
    "      --drive WHO        who turns the shards: threads (default), or host: the whole run is\n"
    "                         one thread under a virtual clock, and with --events and --seed it\n"
    "                         repeats exactly\n"
    "      --no-pin           let the shards' threads float\n"
    "      --settle S         how long what is under way may take at the end (default 30)\n"
    "      --live SOCKET      let 'pawl inspect --live SOCKET' look into the run\n"
    "  -s, --seed N           where all randomness comes from (default: the clock); printed\n"
    "  -j, --json             print the summary as JSON\n"
    "  -h, --help             print this text\n"
    "  -V, --version          print the version\n"
    "\n"
    "With a store: accounts send each other tokens, ask, defer, hire and wait, on orders that are\n"
    "logged outside the store once they are acknowledged. Kill the command at any time, SIGKILL "
    "or\n"
    "not: --resume recovers the store, holds it to the log, and goes on.\n"
    "\n"
    "      --durable DIR      keep the tasks in a new store, the directory DIR\n"
    "      --resume DIR       recover the store DIR and go on; --shards may be another number\n"
    "      --sync             orders are acknowledged when they are on disk (default)\n"
    "      --async            at once; a crash may take back those of the last 10 ms\n"
    "      --ack FILE         the acknowledgement log (default DIR.acks)\n"
    "      --steps N          end after N acknowledged orders; 0: when the time is over (default "
    "0)\n"
    "      These take --tasks (accounts, default 10k), --seconds, --shards, --producers,\n"
    "      --port-capacity, --no-pin, --settle, --live, --seed and --json as well.\n"
    "\n"
    "With agents: requesters submit work with priorities, keys, dependencies and policies, cancel\n"
    "and hurry it; agents take it, work, stall, crash, report twice, late and what is not true.\n"
    "Each job is held to a ledger of what was done to it, and nothing may be left over.\n"
    "\n"
    "      --agents N         so many agents, on up to four threads\n"
    "      These take --tasks (jobs at once, default 1000), --seconds, --shards, --producers\n"
    "      (requesters, default 2), --no-pin, --settle, --live, --seed and --json as well. With\n"
    "      --durable DIR (and --sync, --async, --ack) the work lies in a store; killed, it goes on "
    "with\n"
    "      --resume DIR --agents N, and is held to what agents and requesters were told.\n"
    "\n"
    "Progress goes to standard error, the summary to standard output. Numbers take the suffixes\n"
    "k, M and G (10^3, 10^6, 10^9).\n"
    "\n"
    "Exit status: 0 when all promises were kept; 1 when an event was lost, doubled, misordered or\n"
    "cannot be explained (standard error says which), or the run could not be set up or did not\n"
    "come to its end because storage failed; 2 on a wrong command line.\n";

enum option_code {
    OPT_TASKS = 1,
    OPT_EVENTS,
    OPT_SECONDS,
    OPT_PRODUCERS,
    OPT_PORTLESS,
    OPT_READERS,
    OPT_PORT_CAPACITY,
    OPT_INFLIGHT,
    OPT_DRIVE,
    OPT_NO_PIN,
    OPT_SETTLE,
    OPT_PLANT,
    OPT_DURABLE,
    OPT_RESUME,
    OPT_SYNC,
    OPT_ASYNC,
    OPT_ACK,
    OPT_STEPS,
    OPT_AGENTS,
    OPT_LIVE,
    /* These have a letter, too. */
    OPT_SHARDS = 'n',
    OPT_SEED = 's',
    OPT_JSON = 'j',
    OPT_HELP = 'h',
    OPT_VERSION = 'V',
};

static const struct option long_options[] = {
    {"tasks", required_argument, NULL, OPT_TASKS},
    {"events", required_argument, NULL, OPT_EVENTS},
    {"seconds", required_argument, NULL, OPT_SECONDS},
    {"shards", required_argument, NULL, OPT_SHARDS},
    {"producers", required_argument, NULL, OPT_PRODUCERS},
    {"portless", required_argument, NULL, OPT_PORTLESS},
    {"readers", required_argument, NULL, OPT_READERS},
    {"port-capacity", required_argument, NULL, OPT_PORT_CAPACITY},
    {"inflight", required_argument, NULL, OPT_INFLIGHT},
    {"drive", required_argument, NULL, OPT_DRIVE},
    {"no-pin", no_argument, NULL, OPT_NO_PIN},
    {"settle", required_argument, NULL, OPT_SETTLE},
    {"seed", required_argument, NULL, OPT_SEED},
    {"json", no_argument, NULL, OPT_JSON},
    {"durable", required_argument, NULL, OPT_DURABLE},
    {"resume", required_argument, NULL, OPT_RESUME},
    {"sync", no_argument, NULL, OPT_SYNC},
    {"async", no_argument, NULL, OPT_ASYNC},
    {"ack", required_argument, NULL, OPT_ACK},
    {"steps", required_argument, NULL, OPT_STEPS},
    {"agents", required_argument, NULL, OPT_AGENTS},
    {"live", required_argument, NULL, OPT_LIVE},
    {"plant", required_argument, NULL, OPT_PLANT}, /* for the tool's own tests; not in the help */
    {"help", no_argument, NULL, OPT_HELP},
    {"version", no_argument, NULL, OPT_VERSION},
    {NULL, 0, NULL, 0},
};

static const char *const plants[PLANT_COUNT] = {
    [PLANT_NONE] = "none",
    [PLANT_LOSE] = "lose",
    [PLANT_DOUBLE] = "double",
    [PLANT_REORDER] = "reorder",
    [PLANT_TEAR] = "tear",
    [PLANT_CHAIN] = "chain",
    [PLANT_TIMER] = "timer",
    [PLANT_CONTRADICT] = "contradict",
    [PLANT_COMPLETION] = "completion",
};

/* A whole number within 32 bits. */
static bool parse_u32(const char *command, const char *option, const char *text, uint64_t min,
                      uint64_t max, uint32_t *value)
{
    uint64_t wide;
    if (!tool_parse_u64(command, option, text, min, max, &wide))
        return false;
    *value = (uint32_t)wide;
    return true;
}

static bool parse_drive(const char *command, const char *text, struct stress_options *o)
{
    if (strcmp(text, "threads") == 0)
        o->drive = PAWL_DRIVE_THREADS;
    else if (strcmp(text, "host") == 0)
        o->drive = PAWL_DRIVE_HOST;
    else
        return tool_usage(command, "--drive wants threads or host, not '%s'", text) == TOOL_OK;
    return true;
}

static bool parse_plant(const char *command, const char *text, struct stress_options *o)
{
    for (int i = 0; i < PLANT_COUNT; i++) {
        if (strcmp(text, plants[i]) == 0) {
            o->plant = (enum plant)i;
            return true;
        }
    }
    return tool_usage(command, "--plant does not know '%s'", text) == TOOL_OK;
}

static bool parse_capacity(const char *command, const char *text, struct stress_options *o)
{
    if (!parse_u32(command, "--port-capacity", text, 64, 1u << 20, &o->port_capacity))
        return false;
    return is_power_of_two(o->port_capacity) ||
           tool_usage(command, "--port-capacity wants a power of two, not %u", o->port_capacity) ==
               TOOL_OK;
}

static bool parse_store(const char *command, bool resume, const char *text,
                        struct stress_options *o)
{
    if (o->store != NULL)
        return tool_usage(command, "one --durable or one --resume is enough") == TOOL_OK;
    if (text[0] == '\0')
        return tool_usage(command, "%s wants the name of a directory",
                          resume ? "--resume" : "--durable") == TOOL_OK;
    o->store = text;
    o->resume = resume;
    return true;
}

static bool parse_option(const char *command, int code, struct stress_options *o)
{
    switch ((enum option_code)code) {
    case OPT_TASKS:
        return tool_parse_u64(command, "--tasks", optarg, 1, (1u << INDEX_BITS) - 1, &o->tasks);
    case OPT_EVENTS:
        return tool_parse_u64(command, "--events", optarg, 0, INT64_MAX, &o->events);
    case OPT_SECONDS:
        return tool_parse_double(command, "--seconds", optarg, 0, 1e9, &o->seconds);
    case OPT_SHARDS:
        return parse_u32(command, "--shards", optarg, 0, 1024, &o->shards);
    case OPT_PRODUCERS:
        return parse_u32(command, "--producers", optarg, 1, 1024, &o->producers);
    case OPT_PORTLESS:
        return parse_u32(command, "--portless", optarg, 0, 1024, &o->portless);
    case OPT_READERS:
        return parse_u32(command, "--readers", optarg, 0, 1024, &o->readers);
    case OPT_PORT_CAPACITY:
        return parse_capacity(command, optarg, o);
    case OPT_INFLIGHT:
        return parse_u32(command, "--inflight", optarg, 1, UINT32_MAX, &o->inflight);
    case OPT_DRIVE:
        return parse_drive(command, optarg, o);
    case OPT_NO_PIN:
        o->no_pin = true;
        return true;
    case OPT_SETTLE:
        return tool_parse_double(command, "--settle", optarg, 0.001, 1e6, &o->settle_seconds);
    case OPT_SEED:
        return tool_parse_u64(command, "--seed", optarg, 1, UINT64_MAX, &o->seed);
    case OPT_JSON:
        o->json = true;
        return true;
    case OPT_PLANT:
        return parse_plant(command, optarg, o);
    case OPT_DURABLE:
    case OPT_RESUME:
        return parse_store(command, code == OPT_RESUME, optarg, o);
    case OPT_SYNC:
    case OPT_ASYNC:
        o->durability = code == OPT_SYNC ? PAWL_DURABILITY_SYNC : PAWL_DURABILITY_ASYNC;
        return true;
    case OPT_ACK:
        o->acks = optarg;
        return optarg[0] != '\0' ||
               tool_usage(command, "--ack wants the name of a file") == TOOL_OK;
    case OPT_STEPS:
        return tool_parse_u64(command, "--steps", optarg, 0, INT64_MAX, &o->steps);
    case OPT_AGENTS:
        return parse_u32(command, "--agents", optarg, 1, FLEET_AGENTS_MAX, &o->agents);
    case OPT_LIVE:
        o->live = optarg;
        return true;
    case OPT_HELP:
    case OPT_VERSION:
        break;
    }
    return false;
}

static uint64_t seed_from_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    /* Short enough to be typed again. */
    return mix64((uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec) % 1000000000 + 1;
}

/* Which options were given, by their code. */
struct given {
    bool code[128];
};

static const char *name_of(int code)
{
    const struct option *option = long_options;
    while (option->name != NULL && option->val != code)
        option++;
    return option->name;
}

/* The first of these options, ended by 0, that was given; NULL: none. */
static const char *any_given(const struct given *given, const int *codes)
{
    for (; *codes != 0; codes++)
        if (given->code[*codes])
            return name_of(*codes);
    return NULL;
}

/* The same for a run with a store. */
static bool complete_store(const char *command, const struct given *given, struct stress_options *o)
{
    static const int others[] = {OPT_EVENTS, OPT_PORTLESS, OPT_READERS, OPT_INFLIGHT, OPT_DRIVE, 0};
    static const int fixed[] = {OPT_TASKS, OPT_SEED, OPT_SYNC, OPT_ASYNC, 0};
    const char *wrong = any_given(given, others);
    if (wrong != NULL)
        return tool_usage(command, "--%s does not go with a store", wrong) == TOOL_OK;
    wrong = o->resume ? any_given(given, fixed) : NULL;
    if (wrong != NULL)
        return tool_usage(command, "--%s was decided when the store was made", wrong) == TOOL_OK;
    if (given->code[OPT_SYNC] && given->code[OPT_ASYNC])
        return tool_usage(command, "--sync and --async exclude each other") == TOOL_OK;
    if (!given->code[OPT_TASKS])
        o->tasks = 10000;
    if (o->seconds < 0)
        o->seconds = o->steps == 0 ? 10 : 0;
    if (o->seconds == 0 && o->steps == 0)
        return tool_usage(command, "--seconds 0 and --steps 0 would never end") == TOOL_OK;
    return true;
}

/* The same for a run with agents. */
static bool complete_agents(const char *command, const struct given *given,
                            struct stress_options *o)
{
    static const int others[] = {OPT_EVENTS,        OPT_PORTLESS, OPT_READERS, OPT_INFLIGHT,
                                 OPT_PORT_CAPACITY, OPT_DRIVE,    OPT_STEPS,   0};
    static const int stored[] = {OPT_SYNC, OPT_ASYNC, OPT_ACK, 0};
    static const int fixed[] = {OPT_TASKS, OPT_PRODUCERS, OPT_SEED, OPT_SYNC, OPT_ASYNC, 0};
    const char *wrong = any_given(given, others);
    if (wrong != NULL)
        return tool_usage(command, "--%s does not go with --agents", wrong) == TOOL_OK;
    if (o->plant == PLANT_CHAIN || o->plant == PLANT_TIMER)
        return tool_usage(command, "--plant %s does not go with --agents", plants[o->plant]) ==
               TOOL_OK;
    wrong = o->store == NULL ? any_given(given, stored) : NULL;
    if (wrong != NULL)
        return tool_usage(command, "--%s needs --durable or --resume", wrong) == TOOL_OK;
    wrong = o->resume ? any_given(given, fixed) : NULL;
    if (wrong != NULL)
        return tool_usage(command, "--%s was decided when the store was made", wrong) == TOOL_OK;
    if (given->code[OPT_SYNC] && given->code[OPT_ASYNC])
        return tool_usage(command, "--sync and --async exclude each other") == TOOL_OK;
    if (!given->code[OPT_TASKS])
        o->tasks = 1000;
    if (o->tasks > FLEET_TASKS_MAX)
        return tool_usage(command, "--tasks %llu is more jobs at once than --agents takes: %u",
                          (unsigned long long)o->tasks, FLEET_TASKS_MAX) == TOOL_OK;
    if (!given->code[OPT_PRODUCERS])
        o->producers = 2;
    if (o->seconds < 0)
        o->seconds = 10;
    return o->seconds > 0 ||
           tool_usage(command, "--seconds 0 would be over before it began") == TOOL_OK;
}

/* Fills in what was not said; finds fault with what does not go together. */
static bool complete_options(const char *command, const struct given *given,
                             struct stress_options *o)
{
    static const int stored[] = {OPT_SYNC, OPT_ASYNC, OPT_ACK, OPT_STEPS, 0};
    const char *wrong = o->store == NULL ? any_given(given, stored) : NULL;
    if (o->seed == 0)
        o->seed = seed_from_clock();
    if (o->agents != 0)
        return complete_agents(command, given, o);
    if (o->store != NULL)
        return complete_store(command, given, o);
    if (wrong != NULL)
        return tool_usage(command, "--%s needs --durable or --resume", wrong) == TOOL_OK;
    if (o->seconds < 0)
        o->seconds = o->events == 0 ? 10 : 0;
    if (o->seconds == 0 && o->events == 0)
        return tool_usage(command, "--seconds 0 and --events 0 would never end") == TOOL_OK;
    if (o->portless == UINT32_MAX)
        o->portless = o->producers / 4;
    if (o->portless > o->producers)
        return tool_usage(command, "--portless %u is more than --producers %u", o->portless,
                          o->producers) == TOOL_OK;
    return true;
}

static uint64_t found(struct stress *s, enum finding kind)
{
    return load_relaxed(&s->findings[kind]);
}

typedef unsigned long long ull;

static double rate_of(const struct stress_result *r)
{
    return r->seconds > 0 ? (double)r->transitions / r->seconds : 0;
}

static double bytes_of(const struct stress_options *o, const struct stress_result *r)
{
    return (double)r->rss_bytes / (double)o->tasks;
}

static const char *drive_name(const struct stress_options *o)
{
    return o->drive == PAWL_DRIVE_HOST ? "host" : "threads";
}

static void json_count(const char *name, uint64_t value)
{
    printf("  \"%s\": %llu,\n", name, (ull)value);
}

static void print_json(struct stress *s, const struct stress_result *r, bool ok)
{
    const struct stress_options *o = &s->options;
    const struct pawl_counters *c = &r->counters;
    printf("{\n  \"kept\": %s,\n", ok ? "true" : "false");
    for (int kind = 0; kind < FINDING_KINDS; kind++)
        json_count(finding_names[kind], found(s, (enum finding)kind));
    json_count("tasks", o->tasks);
    json_count("events", r->events);
    json_count("posted", r->totals.posted);
    json_count("transitions", r->transitions);
    printf("  \"seconds\": %.6f,\n  \"transitions_per_s\": %.0f,\n", r->seconds, rate_of(r));
    json_count("shards", r->shards);
    json_count("producers", o->producers);
    json_count("portless", o->portless);
    json_count("readers", o->readers);
    printf("  \"drive\": \"%s\",\n", drive_name(o));
    json_count("completions", r->totals.completed);
    json_count("undelivered", c->undelivered);
    json_count("full", r->totals.full);
    json_count("created", c->created);
    json_count("ended", c->ended);
    json_count("deferred", c->deferred);
    json_count("refused", c->refused);
    json_count("aborted", c->aborted);
    json_count("stale", c->stale);
    json_count("timers_fired", c->timers_fired);
    json_count("sent", c->sent);
    json_count("reads", r->reads);
    json_count("walks", r->walks);
    printf("  \"rss_bytes_per_task\": %.1f,\n", bytes_of(o, r));
    printf("  \"allocator\": \"%s\",\n", r->allocator);
    /* With threads the state depends on the order of events: there is nothing to compare. */
    if (o->drive == PAWL_DRIVE_HOST)
        printf("  \"digest\": \"%016llx\",\n", (ull)r->digest);
    else
        printf("  \"digest\": null,\n");
    printf("  \"seed\": %llu\n}\n", (ull)o->seed);
}

static void print_summary(struct stress *s, const struct stress_result *r, bool ok)
{
    const struct stress_options *o = &s->options;
    const struct pawl_counters *c = &r->counters;
    printf("tasks         %llu on %u shard%s, %.1f bytes of memory each, queues from %s\n",
           (ull)o->tasks, r->shards, r->shards == 1 ? "" : "s", bytes_of(o, r), r->allocator);
    printf("load          %.2f s, %u producers (%u without a port), %u readers, driven by %s\n",
           r->seconds, o->producers, o->portless, o->readers, drive_name(o));
    printf("events        %llu, of which producers posted %llu to tasks that check\n",
           (ull)r->events, (ull)r->totals.posted);
    printf("transitions   %llu, %.3f M/s\n", (ull)r->transitions, rate_of(r) / 1e6);
    printf("between       %llu events sent from shard to shard\n", (ull)c->sent);
    printf("created       %llu tasks, ended %llu\n", (ull)c->created, (ull)c->ended);
    printf("deferred      %llu, refused %llu, given up %llu, stale %llu\n", (ull)c->deferred,
           (ull)c->refused, (ull)c->aborted, (ull)c->stale);
    printf("told          %llu by completions, %llu without\n", (ull)r->totals.completed,
           (ull)c->undelivered);
    printf("timers        %llu fired, %llu still armed\n", (ull)c->timers_fired, (ull)c->timers);
    printf("full          %llu times a producer had to wait\n", (ull)r->totals.full);
    printf("readers       %llu reads, %llu whole walks\n", (ull)r->reads, (ull)r->walks);
    if (o->drive == PAWL_DRIVE_HOST)
        printf("digest        %016llx\n", (ull)r->digest);
    printf("seed          %llu\n", (ull)o->seed);
    fputs(ok ? "kept         " : "VIOLATED     ", stdout);
    for (int kind = 0; kind < FINDING_KINDS; kind++)
        printf("%s %s %llu", kind == 0 ? "" : ",", finding_names[kind],
               (ull)found(s, (enum finding)kind));
    putchar('\n');
}

int cmd_stress(int argc, char **argv)
{
    struct stress s = {.options = {.tasks = 100000,
                                   .seconds = -1,
                                   .producers = 4,
                                   .portless = UINT32_MAX,
                                   .readers = 1,
                                   .port_capacity = 1024,
                                   .settle_seconds = 30,
                                   .durability = PAWL_DURABILITY_SYNC,
                                   .drive = PAWL_DRIVE_THREADS}};
    struct given given = {.code = {false}};
    struct stress_result result = {.allocator = "nothing"};
    int code;
    while ((code = getopt_long(argc, argv, "n:s:jhV", long_options, NULL)) != -1) {
        if (code == OPT_HELP || code == OPT_VERSION || code == '?')
            return tool_option(argv[0], code, help);
        given.code[code] = true;
        if (!parse_option(argv[0], code, &s.options))
            return TOOL_USAGE;
    }
    if (optind < argc)
        return tool_usage(argv[0], "what is '%s'? This command takes options only", argv[optind]);
    if (!complete_options(argv[0], &given, &s.options))
        return TOOL_USAGE;
    if (s.options.agents != 0)
        return fleet_run(&s);
    if (s.options.store != NULL)
        return bank_run(&s);
    if (stress_run(&s, &result) != 0)
        return TOOL_FAILED;
    bool ok = !stress_found_any(&s);
    if (s.options.json)
        print_json(&s, &result, ok);
    else
        print_summary(&s, &result, ok);
    return ok ? TOOL_OK : TOOL_FAILED;
}

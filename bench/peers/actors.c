/*
 * actors.c - the three programs of actors.h as contenders.
 */
#include "peers/actors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "child.h"
#include "peers/have.h"

/* The most operations of a round: the children draw that many targets beforehand. */
#define OPERATIONS_MAX (UINT64_C(1) << 24)

enum { SYSTEMS = 3, THREADS_MAX = 2 };

struct system {
    const char *name;
    const char *absent;
    const char *semantics;
    const char *program;
    const char *const *(*arguments)(unsigned threads);
};

/* ---- Programs ------------------------------------------------------------------------------------ */

static const char *const *plain_arguments(unsigned threads)
{
    static const char *arguments[2];

    arguments[0] = bench_text("%u", threads);
    return arguments;
}

static const char *const *erl_arguments(unsigned threads)
{
    /* The limit of processes is its default but for a million of them; no core file of a killed one. */
    static const char *arguments[] = {
        "-noshell", "+S",  NULL,      "+P", "2000000",     "-env", "ERL_CRASH_DUMP_SECONDS",
        "0",        "-pa", PEERS_DIR, "-s", "peer_erlang", "main", NULL};

    arguments[2] = bench_text("%u:%u", threads, threads);
    return arguments;
}

static const struct system systems[SYSTEMS] = {
    {.name = "caf",
     .absent = CAF_ABSENT,
     .semantics = "C++ Actor Framework: event-based actors, mailboxes without bound, stolen work",
     .program = "./peer_caf",
     .arguments = plain_arguments},
    {.name = "go",
     .absent = GO_ABSENT,
     .semantics = "a goroutine an actor, bounded channels, collected memory",
     .program = "./peer_go",
     .arguments = plain_arguments},
    {.name = "erlang",
     .absent = ERLANG_ABSENT,
     .semantics = "Erlang/OTP processes (a machine is a gen_statem), mailboxes without bound, each "
                  "with a heap of its own, preempted",
     .program = "erl",
     .arguments = erl_arguments},
};

/* A running program; it goes with its last user. */
struct program {
    struct child *child;
    unsigned users;
    unsigned places; /* given out so far */
};

static struct program programs[SYSTEMS][THREADS_MAX];

static struct program *program_get(unsigned which, unsigned threads)
{
    struct program *program = &programs[which][threads - 1];

    if (program->users++ == 0)
        program->child = child_start(systems[which].program, systems[which].arguments(threads));
    return program;
}

static void program_put(struct program *program)
{
    if (--program->users > 0)
        return;
    child_stop(program->child);
    program->child = NULL;
}

/* ---- Contenders ---------------------------------------------------------------------------------- */

struct role {
    const char *work;
    unsigned system;
    unsigned threads;
};

struct actors {
    struct program *program;
    unsigned place;
    uint64_t operations; /* of a round */
    double bytes;        /* a task, or 0 */
};

static uint64_t round_of(void *state, uint64_t operations, uint64_t *ns)
{
    const struct actors *actors = state;
    uint64_t done;
    const char *answer =
        child_ask(actors->program->child, "run %u %" PRIu64, actors->place, operations);

    if (sscanf(answer, "%" SCNu64 " %" SCNu64, ns, &done) != 2 || done < operations)
        bench_fail("a child did less than it was asked for: %s", answer);
    return done;
}

static void *actors_open(const struct bench_row *row, const struct bench_contender *contender)
{
    const struct role *role = contender->detail;
    struct actors *actors = calloc(1, sizeof(*actors));
    struct child *child;
    uint64_t before;

    if (actors == NULL)
        bench_fail("no memory for %s", contender->name);
    actors->program = program_get(role->system, role->threads);
    actors->place = ++actors->program->places;
    child = actors->program->child;
    /* Its first answer comes when it has started, whose memory is not the tasks'. */
    child_ask(child, "open 0 ping_pong 2");
    child_ask(child, "close 0");
    before = bench_rss_of(child_pid(child));
    child_ask(child, "open %u %s %" PRIu64, actors->place, role->work, row->size);
    if (strcmp(role->work, "lifecycle") == 0)
        actors->bytes = (double)(bench_rss_of(child_pid(child)) - before) / (double)row->size;
    actors->operations = actor_fit(round_of, actors);
    return actors;
}

static void actors_run(void *state, struct bench_sample *sample)
{
    const struct actors *actors = state;
    uint64_t ns;

    sample->operations = round_of(state, actors->operations, &ns);
    sample->seconds = (double)ns * 1e-9;
    if (actors->bytes > 0)
        bench_count(sample, "bytes_per_task", actors->bytes);
}

static void actors_close(void *state)
{
    struct actors *actors = state;

    child_ask(actors->program->child, "close %u", actors->place);
    program_put(actors->program);
    free(actors);
}

unsigned actor_contenders(struct bench_contender *out, const char *work)
{
    struct role *roles = calloc(ACTOR_CONTENDERS, sizeof(*roles)); /* as long as the process */

    if (roles == NULL)
        bench_fail("no memory for contenders");
    for (unsigned i = 0; i < ACTOR_CONTENDERS; i++) {
        const struct system *system = &systems[i / THREADS_MAX];

        roles[i] =
            (struct role){.work = work, .system = i / THREADS_MAX, .threads = i % THREADS_MAX + 1};
        out[i] = (struct bench_contender){
            .name = bench_text("%s-%u", system->name, roles[i].threads),
            .semantics = bench_text("%s; %u scheduler thread%s", system->semantics,
                                    roles[i].threads, roles[i].threads > 1 ? "s" : ""),
            .absent = system->absent,
            .open = actors_open,
            .run = actors_run,
            .close = actors_close,
            .detail = &roles[i]};
    }
    return ACTOR_CONTENDERS;
}

/* ---- The length of a round ----------------------------------------------------------------------- */

uint64_t actor_fit(uint64_t (*round)(void *state, uint64_t operations, uint64_t *ns), void *state)
{
    const uint64_t goal_ns = bench_pick(500000, 50000000, 150000000);
    uint64_t operations = bench_pick(200, 10000, 10000);

    for (;;) {
        uint64_t ns;
        const uint64_t done = round(state, operations, &ns);
        const double fitting = (double)done * (double)goal_ns / (double)(ns > 0 ? ns : 1);

        /* What took a quarter of the time tells enough; less may be all warming up. */
        if (ns >= goal_ns / 4 || operations == OPERATIONS_MAX) {
            if (fitting < 1)
                return 1;
            return fitting < (double)OPERATIONS_MAX ? (uint64_t)fitting : OPERATIONS_MAX;
        }
        operations = operations * 4 < OPERATIONS_MAX ? operations * 4 : OPERATIONS_MAX;
    }
}

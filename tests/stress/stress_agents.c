/*
 * stress_agents.c - agents on threads of their own that come and go over shards that run: they
 * work, fail, give back, report twice, report late, lie about their token, wait by descriptor, and
 * end with leases in hand. Each task has a word that says who has it: nobody ever finds it taken.
 * Tokens grow, what was accepted is what the tasks have counted, and at the end every task can be
 * had again.
 *
 *     stress_agents [SCALE [SEED]]      SCALE multiplies the rounds, 1 by default
 */
#define FIXTURE_WITHOUT_TESTS
#include "support/threads_fixture.h"

#include <poll.h>
#include <sched.h>

#include "base/random.h"
#include "support/agent_fixture.h"

#define SHARDS   2u
#define AGENTS   4u
#define TASKS    200u
#define ROUNDS   12u
#define CYCLES   1500u /* of one agent in one round */
#define HAND_MAX 32u
#define STALE    16u

/* Of a task, written by whoever has its lease. */
struct stand {
    _Atomic uint64_t owner;
    _Atomic uint64_t token; /* the newest that anybody had */
};

struct stage {
    struct pawl_runtime *runtime;
    struct pawl_task tasks[TASKS];
    struct stand stands[TASKS];
    _Atomic uint64_t double_holders;
    _Atomic uint64_t old_tokens;
    _Atomic uint64_t wrong; /* answers that cannot be */
    _Atomic uint64_t done, failed, released, refused, lost;
};

struct worker {
    struct stage *stage;
    struct random random;
    unsigned number;
    unsigned rounds;
    struct pawl_agent *agent;
    struct pawl_lease hand[HAND_MAX];
    unsigned count;
    struct pawl_lease stale[STALE]; /* given back, and to be reported again */
    unsigned stale_count;
    pthread_t thread;
};

/* What a report's receipt must say; the tag of the report. */
enum expect { EXPECT_GOOD, EXPECT_REFUSED };

static struct stand *stand_of(const struct worker *worker, const struct pawl_lease *lease)
{
    struct stage *stage = worker->stage;

    for (unsigned i = 0; i < TASKS; i++)
        if (stage->tasks[i].id == lease->task.id)
            return &stage->stands[i];
    cr_assert(false);
    return NULL;
}

static void occupy(struct worker *worker, const struct pawl_lease *lease)
{
    struct stand *stand = stand_of(worker, lease);
    uint64_t nobody = 0;

    if (!cas_acq_rel(&stand->owner, &nobody, worker->number + 1))
        add_relaxed(&worker->stage->double_holders, 1);
    if (load_acquire(&stand->token) >= lease->token)
        add_relaxed(&worker->stage->old_tokens, 1);
    store_release(&stand->token, lease->token);
}

static void vacate(struct worker *worker, const struct pawl_lease *lease)
{
    store_release(&stand_of(worker, lease)->owner, 0);
}

static void take_receipts(struct worker *worker)
{
    struct stage *stage = worker->stage;
    struct pawl_receipt receipts[8];
    int count;

    while ((count = pawl_agent_receipts(worker->agent, receipts, 8)) > 0)
        for (int i = 0; i < count; i++) {
            const struct pawl_receipt *one = &receipts[i];

            if (one->tag >> 8 == EXPECT_REFUSED) {
                add_relaxed(&stage->refused, 1);
                if (one->status != -ESTALE && one->status != -EPROTO && one->status != -EPERM)
                    add_relaxed(&stage->wrong, 1);
                continue;
            }
            if (one->status != 0)
                add_relaxed(&stage->wrong, 1);
            else if ((one->tag & 0xff) == PAWL_REPORT_DONE)
                add_relaxed(&stage->done, 1);
            else if ((one->tag & 0xff) == PAWL_REPORT_FAILED)
                add_relaxed(&stage->failed, 1);
            else if ((one->tag & 0xff) == PAWL_REPORT_RELEASE)
                add_relaxed(&stage->released, 1);
        }
}

static void report(struct worker *worker, const struct pawl_lease *lease,
                   enum pawl_report_kind kind, enum expect expect)
{
    const struct pawl_report given = {.kind = kind,
                                      .tag = (uint32_t)expect << 8 | (uint32_t)kind,
                                      .bytes = "some evidence",
                                      .size = kind == PAWL_REPORT_NOTE ? 13 : 0};
    int error;

    while ((error = pawl_agent_report(worker->agent, lease, &given)) == -EAGAIN)
        take_receipts(worker);
    cr_assert(error == 0);
}

/* A task that is done begins again. */
static void begin_again(struct worker *worker, struct pawl_task task)
{
    const struct pawl_event again = {.task = task, .code = C_AGAIN};

    /* Behind the report: it must have been handled, so it is its receipt that is waited for. */
    while (pawl_agent_settle(worker->agent, UINT64_MAX) != 0)
        ;
    cr_assert(post_one_event(worker->stage->runtime, &again));
}

static void keep_stale(struct worker *worker, const struct pawl_lease *lease)
{
    if (worker->stale_count < STALE)
        worker->stale[worker->stale_count++] = *lease;
}

/* Ends one lease, the normal way. */
static void finish(struct worker *worker, unsigned which)
{
    const struct pawl_lease lease = worker->hand[which];
    const uint64_t dice = random_below(&worker->random, 100);

    worker->hand[which] = worker->hand[--worker->count];
    vacate(worker, &lease);
    if (dice < 20) {
        report(worker, &lease, PAWL_REPORT_DONE, EXPECT_GOOD);
        begin_again(worker, lease.task);
    } else {
        report(worker, &lease, dice < 60 ? PAWL_REPORT_FAILED : PAWL_REPORT_RELEASE, EXPECT_GOOD);
    }
    if (dice % 10 == 0) /* twice: at once, or late */
        report(worker, &lease, PAWL_REPORT_FAILED, EXPECT_REFUSED);
    else if (dice % 10 == 1)
        keep_stale(worker, &lease);
}

static void misbehave(struct worker *worker)
{
    if (worker->stale_count > 0 && random_below(&worker->random, 8) == 0)
        report(worker, &worker->stale[--worker->stale_count], PAWL_REPORT_DONE, EXPECT_REFUSED);
    if (worker->count > 0 && random_below(&worker->random, 30) == 0) {
        struct pawl_lease lie = worker->hand[0];

        lie.token += 1 + random_below(&worker->random, 1000);
        report(worker, &lie, PAWL_REPORT_DONE, EXPECT_REFUSED);
    }
}

static unsigned next(struct worker *worker, bool pollable)
{
    const unsigned room = HAND_MAX - worker->count;
    const uint64_t timeout_ns =
        worker->count > 0 || pollable ? 0 : random_below(&worker->random, 2000000);
    const int count =
        pawl_agent_next(worker->agent, worker->hand + worker->count,
                        1 + (unsigned)random_below(&worker->random, room), timeout_ns);

    cr_assert(count >= 0);
    for (int i = 0; i < count; i++)
        occupy(worker, &worker->hand[worker->count + (unsigned)i]);
    worker->count += (unsigned)count;
    if (worker->count == 0 && pollable) {
        struct pollfd readable = {.fd = pawl_agent_fd(worker->agent), .events = POLLIN};

        cr_assert(poll(&readable, 1, 20) >= 0);
    }
    return (unsigned)count;
}

static void one_round(struct worker *worker, unsigned round)
{
    static const char *const lane[] = {"work"};
    const struct pawl_agent_options options = {
        .name = worker->number % 2 ? "odd" : "even",
        .lanes = lane,
        .lanes_count = 1,
        .credits = 1 + (uint32_t)random_below(&worker->random, HAND_MAX - 1),
        .reports = 1 + (uint32_t)random_below(&worker->random, 40),
        .pollable = round % 3 == 1,
    };
    unsigned cycles = 0;
    int error;

    cr_assert(pawl_agent_open(worker->stage->runtime, &options, &worker->agent) == 0);
    while (cycles < CYCLES) {
        cycles += next(worker, options.pollable);
        misbehave(worker);
        if (worker->count > 0 && random_below(&worker->random, 20) == 0)
            report(worker, &worker->hand[0], PAWL_REPORT_NOTE, EXPECT_GOOD);
        while (worker->count > random_below(&worker->random, options.credits + 1))
            finish(worker, (unsigned)random_below(&worker->random, worker->count));
        take_receipts(worker);
    }
    while (pawl_agent_settle(worker->agent, UINT64_MAX) != 0)
        ;
    take_receipts(worker);
    for (unsigned i = 0; i < worker->count; i++)
        vacate(worker, &worker->hand[i]);
    add_relaxed(&worker->stage->lost, worker->count);
    worker->count = worker->stale_count = 0;
    while ((error = pawl_agent_close(worker->agent, random_below(&worker->random, 100000))) != 0)
        cr_assert(error == -ETIMEDOUT);
}

static void *work(void *argument)
{
    struct worker *worker = argument;

    for (unsigned round = 0; round < worker->rounds; round++)
        one_round(worker, round);
    return NULL;
}

/* Whether one agent can have all tasks at once. */
static bool all_are_there(struct stage *stage)
{
    static const char *const lane[] = {"work"};
    const struct pawl_agent_options options = {
        .name = "last", .lanes = lane, .lanes_count = 1, .credits = TASKS};
    static struct pawl_lease leases[TASKS];
    struct pawl_agent *agent;
    unsigned there = 0;

    cr_assert(pawl_agent_open(stage->runtime, &options, &agent) == 0);
    for (int count = 1; there < TASKS && count > 0; there += (unsigned)count)
        count = pawl_agent_next(agent, leases + there, TASKS - there, 1000 * MS);
    cr_assert(pawl_agent_close(agent, UINT64_MAX) == 0);
    printf("%u of %u tasks are there\n", there, TASKS);
    return there == TASKS;
}

static bool counts_agree(struct stage *stage)
{
    uint64_t done = 0, failed = 0, released = 0, lost = 0, expired = 0;

    for (unsigned i = 0; i < TASKS; i++) {
        const struct chore chore = chore_of(stage->runtime, stage->tasks[i], NULL);

        done += chore.done;
        failed += chore.failed;
        released += chore.released;
        lost += chore.lost;
        expired += chore.expired;
    }
    printf(
        "done %llu of %llu, failed %llu of %llu, released %llu, lost %llu of %llu, refused %llu\n",
        (unsigned long long)done, (unsigned long long)load_acquire(&stage->done),
        (unsigned long long)failed, (unsigned long long)load_acquire(&stage->failed),
        (unsigned long long)released, (unsigned long long)lost,
        (unsigned long long)load_acquire(&stage->lost),
        (unsigned long long)load_acquire(&stage->refused));
    /* What a closing agent had not seen is released without anybody's asking. */
    return done == load_acquire(&stage->done) && failed == load_acquire(&stage->failed) &&
           released >= load_acquire(&stage->released) && lost == load_acquire(&stage->lost) &&
           expired == 0 && done > 0 && lost > 0 && load_acquire(&stage->refused) > 0;
}

int main(int argc, char **argv)
{
    const unsigned scale = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : 1;
    const uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL);
    const struct pawl_lane_def lane = {.name = "work"};
    struct pawl_options options = PAWL_OPTIONS_INIT;
    static struct worker workers[AGENTS];
    static struct stage stage;
    struct pawl_machine *machine;
    bool ok;

    printf("stress_agents: seed %llu\n", (unsigned long long)seed);
    cr_assert(pawl_machine_compile(&chore_machine, NULL, NULL, &machine) == 0);
    options.machines = (const struct pawl_machine *const *)&machine;
    options.machine_count = 1;
    options.shards = SHARDS;
    options.no_pin = 1;
    options.lanes = &lane;
    options.lane_count = 1;
    cr_assert(pawl_open(&options, &stage.runtime) == 0);
    cr_assert(pawl_start(stage.runtime) == 0);
    for (unsigned i = 0; i < TASKS; i++)
        stage.tasks[i] = chore_create(
            stage.runtime, i % SHARDS,
            &(struct chore){.claim = {.lane = pawl_lane_number("work"), .priority = i % 3}});
    for (unsigned i = 0; i < AGENTS; i++) {
        workers[i] = (struct worker){
            .stage = &stage, .random = {seed + i}, .number = i, .rounds = ROUNDS * scale};
        cr_assert(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
    }
    for (unsigned i = 0; i < AGENTS; i++)
        pthread_join(workers[i].thread, NULL);
    ok = counts_agree(&stage);
    ok = all_are_there(&stage) && ok;
    printf("%llu double holders, %llu old tokens, %llu wrong answers\n",
           (unsigned long long)load_acquire(&stage.double_holders),
           (unsigned long long)load_acquire(&stage.old_tokens),
           (unsigned long long)load_acquire(&stage.wrong));
    ok = load_acquire(&stage.double_holders) == 0 && load_acquire(&stage.old_tokens) == 0 &&
         load_acquire(&stage.wrong) == 0 && ok;
    cr_assert(pawl_close(stage.runtime) == 0);
    pawl_machine_destroy(machine);
    puts(ok ? "passed" : "FAILED");
    return ok ? 0 : 1;
}

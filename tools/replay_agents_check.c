/*
 * replay_agents_check.c - what a replay with agents must have come to, by other means: see
 * replay_agents.h. It knows nothing of the runtime.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>

#include "replay_agents.h"
#include "tool.h"

/* ---- a heap, the smallest key first --------------------------------------------------------- */

struct entry {
    uint64_t key;
    uint32_t rank;
};

struct heap {
    struct entry *entries;
    uint32_t count;
};

static bool is_less(struct entry a, struct entry b)
{
    return a.key != b.key ? a.key < b.key : a.rank < b.rank;
}

static void heap_push(struct heap *heap, uint64_t key, uint32_t rank)
{
    const struct entry entry = {key, rank};
    uint32_t at = heap->count++;

    while (at > 0 && is_less(entry, heap->entries[(at - 1) / 2])) {
        heap->entries[at] = heap->entries[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap->entries[at] = entry;
}

static struct entry heap_pop(struct heap *heap)
{
    const struct entry first = heap->entries[0], last = heap->entries[--heap->count];
    uint32_t at = 0;

    for (;;) {
        uint32_t child = 2 * at + 1;

        if (child + 1 < heap->count && is_less(heap->entries[child + 1], heap->entries[child]))
            child++;
        if (child >= heap->count || !is_less(heap->entries[child], last))
            break;
        heap->entries[at] = heap->entries[child];
        at = child;
    }
    heap->entries[at] = last;
    return first;
}

/* ---- the simulation -------------------------------------------------------------------------- */

struct check {
    const struct replay_plan *plan;
    const struct replay_agents_request *request;
    struct heap waiting; /* by priority, then by rank */
    struct heap ends;    /* of those that run */
    uint64_t *times[3];  /* submits, starts and ends, each in order */
    uint32_t *order;     /* ranks */
};

static void arrive(struct check *check, uint32_t rank)
{
    heap_push(&check->waiting,
              replay_agents_priority(check->request->priority, &check->plan->jobs[rank]), rank);
}

static int complain(const struct check *check, uint32_t rank, const char *what, uint64_t wanted_s)
{
    const struct plan_job *job = &check->plan->jobs[rank];

    return tool_fail(check->request->command,
                     "job %" PRIu64 " (line %" PRIu64 ") %s: it ran from second %" PRIu64
                     " to %" PRIu64 ", not from %" PRIu64,
                     job->number, job->line, what, check->plan->results[rank].start_s,
                     check->plan->results[rank].end_s, wanted_s);
}

/* A queue and as many servers as there are agents. In one second ends come first, then arrivals. */
static int simulate(struct check *check)
{
    const struct replay_plan *plan = check->plan;
    uint64_t now = 0;
    uint32_t next = 0;

    while (next < plan->count || check->waiting.count > 0) {
        if (check->waiting.count == 0)
            now = plan->jobs[next].submit_s > now ? plan->jobs[next].submit_s : now;
        else
            now = check->ends.entries[0].key; /* nobody was free, so something runs */
        while (check->ends.count > 0 && check->ends.entries[0].key <= now)
            heap_pop(&check->ends);
        while (next < plan->count && plan->jobs[next].submit_s <= now)
            arrive(check, next++);
        while (check->waiting.count > 0 && check->ends.count < check->request->agents) {
            const uint32_t rank = heap_pop(&check->waiting).rank;

            if (plan->results[rank].start_s != now)
                return complain(check, rank, "is not where the simulation has it", now);
            heap_push(&check->ends, now + plan->jobs[rank].run_s, rank);
        }
    }
    return TOOL_OK;
}

/* ---- what holds for any number of shards ----------------------------------------------------- */

static int check_each(const struct check *check)
{
    for (uint32_t rank = 0; rank < check->plan->count; rank++) {
        const struct plan_job *job = &check->plan->jobs[rank];
        const struct plan_result *result = &check->plan->results[rank];

        if (result->start_s < job->submit_s || result->end_s - result->start_s != job->run_s)
            return complain(check, rank, "came early or had another run time", job->submit_s);
    }
    return TOOL_OK;
}

static int by_value(const void *left, const void *right)
{
    const uint64_t *a = left, *b = right;

    return (*a > *b) - (*a < *b);
}

/* No more run at once than there are agents, and nothing waits unless as many do. */
static int check_busy(struct check *check)
{
    const uint32_t count = check->plan->count;
    uint32_t passed[3] = {0};

    for (uint32_t rank = 0; rank < count; rank++) {
        check->times[0][rank] = check->plan->jobs[rank].submit_s;
        check->times[1][rank] = check->plan->results[rank].start_s;
        check->times[2][rank] = check->plan->results[rank].end_s;
    }
    qsort(check->times[1], count, sizeof(uint64_t), by_value);
    qsort(check->times[2], count, sizeof(uint64_t), by_value);
    while (passed[2] < count) {
        uint64_t now = UINT64_MAX;
        uint32_t running;

        for (unsigned i = 0; i < 3; i++)
            if (passed[i] < count && check->times[i][passed[i]] < now)
                now = check->times[i][passed[i]];
        for (unsigned i = 0; i < 3; i++)
            while (passed[i] < count && check->times[i][passed[i]] == now)
                passed[i]++;
        running = passed[1] - passed[2];
        if (running > check->request->agents)
            return tool_fail(check->request->command,
                             "%" PRIu32 " jobs run in second %" PRIu64 " and there are %u agents",
                             running, now, check->request->agents);
        if (passed[0] > passed[1] && running < check->request->agents)
            return tool_fail(check->request->command,
                             "in second %" PRIu64 " jobs wait and only %" PRIu32
                             " of %u agents have one",
                             now, running, check->request->agents);
    }
    return TOOL_OK;
}

static const struct replay_plan *sorted_plan; /* qsort passes nothing along */

static int by_start(const void *left, const void *right)
{
    const uint32_t *a = left, *b = right;
    const uint64_t a_s = sorted_plan->results[*a].start_s, b_s = sorted_plan->results[*b].start_s;

    return a_s != b_s ? (a_s > b_s) - (a_s < b_s) : (*a > *b) - (*a < *b);
}

/* Those of a shard that start in one second are the most urgent of its jobs that are there. */
static int check_order(struct check *check, unsigned shard, const uint16_t *shards)
{
    const struct replay_plan *plan = check->plan;
    uint32_t next = 0, count = 0;

    for (uint32_t rank = 0; rank < plan->count; rank++)
        if (shards[rank] == shard)
            check->order[count++] = rank;
    sorted_plan = plan;
    qsort(check->order, count, sizeof(*check->order), by_start);
    check->waiting.count = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t now = plan->results[check->order[i]].start_s;
        uint32_t rank;

        for (; next < plan->count && plan->jobs[next].submit_s <= now; next++)
            if (shards[next] == shard)
                arrive(check, next);
        rank = heap_pop(&check->waiting).rank;
        if (plan->results[rank].start_s != now)
            return complain(check, rank, "was overtaken on its own shard", now);
    }
    return TOOL_OK;
}

int replay_agents_check(const struct replay_plan *plan, const struct replay_agents_request *request,
                        const uint16_t *shards)
{
    const size_t room = (size_t)plan->count + 1;
    struct check check = {.plan = plan, .request = request};
    int code = TOOL_OK;

    check.waiting.entries = malloc(room * sizeof(struct entry));
    check.ends.entries = malloc(room * sizeof(struct entry));
    check.order = malloc(room * sizeof(*check.order));
    for (unsigned i = 0; i < 3; i++)
        check.times[i] = malloc(room * sizeof(uint64_t));
    if (!check.waiting.entries || !check.ends.entries || !check.order || !check.times[0] ||
        !check.times[1] || !check.times[2])
        code = tool_fail(request->command, "out of memory");
    if (code == TOOL_OK)
        code = check_each(&check);
    if (code == TOOL_OK)
        code = check_busy(&check);
    for (unsigned i = 0; i < request->shards && code == TOOL_OK; i++)
        code = check_order(&check, i, shards);
    check.waiting.count = 0;
    if (code == TOOL_OK && request->shards == 1)
        code = simulate(&check);
    for (unsigned i = 0; i < 3; i++)
        free(check.times[i]);
    free(check.order);
    free(check.ends.entries);
    free(check.waiting.entries);
    return code;
}

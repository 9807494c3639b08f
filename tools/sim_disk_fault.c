/* sim_disk_fault.c - which operation is struck by what, what is counted, and the trace. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "sim_disk_inner.h"

#define OPS_THROUGH (SIM_OPS(SIM_WRITE) | SIM_OPS(SIM_QUEUE_END) | SIM_OPS(SIM_SYNC))

/* What each kind can strike; anything else that `ops` names is left alone. */
static const uint32_t ops_of_kind[SIM_FAULT_COUNT] = {
    [SIM_FAULT_ERROR] = SIM_OPS_ALL,
    [SIM_FAULT_SHORT] = SIM_OPS(SIM_WRITE) | SIM_OPS(SIM_QUEUE_END),
    [SIM_FAULT_PHANTOM] = OPS_THROUGH,
    [SIM_FAULT_MISDIRECTED] = OPS_THROUGH,
    [SIM_FAULT_SLOW] = SIM_OPS(SIM_QUEUE_WRITE),
    [SIM_FAULT_FLIP] = SIM_OPS(SIM_READ),
    [SIM_FAULT_DIE] = SIM_OPS_ALL,
    [SIM_FAULT_STALE] = SIM_OPS(SIM_WRITE) | SIM_OPS(SIM_QUEUE_END),
};

int sim_disk_fault_add(struct sim_disk *disk, const struct sim_fault *fault)
{
    struct fault *f;

    if (fault->kind >= SIM_FAULT_COUNT || (fault->ops & ops_of_kind[fault->kind]) == 0 ||
        fault->error > 0 || fault->per_million > 1000000)
        return -EINVAL;
    if (disk->faults_count == SIM_FAULTS_MAX)
        return -ENOSPC;
    f = &disk->faults[disk->faults_count];
    *f = (struct fault){.given = *fault};
    f->given.ops &= ops_of_kind[fault->kind];
    if (f->given.error == 0)
        f->given.error = -EIO;
    return (int)disk->faults_count++;
}

void sim_disk_faults_clear(struct sim_disk *disk)
{
    disk->faults_count = 0;
}

uint64_t sim_disk_fault_struck(const struct sim_disk *disk, int number)
{
    return number >= 0 && (unsigned)number < disk->faults_count ? disk->faults[number].struck : 0;
}

static bool due(struct sim_disk *disk, struct fault *f)
{
    const struct sim_fault *given = &f->given;

    f->seen++;
    if (given->limit != 0 && f->struck >= given->limit)
        return false;
    if (given->nth != 0)
        return f->seen == given->nth || (given->forever && f->seen > given->nth);
    return (given->forever && f->begun) ||
           random_below(&disk->random, 1000000) < given->per_million;
}

static bool strikes(struct sim_disk *disk, struct fault *f, uint32_t ops, const char *path)
{
    if ((f->given.ops & ops) == 0 || (f->given.path != NULL && strstr(path, f->given.path) == NULL))
        return false;
    return due(disk, f);
}

static void count_strike(struct sim_disk *disk, struct fault *f)
{
    f->begun = true;
    f->struck++;
    disk->counters.faults[f->given.kind]++;
}

bool sim_stale_strikes(struct sim_disk *disk, const char *path)
{
    for (unsigned i = 0; i < disk->faults_count; i++) {
        struct fault *f = &disk->faults[i];

        if (f->given.kind != SIM_FAULT_STALE || !strikes(disk, f, SIM_OPS_ALL, path))
            continue;
        count_strike(disk, f);
        return true;
    }
    return false;
}

int sim_begin(struct sim_disk *disk, enum sim_op op, const char *path, uint64_t offset,
              uint64_t size, bool through, struct strike *strike)
{
    struct trace_entry *entry;

    *strike = (struct strike){.is = false};
    if (disk->dead)
        return -EIO;
    entry = &disk->trace[disk->counters.operations % SIM_TRACE_MAX];
    entry->number = ++disk->counters.operations;
    entry->op = op;
    entry->offset = offset;
    entry->size = size;
    entry->result = 0;
    entry->struck = false;
    entry->path[0] = '\0';
    strncat(entry->path, path, SIM_PATH_MAX - 1);
    disk->counters.by_op[op]++;

    for (unsigned i = 0; i < disk->faults_count; i++) {
        struct fault *f = &disk->faults[i];
        const enum sim_fault_kind kind = f->given.kind;

        if (kind == SIM_FAULT_STALE ||
            (!through && (kind == SIM_FAULT_PHANTOM || kind == SIM_FAULT_MISDIRECTED)))
            continue;
        if (!strikes(disk, f, SIM_OPS(op), path) || strike->is)
            continue;
        *strike = (struct strike){true, kind, f->given.error, f->given.delay_ns};
        entry->struck = true;
        entry->fault = kind;
        count_strike(disk, f);
    }
    return 0;
}

int64_t sim_end(struct sim_disk *disk, enum sim_op op, int64_t result)
{
    /* Between begin and end nothing else is begun, so it is the last entry. */
    disk->trace[(disk->counters.operations - 1) % SIM_TRACE_MAX].result = result;
    if (result < 0)
        disk->counters.failed[op]++;
    return result;
}

int sim_die_within(struct sim_disk *disk, enum sim_op op)
{
    sim_end(disk, op, -EIO);
    sim_disk_die(disk);
    if (disk->on_death != NULL)
        disk->on_death(disk->on_death_user);
    return -EIO;
}

const struct sim_disk_counters *sim_disk_counters(const struct sim_disk *disk)
{
    return &disk->counters;
}

void sim_disk_trace(const struct sim_disk *disk, FILE *out, unsigned last)
{
    const uint64_t end = disk->counters.operations;
    uint64_t count = last < SIM_TRACE_MAX ? last : SIM_TRACE_MAX;

    if (count > end)
        count = end;
    for (uint64_t n = end - count; n < end; n++) {
        const struct trace_entry *e = &disk->trace[n % SIM_TRACE_MAX];

        fprintf(out, "#%" PRIu64 " %-14s %s", e->number, sim_op_name(e->op), e->path);
        if (e->size != 0)
            fprintf(out, " %" PRIu64 "+%" PRIu64, e->offset, e->size);
        fprintf(out, " = %" PRId64, e->result);
        if (e->result < 0)
            fprintf(out, " (%s)", strerror((int)-e->result));
        if (e->struck)
            fprintf(out, " [fault: %s]", sim_fault_name(e->fault));
        fputc('\n', out);
    }
}

const char *sim_op_name(enum sim_op op)
{
    static const char *const names[SIM_OP_COUNT] = {
        [SIM_MAKE_DIRECTORY] = "make_directory",
        [SIM_LOCK] = "lock",
        [SIM_LIST] = "list",
        [SIM_RENAME] = "rename",
        [SIM_REMOVE] = "remove",
        [SIM_SYNC_DIRECTORY] = "sync_directory",
        [SIM_OPEN] = "open",
        [SIM_CREATE] = "create",
        [SIM_SIZE] = "size",
        [SIM_READ] = "read",
        [SIM_WRITE] = "write",
        [SIM_SYNC] = "sync",
        [SIM_CLOSE] = "close",
        [SIM_QUEUE_OPEN] = "queue_open",
        [SIM_QUEUE_WRITE] = "queue_write",
        [SIM_QUEUE_END] = "queue_end",
    };

    return op < SIM_OP_COUNT ? names[op] : "?";
}

const char *sim_fault_name(enum sim_fault_kind kind)
{
    static const char *const names[SIM_FAULT_COUNT] = {
        [SIM_FAULT_ERROR] = "error",     [SIM_FAULT_SHORT] = "short",
        [SIM_FAULT_PHANTOM] = "phantom", [SIM_FAULT_MISDIRECTED] = "misdirected",
        [SIM_FAULT_SLOW] = "slow",       [SIM_FAULT_FLIP] = "flip",
        [SIM_FAULT_DIE] = "die",         [SIM_FAULT_STALE] = "stale",
    };

    return kind < SIM_FAULT_COUNT ? names[kind] : "?";
}

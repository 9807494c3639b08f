/*
 * sim_model.c - the model's tables: tasks, their ids, the trace, and the first violation.
 */
#include "sim_model.h"

#include <inttypes.h>
#include <pawl/work.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define BY_ID_CAPACITY (4u * SIM_TASKS_MAX)

static void *zeroes(size_t count, size_t size)
{
    void *memory = calloc(count, size);

    if (memory == NULL) {
        fputs("pawl sim: no memory for the model\n", stderr);
        exit(EXIT_FAILURE);
    }
    return memory;
}

void sim_model_init(struct sim_model *model, unsigned shards)
{
    memset(model, 0, sizeof(*model));
    model->shards = shards;
    model->tasks = zeroes(SIM_TASKS_MAX, sizeof(*model->tasks));
    model->alive = zeroes(SIM_TASKS_MAX, sizeof(*model->alive));
    model->by_id = zeroes(BY_ID_CAPACITY, sizeof(*model->by_id));
    model->letters = zeroes(SIM_LETTERS_MAX, sizeof(*model->letters));
    model->tasks_count = 1;
    model->letters_count = 1;
    model->letters_first = 1;
    for (unsigned i = 0; i < shards; i++) {
        struct sim_shard *shard = &model->shard[i];

        shard->turns_capacity = 256;
        shard->turns = zeroes(shard->turns_capacity, sizeof(*shard->turns));
        shard->turns_count = 1; /* turn 0: a new store */
        shard->log_capacity = 256;
        shard->log = zeroes(shard->log_capacity, sizeof(*shard->log));
    }
}

void sim_model_fini(struct sim_model *model)
{
    for (unsigned i = 0; i < model->shards; i++) {
        free(model->shard[i].turns);
        free(model->shard[i].log);
    }
    free(model->tasks);
    free(model->alive);
    free(model->by_id);
    free(model->letters);
}

void sim_fail(struct sim_model *model, const char *rule, const char *format, ...)
{
    va_list arguments;

    if (model->failed)
        return;
    model->failed = true;
    snprintf(model->rule, sizeof(model->rule), "%s", rule);
    va_start(arguments, format);
    vsnprintf(model->text, sizeof(model->text), format, arguments);
    va_end(arguments);
}

/* ---- names ---- */

const char *sim_code_name(unsigned code)
{
    static const char *const names[SIM_CODES] = {"work",    "give",   "start", "rest", "pause",
                                                 "resume",  "ask",    "reply", "born", "timer",
                                                 "timeout", "raised", "stop",  "end"};

    if (code < SIM_CODES)
        return names[code];
    return code == SIM_CREATION ? "create" : code == SIM_CANCELLING ? "cancel" : "?";
}

const char *sim_state_name(unsigned state)
{
    static const char *const names[SIM_STATES] = {"live", "idle", "busy", "paused", "done"};

    return state < SIM_STATES ? names[state] : "?";
}

const char *sim_machine_name(enum sim_machine machine)
{
    static const char *const names[SIM_MACHINES] = {"small", "large", "bulk", "async", "memory"};

    return machine < SIM_MACHINES ? names[machine] : "?";
}

/* ---- the trace ---- */

static const char *job_state(unsigned state)
{
    return state < PAWL_WORK_STATES ? pawl_work_state_name(state) : "nothing";
}

static void print_step(const struct sim_model *model, FILE *out, const struct sim_trace_step *step)
{
    const struct sim_task *task = &model->tasks[step->uid];

    fprintf(out, "  %12.3f ms  shard %" PRIu32 " turn %-6" PRIu64, (double)step->now_ns / 1e6,
            step->shard, step->turn);
    if (step->job != 0) {
        fprintf(out,
                " job %" PRIu32 " (%" PRIx64 ") version %" PRIu32 ": %s -> %s, attempts %" PRIu32
                ", token %" PRIx64 "\n",
                step->job, step->id, step->version, job_state(step->from), job_state(step->to),
                step->attempts, step->token);
        return;
    }
    if (step->uid != 0)
        fprintf(out, " %s %" PRIu32 " (%" PRIx64 ") version %" PRIu32,
                sim_machine_name(task->machine), step->uid, task->id, step->version);
    fprintf(out, ": %s", sim_code_name(step->code));
    if (step->letter != 0)
        fprintf(out, " #%" PRIu32, step->letter);
    if (step->from != step->to)
        fprintf(out, ", %s -> %s", sim_state_name(step->from), sim_state_name(step->to));
    fprintf(out, "  %s\n", step->note);
}

void sim_note(struct sim_model *model, const struct sim_task *task, uint32_t letter, uint16_t code,
              uint32_t from, uint32_t to, const char *note)
{
    const uint64_t turn = model->shard[model->turning].turns_count;
    struct sim_trace_step *step = &model->trace[model->trace_count++ % SIM_STEPS_TRACED];

    *step = (struct sim_trace_step){.turn = turn,
                                    .now_ns = model->now_ns,
                                    .shard = model->turning,
                                    .uid = task != NULL ? task->uid : 0,
                                    .letter = letter,
                                    .version = task != NULL ? task->version : 0,
                                    .code = code,
                                    .from = (uint16_t)from,
                                    .to = (uint16_t)to,
                                    .note = note};
    model->digest = sim_mix(model->digest, (uint64_t)code << 32 | letter);
    model->digest = sim_mix(model->digest, turn << 8 | model->turning);
    if (model->log != NULL)
        print_step(model, model->log, step);
}

void sim_note_job(struct sim_model *model, const struct sim_trace_step *change)
{
    struct sim_trace_step *step = &model->trace[model->trace_count++ % SIM_STEPS_TRACED];

    *step = *change;
    step->turn = model->shard[model->turning].turns_count;
    step->now_ns = model->now_ns;
    step->shard = model->turning;
    model->digest = sim_mix(model->digest, step->id);
    model->digest = sim_mix(model->digest, (uint64_t)step->version << 32 | step->to);
    if (model->log != NULL)
        print_step(model, model->log, step);
}

void sim_trace_print(const struct sim_model *model, FILE *out, unsigned last)
{
    uint64_t count = model->trace_count < SIM_STEPS_TRACED ? model->trace_count : SIM_STEPS_TRACED;

    if (last < count)
        count = last;
    for (uint64_t i = model->trace_count - count; i < model->trace_count; i++)
        print_step(model, out, &model->trace[i % SIM_STEPS_TRACED]);
}

/* ---- tasks ---- */

struct sim_task *sim_task_plan(struct sim_model *model, enum sim_machine machine)
{
    struct sim_task *task;

    if (model->tasks_count == SIM_TASKS_MAX) {
        fputs("pawl sim: too many tasks for one run; use fewer steps\n", stderr);
        exit(EXIT_FAILURE);
    }
    task = &model->tasks[model->tasks_count];
    task->uid = model->tasks_count++;
    task->machine = machine;
    task->life = SIM_UNBORN;
    task->shard = SIM_SHARDS_MAX;
    return task;
}

/* Where the id is, or where it would go. */
static uint32_t *by_id(struct sim_model *model, uint64_t id)
{
    uint32_t at = (uint32_t)sim_mix(id, 1) % BY_ID_CAPACITY;

    while (model->by_id[at] != 0 && model->tasks[model->by_id[at]].id != id)
        at = (at + 1) % BY_ID_CAPACITY;
    return &model->by_id[at];
}

struct sim_task *sim_task_by_id(struct sim_model *model, uint64_t id)
{
    const uint32_t uid = *by_id(model, id);

    return uid == 0 ? NULL : &model->tasks[uid];
}

/*
 * A task that has had another id (its creation was lost and came again) leaves that one in the
 * table, where it stands for the task of before.
 */
void sim_task_name(struct sim_model *model, struct sim_task *task, uint64_t id)
{
    uint32_t *at;

    if (task->id == id)
        return;
    at = by_id(model, id);
    if (*at != 0) {
        struct sim_task *other = &model->tasks[*at];

        if (other->life == SIM_ALIVE || other->told)
            sim_fail(model, "ids",
                     "task %" PRIu32 " got the id %" PRIx64
                     ", which somebody knows as that of task %" PRIu32,
                     task->uid, id, other->uid);
        other->id = 0;
    }
    if (task->id != 0) {
        /*
         * The entry of the old id must not break the chain of others: a stand-in takes its place.
         */
        uint32_t *old = by_id(model, task->id);
        struct sim_task *ghost = sim_task_plan(model, task->machine);

        ghost->id = task->id;
        ghost->life = SIM_ENDED;
        ghost->told = task->told;
        *old = ghost->uid;
        task->told = false;
    }
    task->id = id;
    *by_id(model, id) = task->uid;
}

void sim_task_list(struct sim_model *model, struct sim_task *task)
{
    const bool listed = task->alive_slot != 0;

    if (listed == (task->life == SIM_ALIVE))
        return;
    if (task->life == SIM_ALIVE) {
        model->alive[model->alive_count++] = task->uid;
        task->alive_slot = model->alive_count;
    } else {
        const uint32_t last = model->alive[--model->alive_count];

        model->alive[task->alive_slot - 1] = last;
        model->tasks[last].alive_slot = task->alive_slot;
        task->alive_slot = 0;
    }
}

uint64_t sim_hash_of(uint64_t id, unsigned machine, unsigned state, uint32_t version, uint32_t key,
                     uint64_t context)
{
    uint64_t hash = sim_mix(id, (uint64_t)machine << 48 | (uint64_t)state << 32 | version);

    return sim_mix(sim_mix(hash, key), context);
}

uint64_t sim_task_hash(const struct sim_task *task)
{
    if (task->life != SIM_ALIVE || !sim_is_durable(task->machine))
        return 0;
    return sim_hash_of(task->id, task->machine, task->state, task->version, task->key, task->hash);
}

/*
 * stress_work.c - what work makes a resident do: everything a step can ask of the runtime, and
 * steps that are given up after having asked for all of it (stress_body.h).
 */
#include "stress_body.h"

#define HOUR_NS UINT64_C(3600000000000)

void work_chain(struct body *b, struct pawl_step *step, unsigned hops)
{
    uint32_t next = stress_successor(b->s, b->index);
    pawl_step_post(
        step, &(struct pawl_event){.task.id = b->s->handles[next],
                                   .code = EV_CHAIN,
                                   .tag = TAG_RESIDENT,
                                   .arg = {work_make(OP_CHAIN, 0, hops, 0, b->index),
                                           key_make(next, LANE_CHAIN, ++b->common->chain_out)}});
}

static void raise_echo(struct body *b, struct pawl_step *step)
{
    uint32_t number = b->porter != NULL ? ++b->porter->raised : ++b->runner->raised;
    pawl_step_raise(step, EV_ECHO, number, b->index);
}

static void alarm_arm(struct body *b, struct pawl_step *step, uint32_t detail)
{
    bool is_long = detail >> 31;
    uint64_t delay_ns = is_long ? HOUR_NS : (uint64_t)(detail & 0x3fff) * 1000;
    pawl_step_arm(step, 0, delay_ns);
    if (b->porter != NULL) {
        b->porter->disarmed += (b->common->head & HEAD_ARMED) != 0;
        b->porter->armed++;
        b->porter->due_ns = pawl_step_now_ns(step) + delay_ns;
    }
    b->common->head &= ~HEAD_LONG;
    b->common->head |= HEAD_ARMED | (is_long ? HEAD_LONG : 0);
}

static void alarm_cancel(struct body *b, struct pawl_step *step)
{
    pawl_step_cancel(step, 0);
    if (b->porter != NULL)
        b->porter->disarmed += (b->common->head & HEAD_ARMED) != 0;
    b->common->head &= ~(HEAD_ARMED | HEAD_LONG);
}

static void ask(struct body *b, struct pawl_step *step)
{
    uint32_t next = stress_successor(b->s, b->index);
    pawl_step_ask(step,
                  &(struct pawl_event){.task.id = b->s->handles[next],
                                       .code = EV_QUERY,
                                       .arg[0] = key_make(next, LANE_ASK, ++b->porter->asks)},
                  EV_REPLY);
}

static void spark_create(struct body *b, struct pawl_step *step, uint32_t detail)
{
    unsigned shards = pawl_step_shard_count(step);
    struct pawl_task spark = PAWL_NO_TASK;
    struct pawl_task_spec spec = {.machine = MACHINE_SPARK,
                                  .shard = detail & 1 ? PAWL_ANY_SHARD : (detail >> 1) % shards,
                                  .arg = {pawl_step_task(step).id, b->index}};
    b->porter->sparks_asked++;
    pawl_step_create(step, &spec, EV_SPARK_MADE, &spark);
    if (spark.id == 0)
        return;
    /* Made on this shard: no reply will come, and the handle can be used in this very step. */
    b->porter->sparks_made++;
    b->porter->pokes++;
    pawl_step_post(step, &(struct pawl_event){.task = spark, .tag = TAG_POKE});
}

/*
 * Spoils all that a step can spoil, leaving a context that fits its seal: the counts give it away.
 */
static void spoil(struct body *b, struct pawl_step *step)
{
    struct pawl_event poison = {.task = pawl_step_task(step), .code = EV_POISON};
    pawl_step_post(step, &poison);
    poison.task.id = b->s->handles[stress_successor(b->s, b->index)];
    pawl_step_post(step, &poison);
    pawl_step_arm(step, 0, 1);
    pawl_step_answer(step, ~UINT64_C(0));
    b->common->head ^= HEAD_ARMED;
    b->common->chain_in += 1000;
    b->common->chain_out += 1000;
    if (b->porter != NULL) {
        spark_create(b, step, 1);
        for (int j = 0; j < LANES; j++)
            b->porter->lane[j] += 1000;
    } else {
        b->runner->lane += 1000;
    }
}

void work_give_up(struct body *b, struct pawl_step *step, uint64_t work, uint64_t key)
{
    unsigned lane = key_lane(key);
    uint32_t last = b->porter != NULL ? b->porter->lane[lane % LANES] : b->runner->lane;
    if (key_index(key) != b->index || lane >= LANES || last > key_sequence(key))
        stress_find_key(b->s, FINDING_MISORDERED, key, "was overtaken: %u is here already", last);
    spoil(b, step);
    if (work_op(work) == OP_ABORT_LATE)
        pawl_step_raise(step, EV_ECHO, ECHO_ABORT, work_detail(work));
    else
        pawl_step_abort(step, abort_error(work_detail(work)));
}

void work_run(struct body *b, struct pawl_step *step, uint64_t work)
{
    uint32_t detail = work_detail(work);
    switch (work_op(work)) {
    case OP_CHAIN:
        work_chain(b, step, work_hops(work));
        break;
    case OP_ARM:
        alarm_arm(b, step, detail);
        break;
    case OP_DISARM:
        alarm_cancel(b, step);
        break;
    case OP_RAISE:
        for (uint32_t i = 0; i <= detail % 3; i++)
            raise_echo(b, step);
        break;
    case OP_ASK:
        if (b->porter != NULL)
            ask(b, step);
        break;
    case OP_SPARK:
        if (b->porter != NULL)
            spark_create(b, step, detail);
        break;
    case OP_CHEAT_CHAIN:
        b->common->chain_out++;
        break;
    case OP_CHEAT_TIMER:
        alarm_cancel(b, step);
        b->common->head |= HEAD_ARMED;
        break;
    case OP_PLAIN:
    case OP_ABORT:
    case OP_ABORT_LATE:
    case OP_TEAR:
        break;
    }
}

/*
 * create_fixture.h - for tests: a puppet that creates, and what comes of it.
 *
 *     make_open(1);           f is open; maker is the puppet; spec, reply_code are what it is to ask for
 *     fixture_call(&f, maker, P_CALL, create_one, 0);     made[0], returned[0]
 *     fixture_close(&f);
 */
#ifndef PAWL_TESTS_SUPPORT_CREATE_FIXTURE_H
#define PAWL_TESTS_SUPPORT_CREATE_FIXTURE_H

#include "support/fixture.h"

static struct fixture f;
static struct pawl_task maker; /* the puppet that creates */
static struct pawl_task made[4];
static int returned[4];
static struct pawl_task_spec spec;
static uint16_t reply_code;

static inline void create_one(struct pawl_step *step, struct puppet *puppet,
                              const struct pawl_event *event)
{
    puppet->count++;
    returned[0] = pawl_step_create(step, &spec, reply_code, &made[0]);
    (void)event;
}

static inline void make_open(unsigned shards)
{
    fixture_open(&f, &(struct fixture_options){.shards = shards});
    maker = fixture_puppet(&f, 0);
    spec = (struct pawl_task_spec){.machine = 0};
    reply_code = PAWL_NO_REPLY;
    memset(made, 0, sizeof(made));
}

/* A key that lives on the shard. */
static const char *key_of(uint32_t shard, unsigned skip)
{
    static char key[32];

    for (unsigned i = 0;; i++) {
        struct pawl_task task;

        snprintf(key, sizeof(key), "key-%u-%u", skip, i);
        cr_assert_eq(pawl_task_create(f.runtime,
                                      &(struct pawl_task_spec){.key = key, .key_size = strlen(key)},
                                      &task),
                     0);
        pawl_task_cancel(f.runtime, task);
        fixture_run(&f);
        if (pawl_task_shard(task) == shard)
            return key;
    }
}

static inline void mark_creation(struct pawl_step *step, struct puppet *puppet,
                                 const struct pawl_event *event)
{
    trace_add(1000 + event->arg[1]);
    (void)step, (void)puppet;
}

static inline void give_up(struct pawl_step *step, struct puppet *puppet,
                           const struct pawl_event *event)
{
    cr_assert_eq(pawl_step_arm(step, 0, FIXTURE_MS), 0);
    cr_assert_eq(pawl_step_post(step, &(struct pawl_event){.task = maker, .code = P_NOTE}), 0);
    cr_assert_eq(pawl_step_raise(step, P_RAISED, 1, 0), 0);
    pawl_step_abort(step, -ETIMEDOUT);
    (void)puppet, (void)event;
}

#endif /* PAWL_TESTS_SUPPORT_CREATE_FIXTURE_H */

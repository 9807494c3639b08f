/*
 * rows.h - the files of kernels there are.
 */
#ifndef PAWL_BENCH_ROWS_H
#define PAWL_BENCH_ROWS_H

#ifdef __cplusplus
extern "C" {
#endif

/* Each adds the rows of bench_NAME.c. */
void bench_ring_rows(void);      /* queues within a core and between two */
void bench_producers_rows(void); /* several producers, one consumer */
void bench_table_rows(void);     /* the task table: get, create and end */
void bench_index_rows(void);     /* the index of keys */
void bench_wheel_rows(void);     /* timers */
void bench_step_rows(void);      /* what a step costs by the kind of its transition */
void bench_read_rows(void);      /* read sections and peeks */
void bench_wake_rows(void);      /* from a post to its step on another core, spinning and parked */
void bench_steps_rows(void);     /* steps of random tasks: the life cycle */
void bench_shards_rows(void);    /* steps that post across shards */
void bench_messages_rows(void);  /* rings of tasks: one token, many */
void bench_skynet_rows(void);    /* a tree is made and summed */
void bench_fan_rows(void);       /* many senders, one receiver */
void bench_fork_rows(void);      /* tasks are made, report and end */
void bench_big_rows(void);       /* tasks ask each other */
void bench_delay_rows(void);     /* queueing delay, saturated and not */
void bench_idle_rows(void);      /* what an idle runtime costs */
void bench_churn_rows(void);     /* tasks come and go, and their memory */
void bench_memory_rows(void);    /* bytes a task, at very many */
void bench_durable_rows(void);   /* steps on disk, beside stores */
void bench_recover_rows(void);   /* opening a store again */
void bench_agents_rows(void);    /* leases and reports, in memory and on disk, beside queues */
void bench_lanes_rows(void);     /* deep lanes, and lanes that many agents serve */
void bench_depend_rows(void);    /* tasks that wait for others */

/* All of them. */
static inline void bench_rows_add(void)
{
    bench_ring_rows();
    bench_producers_rows();
    bench_table_rows();
    bench_index_rows();
    bench_wheel_rows();
    bench_step_rows();
    bench_read_rows();
    bench_wake_rows();
    bench_steps_rows();
    bench_shards_rows();
    bench_messages_rows();
    bench_skynet_rows();
    bench_fan_rows();
    bench_fork_rows();
    bench_big_rows();
    bench_delay_rows();
    bench_idle_rows();
    bench_churn_rows();
    bench_memory_rows();
    bench_durable_rows();
    bench_recover_rows();
    bench_agents_rows();
    bench_lanes_rows();
    bench_depend_rows();
}

#ifdef __cplusplus
}
#endif

#endif

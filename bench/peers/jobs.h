/*
 * jobs.h - what other people's queues offer to the rows of agents: a job is put, taken and
 * acknowledged, each of them on disk before it is answered, and many are under way at once.
 *
 * Jobs go in parts: the commands of one part's stage are sent in one piece, and what a stage needs
 * from the one before (which job was it?) is known when that has been answered. While a part waits
 * for its answers others are sent, so a server never runs dry. Which part takes which job does not
 * matter.
 */
#ifndef PAWL_BENCH_PEERS_JOBS_H
#define PAWL_BENCH_PEERS_JOBS_H

#include <stdint.h>

#include "harness.h"

enum { JOB_PART_MAX = 250, JOB_BODY = 24, JOB_NAME = 32, JOB_NUMBER = 8 };

enum job_stage { JOB_PUT, JOB_TAKE, JOB_ACK, JOB_STAGES };

struct job_part {
    enum job_stage stage;
    uint32_t count;
    uint32_t first;                     /* number of its first job to put */
    uint64_t numbers;                   /* sum of the numbers of those that it has taken */
    char names[JOB_PART_MAX][JOB_NAME]; /* of those taken, as the server wants to hear them */
};

struct job_ops {
    void *(*open)(const char *folder); /* an empty queue; all that is answered is on disk */
    void (*close)(void *queue);
    void (*send)(void *queue, const struct job_part *part); /* the commands of its stage */
    void (*receive)(void *queue, struct job_part *part);    /* and their answers */
    void (*check_empty)(void *queue); /* nothing is waiting, nothing is taken */
};

/* A job's bytes: its number in hexadecimal, and padding. */
static inline void job_body(uint32_t number, char body[JOB_BODY])
{
    static const char digit[] = "0123456789abcdef";

    for (unsigned i = 0; i < JOB_BODY; i++)
        body[i] = i < JOB_NUMBER ? digit[number >> (4 * (JOB_NUMBER - 1 - i)) & 15] : '.';
}

static inline uint32_t job_number(const char *body)
{
    uint32_t number = 0;

    for (unsigned i = 0; i < JOB_NUMBER; i++) {
        const char c = body[i];

        number = number << 4 | (uint32_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    return number;
}

#if PEER_REDIS
extern const struct job_ops jobs_redis_lists;
extern const struct job_ops jobs_redis_streams;
#endif
#if PEER_BEANSTALKD
extern const struct job_ops jobs_beanstalkd;
#endif

#endif

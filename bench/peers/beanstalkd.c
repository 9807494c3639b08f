/*
 * beanstalkd.c - beanstalkd with a log that is synced at every change (-f0): a queue of jobs and not a store of
 * records, so an update here is a job of 24 bytes put and deleted again: two changes, each answered when it is
 * on disk. One at a time; the keys are not used.
 *
 * As what it is (peers/jobs.h): jobs put, reserved and deleted, many commands sent before the first
 * is answered. What is reserved is not written to the log.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peers/jobs.h"
#include "peers/server.h"
#include "peers/stores.h"

static void *queue_open(const char *folder, uint32_t records, enum store_safety safety)
{
    static const char *const sync[] = {"beanstalkd", "-b", ".", "-f0", "-l", "unix:socket", NULL};
    static const char *const async[] = {"beanstalkd", "-b", ".", "-l", "unix:socket", NULL};

    (void)records;
    return server_start(folder, "socket", safety == STORE_SYNC ? sync : async);
}

static void queue_close(void *store)
{
    server_stop(store);
}

static void queue_update(void *store, const struct store_load *load)
{
    for (uint32_t at = 0; at < load->count; at++) {
        static const char head[] = "put 0 0 60 24\r\n";
        struct record *record = &load->records[load->keys[at]];
        const uint64_t begin = bench_now_ns();
        unsigned long long job;
        char text[64];

        record_update(record, at);
        memcpy(text, head, sizeof(head) - 1);
        memcpy(text + sizeof(head) - 1, record, sizeof(*record));
        memcpy(text + sizeof(head) - 1 + sizeof(*record), "\r\n", 2);
        server_send(store, text, sizeof(head) - 1 + sizeof(*record) + 2);
        if (sscanf(server_line(store), "INSERTED %llu", &job) != 1)
            bench_fail("beanstalkd does not take a job");
        server_send(store, text, (size_t)snprintf(text, sizeof(text), "delete %llu\r\n", job));
        if (strcmp(server_line(store), "DELETED") != 0)
            bench_fail("beanstalkd does not delete job %llu", job);
        if (load->commits != NULL)
            histogram_record(load->commits, bench_now_ns() - begin);
    }
}

static int queue_pid(void *store)
{
    return server_pid(store);
}

const struct store_ops store_beanstalkd = {
    .open = queue_open,
    .close = queue_close,
    .update = queue_update,
    .pid = queue_pid,
};

/* ---- Jobs ---- */

enum { JOB_COMMAND_MAX = 64 }; /* bytes of one */

static void *jobs_open(const char *folder)
{
    return queue_open(folder, 0, STORE_SYNC);
}

static void jobs_send(void *queue, const struct job_part *part)
{
    char text[JOB_PART_MAX * JOB_COMMAND_MAX];
    char *to = text;

    for (uint32_t i = 0; i < part->count; i++) {
        char body[JOB_BODY];

        switch (part->stage) {
        case JOB_PUT:
            job_body(part->first + i, body);
            to += sprintf(to, "put 0 0 60 %u\r\n%.*s\r\n", (unsigned)JOB_BODY, (int)JOB_BODY, body);
            break;
        case JOB_TAKE:
            to += sprintf(to, "reserve\r\n");
            break;
        case JOB_ACK:
        case JOB_STAGES:
            to += sprintf(to, "delete %s\r\n", part->names[i]);
            break;
        }
    }
    server_send(queue, text, (size_t)(to - text));
}

static void jobs_receive(void *queue, struct job_part *part)
{
    for (uint32_t i = 0; i < part->count; i++) {
        const char *line = server_line(queue);
        char body[JOB_BODY + 2];

        switch (part->stage) {
        case JOB_PUT:
            if (strncmp(line, "INSERTED ", 9) != 0)
                bench_fail("beanstalkd does not take a job: %s", line);
            break;
        case JOB_TAKE:
            if (sscanf(line, "RESERVED %31[0-9]", part->names[i]) != 1)
                bench_fail("beanstalkd gives no job: %s", line);
            server_receive(queue, body, sizeof(body));
            part->numbers += job_number(body);
            break;
        case JOB_ACK:
        case JOB_STAGES:
            if (strcmp(line, "DELETED") != 0)
                bench_fail("beanstalkd does not delete job %s: %s", part->names[i], line);
            break;
        }
    }
}

static void jobs_check_empty(void *queue)
{
    static const char question[] = "reserve-with-timeout 0\r\n";

    server_send(queue, question, sizeof(question) - 1);
    if (strcmp(server_line(queue), "TIMED_OUT") != 0)
        bench_fail("beanstalkd has jobs left");
}

const struct job_ops jobs_beanstalkd = {
    .open = jobs_open,
    .close = queue_close,
    .send = jobs_send,
    .receive = jobs_receive,
    .check_empty = jobs_check_empty,
};

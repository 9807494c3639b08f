/*
 * beanstalkd.c - beanstalkd with a log that is synced at every change (-f0): a queue of jobs and not a store of
 * records, so an update here is a job of 24 bytes put and deleted again: two changes, each answered when it is
 * on disk. One at a time; the keys are not used.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/*
 * stress_agents_log.c - what a run of `pawl stress --agents` on a store knows, in a file outside
 * the store (stress_agents_log.h says what lies in it).
 *
 * Each record is one write(2), so that it is whole after the end of the process, however that
 * comes. It is not synced: what survives a loss of power is the simulator's business.
 */
#include "stress_agents_log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32c.h"

static uint32_t crc_of(const struct fleet_record *record)
{
    const size_t from = offsetof(struct fleet_record, kind);

    return pawl__crc32c(0, (const char *)record + from, sizeof(*record) - from);
}

int fleet_log_create(const char *path, const struct fleet_head *head)
{
    const int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644);

    if (fd < 0)
        return -errno;
    if (write(fd, head, sizeof(*head)) == (ssize_t)sizeof(*head))
        return fd;
    close(fd);
    unlink(path);
    return -EIO;
}

int fleet_log_open(const char *path, struct fleet_head *head)
{
    const int fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    if (pread(fd, head, sizeof(*head), 0) == (ssize_t)sizeof(*head) &&
        memcmp(head->magic, FLEET_MAGIC, sizeof(head->magic)) == 0)
        return fd;
    close(fd);
    return -EBADMSG;
}

int fleet_log_read(int fd, fleet_record_fn *seen, void *user)
{
    struct fleet_record records[256];
    off_t at = sizeof(struct fleet_head);

    for (;;) {
        const ssize_t size = pread(fd, records, sizeof(records), at);
        const size_t count = size > 0 ? (size_t)size / sizeof(*records) : 0;

        if (size < 0)
            return -errno;
        if (count == 0) /* what is less than a record is one that was cut off by the end */
            return size == 0 ? 0 : ftruncate(fd, at) == 0 ? 0 : -errno;
        for (size_t i = 0; i < count; i++) {
            if (records[i].crc != crc_of(&records[i]))
                return -EBADMSG;
            seen(user, &records[i]);
        }
        at += (off_t)(count * sizeof(*records));
    }
}

void fleet_log(struct fleet *fleet, enum fleet_record_kind kind, const struct job *job,
               uint8_t klass, uint32_t size, uint64_t a, uint64_t b)
{
    struct fleet_record record = {.kind = (uint8_t)kind,
                                  .klass = klass,
                                  .slot = job->slot,
                                  .generation = job->generation,
                                  .size = size,
                                  .a = a,
                                  .b = b};

    if (fleet->log < 0)
        return;
    record.crc = crc_of(&record);
    if (write(fleet->log, &record, sizeof(record)) == (ssize_t)sizeof(record))
        return;
    if (swap_acq_rel(&fleet->abandoned, 1) == 0)
        stress_find(fleet->s, FINDING_UNEXPLAINED, "the log cannot be written: %s; the run ends",
                    strerror(errno));
}

void fleet_log_begun(struct fleet *fleet, const struct job *job)
{
    fleet_log(fleet, RECORD_BEGUN, job, 0, job->payload_size,
              (uint64_t)job->assignee << 32 | job->priority << 24 | (uint64_t)job->lane << 16 |
                  (uint64_t)job->policy << 8 | job->flags,
              job->deadline_ns);
}

/*
 * stress_ack.c - the acknowledgement log (stress_ack.h).
 */
#include "stress_ack.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc32c.h"

#define HEAD_SEALED   offsetof(struct ack_head, version)
#define RECORD_SEALED offsetof(struct ack_record, kind)

static uint32_t head_crc(const struct ack_head *head)
{
    return pawl__crc32c(0, (const char *)head + HEAD_SEALED, sizeof(*head) - HEAD_SEALED);
}

static uint32_t record_crc(const struct ack_record *record)
{
    return pawl__crc32c(0, (const char *)record + RECORD_SEALED, sizeof(*record) - RECORD_SEALED);
}

static int write_all(int fd, const void *bytes, size_t size)
{
    const char *at = bytes;
    while (size > 0) {
        ssize_t written = write(fd, at, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -errno;
        at += written;
        size -= (size_t)written;
    }
    return 0;
}

static int new_name(const char *path, char name[PATH_MAX])
{
    return snprintf(name, PATH_MAX, "%s.new", path) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

int ack_create(const char *path, const struct ack_head *head)
{
    struct ack_head sealed = *head;
    char name[PATH_MAX];
    int rc = new_name(path, name);
    if (rc != 0)
        return rc;
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    memcpy(sealed.magic, ACK_MAGIC, sizeof(sealed.magic));
    sealed.version = ACK_VERSION;
    sealed.crc = head_crc(&sealed);
    rc = write_all(fd, &sealed, sizeof(sealed));
    if (rc == 0)
        return fd;
    close(fd);
    return rc;
}

static int sync_folder(const char *path)
{
    char copy[PATH_MAX];
    if (snprintf(copy, sizeof(copy), "%s", path) >= (int)sizeof(copy))
        return -ENAMETOOLONG;
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int rc = fsync(fd) == 0 ? 0 : -errno;
    close(fd);
    return rc;
}

int ack_publish(const char *path, int fd)
{
    char name[PATH_MAX];
    int rc = new_name(path, name);
    if (rc == 0 && fsync(fd) != 0)
        rc = -errno;
    if (rc == 0 && rename(name, path) != 0)
        rc = -errno;
    return rc == 0 ? sync_folder(path) : rc;
}

int ack_append(int fd, struct ack_record *records, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        records[i].magic = ACK_RECORD_MAGIC;
        records[i].crc = record_crc(&records[i]);
    }
    return count == 0 ? 0 : write_all(fd, records, count * sizeof(*records));
}

/* --- reading --- */

static int read_all(int fd, struct ack_log *log)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return -errno;
    if (!S_ISREG(status.st_mode))
        return -EBADMSG;
    log->bytes = malloc((size_t)status.st_size + 1);
    if (log->bytes == NULL)
        return -ENOMEM;
    while (log->size < (size_t)status.st_size) {
        ssize_t got = read(fd, log->bytes + log->size, (size_t)status.st_size - log->size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        log->size += (size_t)got;
    }
    return 0;
}

int ack_load(const char *path, struct ack_log *log)
{
    *log = (struct ack_log){.bytes = NULL};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int rc = read_all(fd, log);
    close(fd);
    if (rc == 0 && log->size < sizeof(log->head))
        rc = -EBADMSG;
    if (rc == 0) {
        memcpy(&log->head, log->bytes, sizeof(log->head));
        if (memcmp(log->head.magic, ACK_MAGIC, sizeof(log->head.magic)) != 0 ||
            log->head.version != ACK_VERSION || log->head.crc != head_crc(&log->head))
            rc = -EBADMSG;
    }
    if (rc != 0)
        ack_unload(log);
    return rc;
}

void ack_unload(struct ack_log *log)
{
    free(log->bytes);
    log->bytes = NULL;
    log->size = 0;
}

bool ack_next(struct ack_log *log, size_t *at, struct ack_record *record)
{
    if (*at == 0) {
        *at = sizeof(log->head);
        log->torn = 0;
    }
    bool whole = true;
    for (; log->size - *at >= sizeof(*record); ++*at) {
        memcpy(record, log->bytes + *at, sizeof(*record));
        if (record->magic == ACK_RECORD_MAGIC && record->crc == record_crc(record) &&
            record->kind >= 1 && record->kind <= ACK_KINDS) {
            *at += sizeof(*record);
            return true;
        }
        log->torn += whole;
        whole = false;
    }
    log->torn += whole && *at < log->size;
    *at = log->size;
    return false;
}

/*
 * live_fixture.h - for tests of windows: a folder for a socket, and a client.
 */
#ifndef PAWL_TESTS_SUPPORT_LIVE_FIXTURE_H
#define PAWL_TESTS_SUPPORT_LIVE_FIXTURE_H

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "support/test.h"

struct live_folder {
    char directory[64];
    char path[80]; /* of a socket in it */
};

static inline void live_folder_make(struct live_folder *folder)
{
    snprintf(folder->directory, sizeof(folder->directory), "/tmp/pawl-live-XXXXXX");
    cr_assert(mkdtemp(folder->directory) != NULL);
    snprintf(folder->path, sizeof(folder->path), "%s/window", folder->directory);
}

static inline void live_folder_remove(const struct live_folder *folder)
{
    cr_assert_eq(rmdir(folder->directory), 0, "something is left in it");
}

static inline int live_lock(int fd)
{
    return flock(fd, LOCK_EX | LOCK_NB);
}

static inline int live_dial_with(const char *path, int flags)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

    cr_assert(fd >= 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    close(fd);
    return -1;
}

/* Waits for a place in the queue. -1: nobody listens. */
static inline int live_dial(const char *path)
{
    return live_dial_with(path, 0);
}

/* Waits for nothing. */
static inline int live_try_dial(const char *path)
{
    return live_dial_with(path, SOCK_NONBLOCK);
}

/* A line, waited for, its end included. False: the connection ended before. */
static inline bool live_hear_line(int fd, char *line, size_t capacity)
{
    size_t size = 0;

    while (size + 1 < capacity) {
        const ssize_t got = recv(fd, line + size, 1, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        if (line[size++] == '\n') {
            line[size] = '\0';
            return true;
        }
    }
    line[size] = '\0';
    return false;
}

/* Everything until the other side closes, closed by a zero; the caller frees it. */
static inline char *live_hear_all(int fd, size_t *size)
{
    size_t capacity = 65536;
    char *bytes = malloc(capacity);

    *size = 0;
    for (;;) {
        ssize_t got;

        if (*size + 2 > capacity)
            bytes = realloc(bytes, capacity *= 2);
        cr_assert(bytes != NULL);
        got = recv(fd, bytes + *size, capacity - *size - 1, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        *size += (size_t)got;
    }
    bytes[*size] = '\0';
    return bytes;
}

static inline void live_say(int fd, const char *line)
{
    cr_assert_eq(send(fd, line, strlen(line), MSG_NOSIGNAL), (ssize_t)strlen(line));
}

#endif /* PAWL_TESTS_SUPPORT_LIVE_FIXTURE_H */

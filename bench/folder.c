/*
 * folder.c - directories of a process's own, and the sweep of those that were left behind.
 */
#include "folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bits.h"
#include "harness.h"

#define OWN_PREFIX "pawl-bench-"

static char own[4096]; /* this process's folder; empty: not made yet */

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *at)
{
    (void)status;
    (void)type;
    (void)at;
    if (remove(path) != 0)
        fprintf(stderr, "pawl_bench: %s cannot be removed: %s\n", path, strerror(errno));
    return 0;
}

static void remove_all(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

/* Folders of processes that are no more: whose lock can be had. */
static void sweep(const char *base)
{
    DIR *directory = opendir(base);
    struct dirent *entry;

    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        char path[sizeof(own) + 512];
        int fd;

        if (strncmp(entry->d_name, OWN_PREFIX, strlen(OWN_PREFIX)) != 0)
            continue;
        snprintf(path, sizeof(path), "%s/%s", base, entry->d_name);
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
            remove_all(path);
        if (fd >= 0)
            close(fd);
    }
    if (directory != NULL)
        closedir(directory);
}

static void remove_own(void)
{
    rmdir(own); /* empty by now, unless a row failed */
}

static void make_own(void)
{
    const char *base = getenv("PAWL_BENCH_DIR");
    char fresh[sizeof(own)];
    int lock; /* held to the end of the process */

    if (base == NULL || base[0] == '\0') {
        base = PEERS_DIR "/folders";
        if (mkdir(base, 0777) != 0 && errno != EEXIST)
            bench_fail("%s cannot be made: %s; name another place in PAWL_BENCH_DIR", base,
                       strerror(errno));
    }
    sweep(base);
    /* It gets the name that sweepers look for when it has the lock that keeps them off. */
    snprintf(fresh, sizeof(fresh), "%s/pawl-new-%d", base, (int)getpid());
    snprintf(own, sizeof(own), "%s/" OWN_PREFIX "%d", base, (int)getpid());
    if (mkdir(fresh, 0777) != 0 || (lock = open(fresh, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0 ||
        flock(lock, LOCK_EX | LOCK_NB) != 0 || rename(fresh, own) != 0)
        bench_fail("%s cannot be made: %s; name a folder in PAWL_BENCH_DIR", own, strerror(errno));
    atexit(remove_own);
}

char *folder_create(const char *name)
{
    static unsigned count;
    char *path;

    if (own[0] == '\0')
        make_own();
    if (asprintf(&path, "%s/%s-%u", own, name, count++) < 0)
        bench_fail("no memory for a path");
    if (mkdir(path, 0777) != 0)
        bench_fail("%s cannot be made: %s", path, strerror(errno));
    return path;
}

void folder_remove(char *path)
{
    remove_all(path);
    free(path);
}

/* Calls fn with both paths of each regular file in `from`; a lock is nobody's content. */
static void for_each_file(const char *from, const char *to,
                          void (*fn)(const char *path, const char *other, void *argument),
                          void *argument)
{
    DIR *directory = opendir(from);
    struct dirent *entry;

    if (directory == NULL)
        bench_fail("%s cannot be read: %s", from, strerror(errno));
    while ((entry = readdir(directory)) != NULL) {
        char path[sizeof(own) + 512], other[sizeof(own) + 512];
        struct stat status;

        snprintf(path, sizeof(path), "%s/%s", from, entry->d_name);
        snprintf(other, sizeof(other), "%s/%s", to, entry->d_name);
        if (strcmp(entry->d_name, "lock") != 0 && stat(path, &status) == 0 &&
            S_ISREG(status.st_mode))
            fn(path, other, argument);
    }
    closedir(directory);
}

static void link_one(const char *path, const char *other, void *unused)
{
    (void)unused;
    if (link(path, other) != 0)
        bench_fail("%s cannot be linked to %s: %s", path, other, strerror(errno));
}

void folder_link(const char *from, const char *path)
{
    for_each_file(from, path, link_one, NULL);
}

static void stamp_one(const char *path, const char *unused, void *argument)
{
    uint64_t *stamp = argument;
    struct stat status;

    (void)unused;
    if (stat(path, &status) == 0) /* a sum: in whatever order they are listed */
        *stamp +=
            mix64(status.st_ino) + mix64((uint64_t)status.st_size) +
            mix64((uint64_t)status.st_mtim.tv_sec * 1000000000 + (uint64_t)status.st_mtim.tv_nsec);
}

uint64_t folder_stamp(const char *path)
{
    uint64_t stamp = 0;

    for_each_file(path, path, stamp_one, &stamp);
    return stamp;
}

uint64_t folder_written(int pid)
{
    unsigned long long written = 0;
    char path[64], line[128];
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/io", pid);
    file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        if (sscanf(line, "wchar: %llu", &written) == 1)
            break;
    if (file != NULL)
        fclose(file);
    return written;
}

#include "crash/space.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define SPACE_BYTES "16m"

/* What is left free; a store of the worker's takes 1 to 2 MiB. */
#define FREE_LEAST (300u << 10)
#define FREE_MOST  (1800u << 10)

static void path_of(const struct place *place, const char *name, char path[PATH_MAX])
{
    if (snprintf(path, PATH_MAX, "%s/%s", place->root, name) >= PATH_MAX)
        exit(2);
}

/* Mounts are this process's own, so nothing is left behind whatever happens to it. */
static bool separate(void)
{
    static bool separated;

    if (!separated && unshare(CLONE_NEWNS) == 0 &&
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
        separated = true;
    return separated;
}

static bool mount_ext4(const struct place *place)
{
    char command[PATH_MAX + 160];

    snprintf(command, sizeof(command),
             "cd '%s' && truncate -s " SPACE_BYTES " image && mkfs.ext4 -q -F image && "
             "mount -o loop image disk",
             place->root);
    return system(command) == 0;
}

bool space_open(struct place *place, unsigned kind)
{
    char at[PATH_MAX];
    bool done;

    path_of(place, "disk", at);
    mkdir(at, 0755);
    done = separate() && (kind == 0 ? mount("none", at, "tmpfs", 0, "size=" SPACE_BYTES) == 0
                                    : mount_ext4(place));
    if (!done) {
        printf("left out: no %s of " SPACE_BYTES " can be mounted here\n",
               kind == 0 ? "tmpfs" : "ext4");
        return false;
    }
    path_of(place, "disk/store", place->store);
    return true;
}

void space_close(struct place *place, unsigned kind)
{
    char at[PATH_MAX];

    (void)kind;
    path_of(place, "disk", at);
    if (umount(at) != 0)
        perror(at);
}

void space_fill(struct place *place)
{
    const uint64_t free = FREE_LEAST + place_random(place, FREE_MOST - FREE_LEAST);
    char path[PATH_MAX];
    struct statvfs space;
    uint64_t there;
    int fd;

    path_of(place, "disk/ballast", path);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || fstatvfs(fd, &space) != 0) {
        perror(path);
        exit(2);
    }
    there = (uint64_t)space.f_bavail * space.f_frsize;
    if (there > free && posix_fallocate(fd, 0, (off_t)(there - free)) != 0)
        fprintf(stderr, "%s: cannot be filled\n", path);
    close(fd);
}

void space_free(struct place *place)
{
    char path[PATH_MAX];

    path_of(place, "disk/ballast", path);
    unlink(path);
}

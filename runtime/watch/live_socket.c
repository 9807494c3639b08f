#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1 /* O_PATH */
#endif
#include "watch/live_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BACKLOG    16
#define LOCK_TRIES 1000u /* a millisecond apart */
#define NAP_NS     1000000

struct saying {
    pawl_diagnostic_fn *say;
    void *user;
    const char *path;
};

static int complain(const struct saying *saying, int error, const char *what)
{
    char where[256];

    if (saying->say == NULL)
        return error;
    snprintf(where, sizeof(where), "pawl_live_options.path '%.200s'",
             saying->path != NULL ? saying->path : "");
    saying->say(saying->user, &(struct pawl_diagnostic){error, where, what});
    return error;
}

static int complain_of_system(const struct saying *saying, const char *doing)
{
    const int error = errno;
    char what[128];

    snprintf(what, sizeof(what), "%s: %s", doing, pawl_strerror(error));
    return complain(saying, -error, what);
}

static int check_path(const struct saying *saying, struct sockaddr_un *address)
{
    const size_t length = saying->path != NULL ? strlen(saying->path) : 0;
    char what[128];

    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (length == 0)
        return complain(saying, -EINVAL, "a window needs a path: name a file for its socket");
    if (length >= sizeof(address->sun_path)) {
        snprintf(what, sizeof(what),
                 "it has %zu bytes, and the system takes no more than %zu: choose a shorter one",
                 length, sizeof(address->sun_path) - 1);
        return complain(saying, -EINVAL, what);
    }
    if (saying->path[length - 1] == '/')
        return complain(saying, -EINVAL, "it ends in '/': name a file for the socket");
    memcpy(address->sun_path, saying->path, length + 1);
    return 0;
}

/* The directory of the path; name: the rest. */
static int open_directory(const struct saying *saying, struct live_socket *live)
{
    const char *const slash = strrchr(saying->path, '/');
    char directory[sizeof(live->name)] = ".";

    if (slash != NULL)
        snprintf(directory, sizeof(directory), "%.*s",
                 slash == saying->path ? 1 : (int)(slash - saying->path), saying->path);
    snprintf(live->name, sizeof(live->name), "%s", slash != NULL ? slash + 1 : saying->path);
    live->directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return live->directory >= 0 ? 0 : complain_of_system(saying, "its directory cannot be opened");
}

static int lock(const struct saying *saying, const struct live_socket *live)
{
    for (unsigned tries = 0; flock(live->directory, LOCK_EX | LOCK_NB) != 0; tries++) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return complain_of_system(saying, "its directory cannot be locked");
        if (tries == LOCK_TRIES)
            return complain(saying, -EBUSY,
                            "somebody keeps its directory locked: choose another directory");
        nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
    }
    return 0;
}

/* What is in the way: 0 when it was a dead socket, and is gone. */
static int clear_path(const struct saying *saying, const struct live_socket *live,
                      const struct sockaddr_un *address)
{
    struct stat there;
    int fd, error = 0;

    if (fstatat(live->directory, live->name, &there, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? 0 : complain_of_system(saying, "it cannot be looked at");
    if (!S_ISSOCK(there.st_mode))
        return complain(saying, -EEXIST,
                        "something is there that is no socket, and is left alone: choose another "
                        "path");
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return complain_of_system(saying, "there is no socket to be had");
    if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN)
        error = complain(saying, -EBUSY,
                         "somebody listens there: close that window first, or choose another "
                         "path");
    else if (errno != ECONNREFUSED && errno != ENOENT)
        error = complain_of_system(saying, "whether somebody listens there cannot be told");
    close(fd);
    if (error == 0 && unlinkat(live->directory, live->name, 0) != 0 && errno != ENOENT)
        error = complain_of_system(saying, "a dead socket cannot be removed");
    return error;
}

/*
 * Takes down which file the socket has become, and gives it its permissions. One descriptor holds
 * that file for both: whoever may write to the directory could put a link there in between, and
 * have the permissions of another file changed.
 */
static int settle_file(const struct saying *saying, struct live_socket *live, unsigned mode)
{
    const int file = openat(live->directory, live->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    char path[32];
    struct stat there;
    int error = 0;

    if (file < 0)
        return complain_of_system(saying, "the socket cannot be looked at");
    snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    if (fstat(file, &there) != 0)
        error = complain_of_system(saying, "the socket cannot be looked at");
    else if (!S_ISSOCK(there.st_mode))
        error = complain(saying, -EEXIST,
                         "somebody has put something else there just now: choose a directory in "
                         "which nobody else may write");
    else
        live->made = there;
    /* A descriptor like this one takes no fchmod. */
    if (error == 0 && (there.st_mode & 07777) != mode && chmod(path, mode) != 0)
        error = complain_of_system(saying, "the socket's permissions cannot be set");
    close(file);
    return error;
}

/* A socket's permissions are those of its descriptor when it is bound, less the umask. */
static int bind_and_listen(const struct saying *saying, struct live_socket *live,
                           const struct sockaddr_un *address, unsigned mode)
{
    int error;

    if (fchmod(live->fd, mode) != 0 ||
        bind(live->fd, (const struct sockaddr *)address, sizeof(*address)) != 0)
        return complain_of_system(saying, "the socket cannot be put there");
    error = settle_file(saying, live, mode);
    if (error != 0)
        return error;
    return listen(live->fd, BACKLOG) == 0 ? 0
                                          : complain_of_system(saying, "nobody can listen there");
}

int pawl__live_socket_open(struct live_socket *live, const char *path, unsigned mode,
                           pawl_diagnostic_fn *say, void *user)
{
    const struct saying saying = {say, user, path};
    struct sockaddr_un address;
    int error = check_path(&saying, &address);

    *live = (struct live_socket){.fd = -1, .directory = -1};
    if (error == 0)
        error = open_directory(&saying, live);
    if (error != 0)
        return error;
    error = lock(&saying, live);
    if (error == 0)
        error = clear_path(&saying, live, &address);
    if (error == 0) {
        live->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        error = live->fd >= 0 ? bind_and_listen(&saying, live, &address, mode)
                              : complain_of_system(&saying, "there is no socket to be had");
    }
    flock(live->directory, LOCK_UN);
    if (error != 0)
        pawl__live_socket_close(live);
    return error;
}

void pawl__live_socket_close(struct live_socket *live)
{
    struct stat there;

    if (live->made.st_ino != 0 &&
        fstatat(live->directory, live->name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
        there.st_dev == live->made.st_dev && there.st_ino == live->made.st_ino &&
        S_ISSOCK(there.st_mode))
        unlinkat(live->directory, live->name, 0);
    if (live->fd >= 0)
        close(live->fd);
    if (live->directory >= 0)
        close(live->directory);
    *live = (struct live_socket){.fd = -1, .directory = -1};
}

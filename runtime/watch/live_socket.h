/*
 * live_socket.h - a listening socket at a path, which is nobody else's.
 *
 * Layer: watch. The decision to question: whether somebody listens at a path can only be tried, and
 * between the trial and taking a dead socket away another process may have put its own there. So
 * all that is done under an advisory lock on the directory: two windows never take each other's
 * away. The directory stays open, so that the path can be removed after the process has changed its
 * own.
 */
#ifndef PAWL_WATCH_LIVE_SOCKET_H
#define PAWL_WATCH_LIVE_SOCKET_H

#include <pawl/error.h>
#include <sys/stat.h>
#include <sys/un.h>

struct live_socket {
    int fd; /* listens, does not block */
    int directory;
    struct stat made; /* what was put there */
    char name[sizeof(((struct sockaddr_un *)0)->sun_path)];
};

/*
 * pawl__live_socket_open - as pawl_live_open says of its path, which is checked here. `say` may be
 * NULL. 0, or an error, and nothing is left.
 */
int pawl__live_socket_open(struct live_socket *socket, const char *path, unsigned mode,
                           pawl_diagnostic_fn *say, void *user);

/* Ends listening; what is at the path goes if it is what was put there. */
void pawl__live_socket_close(struct live_socket *socket);

#endif /* PAWL_WATCH_LIVE_SOCKET_H */

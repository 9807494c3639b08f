/*
 * server.c - starting a server, and a buffered connection to it.
 */
#include "peers/server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"

enum { BUFFER = 65536, LINE_MAX_BYTES = 512, START_TRIES = 500, START_NAP_NS = 10000000 };

#define LOG_NAME "server.log"

struct server {
    const char *name;
    const char *folder;
    pid_t pid;
    int fd;
    size_t begin, end; /* of what has been received and not handed out */
    char line[LINE_MAX_BYTES];
    char buffer[BUFFER];
};

static void fail(const struct server *server, const char *what)
{
    char path[4200], said[256] = "";
    FILE *log;

    snprintf(path, sizeof(path), "%s/" LOG_NAME, server->folder);
    log = fopen(path, "r");
    while (log != NULL && fgets(said, sizeof(said), log) != NULL)
        said[strcspn(said, "\n")] = '\0';
    bench_fail("%s %s; its last words: %s", server->name, what, said);
}

static void become(const char *folder, const char *const *arguments, pid_t parent)
{
    int log;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || chdir(folder) != 0)
        _exit(127);
    bench_unpin();
    log = open(LOG_NAME, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    execvp(arguments[0], (char *const *)(uintptr_t)arguments);
    fprintf(stderr, "%s\n", strerror(errno));
    _exit(127);
}

/* The path of a socket may have 107 bytes and a build's folder more: it is named through a descriptor. */
static bool try_connect(struct server *server, int folder, const char *socket_name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", folder,
             socket_name);
    server->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (server->fd < 0)
        fail(server, "cannot be connected to: no socket");
    if (connect(server->fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return true;
    close(server->fd);
    return false;
}

struct server *server_start(const char *folder, const char *socket_name,
                            const char *const *arguments)
{
    const struct timespec nap = {.tv_nsec = START_NAP_NS};
    struct server *server = calloc(1, sizeof(*server));
    const pid_t parent = getpid();
    int directory;

    if (server == NULL)
        bench_fail("%s: no memory", arguments[0]);
    server->name = arguments[0];
    server->folder = folder;
    signal(SIGPIPE, SIG_IGN);
    server->pid = fork();
    if (server->pid == 0)
        become(folder, arguments, parent);
    directory = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (server->pid < 0 || directory < 0)
        fail(server, "cannot be started");
    for (unsigned i = 0; !try_connect(server, directory, socket_name); i++) {
        if (i == START_TRIES)
            fail(server, "does not listen");
        if (waitpid(server->pid, NULL, WNOHANG) != 0)
            fail(server, "ended at once");
        nanosleep(&nap, NULL);
    }
    close(directory);
    return server;
}

void server_stop(struct server *server)
{
    close(server->fd);
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
    free(server);
}

int server_pid(const struct server *server)
{
    return server->pid;
}

void server_send(struct server *server, const void *bytes, size_t size)
{
    const char *from = bytes;

    while (size > 0) {
        const ssize_t sent = write(server->fd, from, size);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            fail(server, "takes nothing more");
        from += sent;
        size -= (size_t)sent;
    }
}

static void receive_more(struct server *server)
{
    ssize_t got;

    if (server->begin == server->end)
        server->begin = server->end = 0;
    if (server->end == BUFFER) {
        memmove(server->buffer, server->buffer + server->begin, server->end - server->begin);
        server->end -= server->begin;
        server->begin = 0;
    }
    do
        got = read(server->fd, server->buffer + server->end, BUFFER - server->end);
    while (got < 0 && errno == EINTR);
    if (got <= 0)
        fail(server, "has gone");
    server->end += (size_t)got;
}

void server_receive(struct server *server, void *bytes, size_t size)
{
    char *to = bytes;

    while (size > 0) {
        size_t take = server->end - server->begin;

        if (take == 0) {
            receive_more(server);
            continue;
        }
        take = take < size ? take : size;
        memcpy(to, server->buffer + server->begin, take);
        server->begin += take;
        to += take;
        size -= take;
    }
}

const char *server_line(struct server *server)
{
    for (;;) {
        const char *from = server->buffer + server->begin;
        const size_t have = server->end - server->begin;
        const char *end = memchr(from, '\n', have);

        if (end == NULL && have < LINE_MAX_BYTES) {
            receive_more(server);
            continue;
        }
        if (end == NULL || end == from || end - from > LINE_MAX_BYTES)
            fail(server, "sent what is not a line");
        memcpy(server->line, from, (size_t)(end - from) - 1);
        server->line[end - from - 1] = '\0';
        server->begin += (size_t)(end - from) + 1;
        return server->line;
    }
}

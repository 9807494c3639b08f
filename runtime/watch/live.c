#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1 /* accept4 */
#endif
#include "watch/live.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/plan.h"

#define CLIENTS_DEFAULT  4u
#define PATIENCE_DEFAULT UINT64_C(10000000000)
#define PATIENCE_MIN     UINT64_C(1000000)
#define STAGE_PATIENCES  16u
#define REST_NS          UINT64_C(100000000)
#define MODE_DEFAULT     0600u

static uint64_t now_ns(void)
{
    return pawl_clock_monotonic.now_ns(NULL);
}

/* ---- A client ---- */

static void let_go(struct live_client *client)
{
    if (client->stage == LIVE_LOOKING)
        pawl__look_fini(&client->look);
    pawl__live_text_fini(&client->reply);
    close(client->fd);
    client->fd = -1;
}

static void begin_sending(struct live_client *client)
{
    client->stage = LIVE_SENDING;
    client->moved_ns = client->stage_ns = now_ns();
}

static void refuse(struct live_client *client, const char *what)
{
    pawl__reply_error(&client->reply, -EINVAL, what);
    begin_sending(client);
}

/* A line is there: it is asked. */
static void ask(const struct pawl_live *live, struct live_client *client, size_t size)
{
    struct live_request request;
    char wrong[LIVE_WRONG_MAX];
    const char *const what = pawl__live_request_parse(&request, client->request, size, wrong);

    if (what != NULL) {
        refuse(client, what);
        return;
    }
    client->stage = LIVE_LOOKING;
    if (pawl__look_begin(&client->look, live->runtime, &request, &client->reply)) {
        pawl__look_fini(&client->look);
        begin_sending(client);
    }
}

static void read_request(const struct pawl_live *live, struct live_client *client)
{
    const ssize_t got = recv(client->fd, client->request + client->request_size,
                             sizeof(client->request) - client->request_size, 0);
    const char *end;

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) { /* half a line is no request */
        let_go(client);
        return;
    }
    client->request_size += (size_t)got;
    client->moved_ns = now_ns();
    end = memchr(client->request, '\n', client->request_size);
    if (end != NULL)
        ask(live, client, (size_t)(end - client->request));
    else if (client->request_size == sizeof(client->request))
        refuse(client, "a request is one line of at most 1024 bytes");
}

static void look_on(struct live_client *client)
{
    if (!pawl__look_go_on(&client->look))
        return;
    pawl__look_fini(&client->look);
    begin_sending(client);
}

static void send_reply(struct live_client *client)
{
    const struct live_text *const reply = &client->reply;
    ssize_t sent;

    if (reply->rows == 0) { /* not even memory for the end */
        let_go(client);
        return;
    }
    sent = send(client->fd, reply->bytes + client->sent, reply->rows - client->sent,
                MSG_NOSIGNAL | MSG_DONTWAIT);

    if (sent < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (sent >= 0) {
        client->sent += (size_t)sent;
        client->moved_ns = now_ns();
    }
    if (sent < 0 || client->sent == reply->rows)
        let_go(client);
}

/*
 * When it is let go unless it moves, and in the end even if it does: a byte now and then keeps no
 * place for ever. A look is the window's own time.
 */
static uint64_t deadline_of(const struct pawl_live *live, const struct live_client *client)
{
    const uint64_t idle = client->moved_ns + live->patience_ns;
    const uint64_t whole = client->stage_ns + STAGE_PATIENCES * live->patience_ns;

    if (client->stage == LIVE_LOOKING)
        return UINT64_MAX;
    return idle < whole ? idle : whole;
}

static void serve(const struct pawl_live *live, struct live_client *client, short ready)
{
    if ((ready & (POLLERR | POLLHUP | POLLNVAL)) != 0 && client->stage != LIVE_READING)
        let_go(client); /* nobody is there to answer */
    else if (client->stage == LIVE_LOOKING)
        look_on(client);
    else if (client->stage == LIVE_READING && ready != 0)
        read_request(live, client);
    else if (client->stage == LIVE_SENDING && (ready & POLLOUT) != 0)
        send_reply(client);
    if (client->fd >= 0 && now_ns() >= deadline_of(live, client))
        let_go(client);
}

/* ---- Who comes ---- */

static struct live_client *free_place(struct pawl_live *live)
{
    for (unsigned i = 0; i < live->clients_max; i++)
        if (live->clients[i].fd < 0)
            return &live->clients[i];
    return NULL;
}

/* A greeting always fits into a new socket; who cannot take it is no client. */
static void greet(struct live_client *client)
{
    struct live_text greeting = {.limit = REPLY_END_MAX};
    bool sent;

    pawl__reply_greeting(&greeting);
    sent = greeting.rows > 0 && send(client->fd, greeting.bytes, greeting.rows,
                                     MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)greeting.rows;
    pawl__live_text_fini(&greeting);
    if (!sent)
        let_go(client);
}

static void admit(struct pawl_live *live)
{
    struct live_client *client = free_place(live);
    uint64_t now;
    int fd;

    if (client == NULL)
        return;
    fd = accept4(live->socket.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        /* It stays readable: without a rest that would be a busy loop. */
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            live->rest_ns = now_ns() + REST_NS;
        return;
    }
    now = now_ns();
    *client = (struct live_client){.fd = fd,
                                   .stage = LIVE_READING,
                                   .moved_ns = now,
                                   .stage_ns = now,
                                   .reply = {.limit = PAWL_LIVE_REPLY_MAX - REPLY_END_MAX}};
    greet(client);
}

/* ---- The thread ---- */

/* poll's timeout: until the first deadline, rounded up; -1: for ever. */
static int timeout_of(const struct pawl_live *live)
{
    uint64_t first = live->rest_ns != 0 ? live->rest_ns : UINT64_MAX;
    const uint64_t now = now_ns();

    for (unsigned i = 0; i < live->clients_max; i++) {
        const struct live_client *client = &live->clients[i];

        if (client->fd < 0)
            continue;
        if (client->stage == LIVE_LOOKING)
            return 0;
        if (deadline_of(live, client) < first)
            first = deadline_of(live, client);
    }
    if (first == UINT64_MAX)
        return -1;
    if (first <= now)
        return 0;
    first = (first - now) / 1000000 + 1;
    return first < INT32_MAX ? (int)first : INT32_MAX;
}

static short events_of(const struct live_client *client)
{
    return client->stage == LIVE_READING ? POLLIN : client->stage == LIVE_SENDING ? POLLOUT : 0;
}

static void live_turn(struct pawl_live *live)
{
    struct pollfd waits[2 + PAWL_LIVE_CLIENTS_MAX] = {{.fd = live->wake, .events = POLLIN}};
    const bool rests = live->rest_ns != 0;

    waits[1].fd = free_place(live) != NULL && !rests ? live->socket.fd : -1;
    waits[1].events = POLLIN;
    for (unsigned i = 0; i < live->clients_max; i++) {
        waits[2 + i].fd = live->clients[i].fd; /* poll passes over -1 */
        waits[2 + i].events = events_of(&live->clients[i]);
    }
    if (poll(waits, 2 + live->clients_max, timeout_of(live)) < 0)
        return; /* a signal, or no memory for the moment */
    for (unsigned i = 0; i < live->clients_max; i++)
        if (waits[2 + i].fd >= 0)
            serve(live, &live->clients[i], waits[2 + i].revents);
    if (rests && now_ns() >= live->rest_ns)
        live->rest_ns = 0;
    if (waits[1].revents != 0)
        admit(live);
}

static void live_main(void *argument)
{
    struct pawl_live *live = argument;

    while (load_acquire(&live->stop) == 0)
        live_turn(live);
}

/* Beside the monitor: it is as rarely awake. */
static int start_thread(struct pawl_live *live)
{
    const struct pawl_runtime *runtime = live->runtime;
    const struct pawl_placement *place =
        runtime->plan != NULL && !runtime->no_pin ? pawl_plan_monitor(runtime->plan) : NULL;
    struct pawl_thread_spec spec = {.name = "pawl-live"};

    if (place != NULL) {
        spec.cpus = place->cpus;
        spec.cpu_count = place->cpu_count;
    }
    return runtime->threads->start(runtime->threads->user, &spec, live_main, live, &live->thread);
}

/* ---- Opening and closing ---- */

static int complain(const struct pawl_live_options *options, int error, const char *where,
                    const char *what)
{
    if (options->diagnose != NULL)
        options->diagnose(options->user, &(struct pawl_diagnostic){error, where, what});
    return error;
}

static int check_options(const struct pawl_live_options *options)
{
    if (options->mode > 0777)
        return complain(options, -EINVAL, "pawl_live_options.mode",
                        "permissions are at most 0777: leave out what is above");
    if (options->clients > PAWL_LIVE_CLIENTS_MAX)
        return complain(options, -EINVAL, "pawl_live_options.clients",
                        "there are at most 16 at once: say 16 or less");
    if (options->patience_ns != 0 &&
        (options->patience_ns < PATIENCE_MIN || options->patience_ns > INT64_MAX / 64))
        return complain(options, -EINVAL, "pawl_live_options.patience_ns",
                        "it is at least a millisecond, and at most four years");
    return 0;
}

/* Like a port that is open it keeps the runtime from being closed. */
static void hold(struct pawl_runtime *runtime, bool held)
{
    struct port_registry *const registry = runtime->ports;

    pthread_mutex_lock(&registry->mutex);
    if (held)
        registry->open++;
    else
        registry->open--;
    pthread_mutex_unlock(&registry->mutex);
}

static void live_free(struct pawl_live *live)
{
    for (unsigned i = 0; i < live->clients_max; i++)
        if (live->clients[i].fd >= 0)
            let_go(&live->clients[i]);
    pawl__live_socket_close(&live->socket);
    if (live->wake >= 0)
        close(live->wake);
    free(live);
}

int pawl_live_open(struct pawl_runtime *runtime, const struct pawl_live_options *options,
                   struct pawl_live **out)
{
    struct pawl_live *live;
    int error;

    if (options == NULL)
        return -EINVAL;
    error = check_options(options);
    if (error != 0)
        return error;
    live = calloc(1, sizeof(*live));
    if (live == NULL)
        return -ENOMEM;
    live->runtime = runtime;
    live->socket.fd = live->socket.directory = -1;
    live->patience_ns = options->patience_ns != 0 ? options->patience_ns : PATIENCE_DEFAULT;
    live->clients_max = options->clients != 0 ? options->clients : CLIENTS_DEFAULT;
    for (unsigned i = 0; i < PAWL_LIVE_CLIENTS_MAX; i++)
        live->clients[i].fd = -1;
    live->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    error = live->wake >= 0 ? 0
                            : complain(options, -errno, "pawl_live_open",
                                       "the process has no descriptor left for it");
    if (error == 0)
        error = pawl__live_socket_open(&live->socket, options->path,
                                       options->mode != 0 ? options->mode : MODE_DEFAULT,
                                       options->diagnose, options->user);
    if (error == 0) {
        error = start_thread(live);
        if (error != 0)
            complain(options, error, "pawl_live_open", "its thread cannot be started");
    }
    if (error != 0) {
        live_free(live);
        return error;
    }
    hold(runtime, true);
    *out = live;
    return 0;
}

void pawl_live_close(struct pawl_live *live)
{
    const uint64_t one = 1;
    ssize_t told;

    if (live == NULL)
        return;
    store_release(&live->stop, 1);
    told = write(live->wake, &one, sizeof(one));
    CHECK(told == (ssize_t)sizeof(one));
    live->runtime->threads->join(live->runtime->threads->user, live->thread);
    hold(live->runtime, false);
    live_free(live);
}

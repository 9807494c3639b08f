/*
 * live.h - a window and its clients.
 *
 * Layer: watch. Owner: the window's thread, from its start until it has ended; `stop` and `wake` are
 * how it is told.
 *
 * One thread has all clients, none of which it waits for: it sleeps in poll until a descriptor is
 * ready or a client's patience is over, and goes from one to the next with a portion of a look, or
 * what a socket takes. A client is at one stage:
 *
 *   greeted, READING ----> LOOKING ----> SENDING ----> gone
 *             a line            the reply       all of it was taken
 *
 * and from each to gone when it has closed its end, does nothing for the patience, or is READING
 * or SENDING for longer than 16 times the patience, however busily. Nobody is greeted who has no
 * place: who comes when all are taken waits in the socket's own queue.
 */
#ifndef PAWL_WATCH_LIVE_H
#define PAWL_WATCH_LIVE_H

#include "watch/live_look.h"
#include "watch/live_socket.h"

enum live_stage { LIVE_READING, LIVE_LOOKING, LIVE_SENDING };

struct live_client {
    int fd; /* -1: the place is free */
    enum live_stage stage;
    uint64_t moved_ns; /* it last did something */
    uint64_t stage_ns; /* it was admitted; later, its reply was whole */
    size_t request_size;
    char request[PAWL_LIVE_REQUEST_MAX];
    struct live_look look;
    struct live_text reply;
    size_t sent;
};

/* Field owners: I constant while the thread runs; T the thread; C the closer. */
struct pawl_live {
    struct pawl_runtime *runtime; /* I, as the following */
    struct live_socket socket;
    uint64_t patience_ns;
    unsigned clients_max;
    int wake;
    void *thread;
    _Atomic uint32_t stop; /* C */
    uint64_t rest_ns;      /* T: no accepting before: the process has no descriptors; 0: none */
    struct live_client clients[PAWL_LIVE_CLIENTS_MAX]; /* T */
};

#endif /* PAWL_WATCH_LIVE_H */

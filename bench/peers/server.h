/*
 * server.h - a peer that is a server: a child process in a folder of its own, and one connection to it
 * through a socket of the local domain. Whatever goes wrong fails the bench with what the server said last.
 */
#ifndef PAWL_BENCH_PEERS_SERVER_H
#define PAWL_BENCH_PEERS_SERVER_H

#include <stddef.h>

struct server;

/*
 * Starts arguments[0] (of PATH) with the folder as its working directory, unpinned, and connects as soon as
 * it listens on the socket of that name in there. arguments ends with NULL.
 */
struct server *server_start(const char *folder, const char *socket_name,
                            const char *const *arguments);

/* Kills it: what it kept is thrown away with its folder. */
void server_stop(struct server *server);

int server_pid(const struct server *server);

/* Sends all of it. Receives `size` bytes exactly. */
void server_send(struct server *server, const void *bytes, size_t size);
void server_receive(struct server *server, void *bytes, size_t size);

/* Receives a line up to its \r\n, which is cut off; valid until the next call. */
const char *server_line(struct server *server);

#endif

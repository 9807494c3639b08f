/*
 * redis.c - Redis with an append-only file: SET of 24 bytes under a key of 8, many under way at once through
 * a socket of the local domain. The server writes and syncs once for all commands that it has read, before it
 * answers them (appendfsync always), or once a second (everysec).
 *
 * The commands under way are sent in four parts: one part is answered while the others wait, so the server
 * never runs dry.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peers/server.h"
#include "peers/stores.h"

enum { PARTS = 4, LOAD_GROUP = 4000, KEY = 8 };

#define SET_HEAD  "*3\r\n$3\r\nSET\r\n$8\r\n"
#define SET_VALUE "\r\n$24\r\n"
#define SET_BYTES (sizeof(SET_HEAD SET_VALUE "\r\n") - 1 + KEY + sizeof(struct record))

struct redis {
    struct server *server;
    char *commands; /* of one part */
    size_t room;
};

static char *append(char *to, const void *bytes, size_t size)
{
    memcpy(to, bytes, size);
    return to + size;
}

static char *put_key(char *to, uint32_t key)
{
    static const char digit[] = "0123456789abcdef";

    for (unsigned i = 0; i < KEY; i++)
        to[i] = digit[key >> (4 * (KEY - 1 - i)) & 15];
    return to + KEY;
}

static char *put_set(char *to, uint32_t key, const struct record *record)
{
    to = append(to, SET_HEAD, sizeof(SET_HEAD) - 1);
    to = put_key(to, key);
    to = append(to, SET_VALUE, sizeof(SET_VALUE) - 1);
    to = append(to, record, sizeof(*record));
    return append(to, "\r\n", 2);
}

/* Every command here is answered +OK. */
static void take_answers(struct redis *redis, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        char answer[5];

        server_receive(redis->server, answer, sizeof(answer));
        if (memcmp(answer, "+OK\r\n", sizeof(answer)) != 0)
            bench_fail("redis answers %.5s%s", answer, server_line(redis->server));
    }
}

static void command(struct redis *redis, const char *text)
{
    server_send(redis->server, text, strlen(text));
    take_answers(redis, 1);
}

static uint32_t send_part(struct redis *redis, const struct store_load *load, uint32_t at,
                          uint32_t part)
{
    const uint32_t end = load->count - at < part ? load->count : at + part;
    char *to = redis->commands;

    for (uint32_t i = at; i < end; i++) {
        struct record *record = &load->records[load->keys[i]];

        record_update(record, i);
        to = put_set(to, load->keys[i], record);
    }
    server_send(redis->server, redis->commands, (size_t)(to - redis->commands));
    return end - at;
}

static void redis_update(void *store, const struct store_load *load)
{
    struct redis *redis = store;
    const uint32_t part = load->group < PARTS ? load->group : load->group / PARTS;
    const unsigned parts_max = load->group < PARTS ? 1 : PARTS;
    uint32_t sizes[PARTS];
    uint64_t begins[PARTS];
    uint32_t sent = 0;
    unsigned first = 0, count = 0;

    if (part * SET_BYTES > redis->room)
        bench_fail("redis: a group of %u is too large", load->group);
    while (sent < load->count || count > 0) {
        if (sent < load->count && count < parts_max) {
            const unsigned at = (first + count++) % PARTS;

            begins[at] = bench_now_ns();
            sizes[at] = send_part(redis, load, sent, part);
            sent += sizes[at];
            continue;
        }
        take_answers(redis, sizes[first]);
        if (load->commits != NULL)
            histogram_record(load->commits, bench_now_ns() - begins[first]);
        first = (first + 1) % PARTS;
        count--;
    }
}

static void fill(struct redis *redis, uint32_t records)
{
    struct record zero = {0};

    for (uint32_t key = 0; key < records;) {
        const uint32_t begin = key;
        char *to = redis->commands;

        for (; key < records && key - begin < LOAD_GROUP / PARTS; key++)
            to = put_set(to, key, &zero);
        server_send(redis->server, redis->commands, (size_t)(to - redis->commands));
        take_answers(redis, key - begin);
    }
}

static void *redis_open(const char *folder, uint32_t records, enum store_safety safety)
{
    static const char *const arguments[] = {"redis-server",
                                            "--port",
                                            "0",
                                            "--unixsocket",
                                            "socket",
                                            "--appendonly",
                                            "yes",
                                            "--appendfsync",
                                            "no",
                                            "--save",
                                            "",
                                            "--auto-aof-rewrite-percentage",
                                            "0",
                                            "--daemonize",
                                            "no",
                                            NULL};
    struct redis *redis = calloc(1, sizeof(*redis));

    if (redis == NULL)
        bench_fail("redis: no memory");
    redis->room = LOAD_GROUP / PARTS * SET_BYTES;
    redis->commands = malloc(redis->room);
    if (redis->commands == NULL)
        bench_fail("redis: no memory");
    redis->server = server_start(folder, "socket", arguments);
    fill(redis, records);
    command(redis, safety == STORE_SYNC ? "CONFIG SET appendfsync always\r\n"
                                        : "CONFIG SET appendfsync everysec\r\n");
    return redis;
}

static void redis_close(void *store)
{
    struct redis *redis = store;

    server_stop(redis->server);
    free(redis->commands);
    free(redis);
}

static void redis_read(void *store, uint32_t key, struct record *record)
{
    struct redis *redis = store;
    char question[32] = "GET ";
    char end[2];

    memcpy(put_key(question + 4, key), "\r\n", 2);
    server_send(redis->server, question, 4 + KEY + 2);
    if (strcmp(server_line(redis->server), "$24") != 0)
        bench_fail("redis: key %u is not there", key);
    server_receive(redis->server, record, sizeof(*record));
    server_receive(redis->server, end, sizeof(end));
}

static int redis_pid(void *store)
{
    const struct redis *redis = store;

    return server_pid(redis->server);
}

const struct store_ops store_redis = {
    .open = redis_open,
    .close = redis_close,
    .update = redis_update,
    .read = redis_read,
    .pid = redis_pid,
};

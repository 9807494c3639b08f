/*
 * redis.c - Redis with an append-only file: SET of 24 bytes under a key of 8, many under way at once through
 * a socket of the local domain. The server writes and syncs once for all commands that it has read, before it
 * answers them (appendfsync always), or once a second (everysec).
 *
 * The commands under way are sent in four parts: one part is answered while the others wait, so the server
 * never runs dry.
 *
 * As a queue of jobs (peers/jobs.h) in the two ways that its users have: lists, where a job waits in
 * one and is moved to another while somebody works on it; and a stream that is read by a group.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peers/jobs.h"
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

static struct redis *start(const char *folder, size_t room)
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
    redis->room = room;
    redis->commands = malloc(redis->room);
    if (redis->commands == NULL)
        bench_fail("redis: no memory");
    redis->server = server_start(folder, "socket", arguments);
    return redis;
}

static void *redis_open(const char *folder, uint32_t records, enum store_safety safety)
{
    struct redis *redis = start(folder, LOAD_GROUP / PARTS * SET_BYTES);

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

/* ---- Jobs ---- */

enum { JOB_COMMAND_MAX = 160 }; /* bytes of one */

#define TEXT(to, text) append(to, text, sizeof(text) - 1)

static void *jobs_open(const char *folder)
{
    struct redis *redis = start(folder, (size_t)JOB_PART_MAX * JOB_COMMAND_MAX + JOB_COMMAND_MAX);

    command(redis, "CONFIG SET appendfsync always\r\n");
    return redis;
}

static void send_up_to(struct redis *redis, const char *to)
{
    server_send(redis->server, redis->commands, (size_t)(to - redis->commands));
}

static void expect(struct redis *redis, const char *answer)
{
    const char *line = server_line(redis->server);

    if (strcmp(line, answer) != 0)
        bench_fail("redis answers %s instead of %s", line, answer);
}

/* An answer of bytes: $SIZE, the bytes, an end of line. */
static void take_bytes(struct redis *redis, char *bytes, size_t room)
{
    const char *line = server_line(redis->server);
    const size_t size = line[0] == '$' ? strtoul(line + 1, NULL, 10) : 0;
    char end[2];

    if (size == 0 || size >= room)
        bench_fail("redis answers %s where a job should be", line);
    server_receive(redis->server, bytes, size);
    bytes[size] = '\0';
    server_receive(redis->server, end, sizeof(end));
}

static void ask_for_nothing(struct redis *redis, const char *question)
{
    server_send(redis->server, question, strlen(question));
    expect(redis, ":0");
}

/* Lists. A job is known by its bytes; the one that was taken first is at the end of `taken`. */

static void lists_send(void *queue, const struct job_part *part)
{
    struct redis *redis = queue;
    char *to = redis->commands;

    for (uint32_t i = 0; i < part->count; i++) {
        char body[JOB_BODY];

        switch (part->stage) {
        case JOB_PUT:
            job_body(part->first + i, body);
            to = TEXT(to, "*3\r\n$5\r\nLPUSH\r\n$4\r\njobs\r\n$24\r\n");
            to = append(to, body, sizeof(body));
            to = TEXT(to, "\r\n");
            break;
        case JOB_TAKE:
            to = TEXT(to, "*5\r\n$5\r\nLMOVE\r\n$4\r\njobs\r\n$5\r\ntaken\r\n$5\r\nRIGHT\r\n"
                          "$4\r\nLEFT\r\n");
            break;
        case JOB_ACK:
        case JOB_STAGES:
            to = TEXT(to, "*4\r\n$4\r\nLREM\r\n$5\r\ntaken\r\n$2\r\n-1\r\n$24\r\n");
            to = append(to, part->names[i], JOB_BODY);
            to = TEXT(to, "\r\n");
            break;
        }
    }
    send_up_to(redis, to);
}

static void lists_receive(void *queue, struct job_part *part)
{
    struct redis *redis = queue;

    for (uint32_t i = 0; i < part->count; i++)
        switch (part->stage) {
        case JOB_PUT:
            if (server_line(redis->server)[0] != ':')
                bench_fail("redis does not take a job");
            break;
        case JOB_TAKE:
            take_bytes(redis, part->names[i], sizeof(part->names[i]));
            part->numbers += job_number(part->names[i]);
            break;
        case JOB_ACK:
        case JOB_STAGES:
            expect(redis, ":1");
            break;
        }
}

static void lists_check_empty(void *queue)
{
    ask_for_nothing(queue, "LLEN jobs\r\n");
    ask_for_nothing(queue, "LLEN taken\r\n");
}

const struct job_ops jobs_redis_lists = {
    .open = jobs_open,
    .close = redis_close,
    .send = lists_send,
    .receive = lists_receive,
    .check_empty = lists_check_empty,
};

/* A stream. Jobs are read and acknowledged many at a time, as it offers; old ones are cut off. */

static void *stream_open(const char *folder)
{
    struct redis *redis = jobs_open(folder);

    command(redis, "XGROUP CREATE jobs agents $ MKSTREAM\r\n");
    return redis;
}

static void stream_send(void *queue, const struct job_part *part)
{
    struct redis *redis = queue;
    char *to = redis->commands;

    switch (part->stage) {
    case JOB_PUT:
        for (uint32_t i = 0; i < part->count; i++) {
            char body[JOB_BODY];

            job_body(part->first + i, body);
            to = TEXT(to, "*8\r\n$4\r\nXADD\r\n$4\r\njobs\r\n$6\r\nMAXLEN\r\n$1\r\n~\r\n"
                          "$5\r\n20000\r\n$1\r\n*\r\n$1\r\nb\r\n$24\r\n");
            to = append(to, body, sizeof(body));
            to = TEXT(to, "\r\n");
        }
        break;
    case JOB_TAKE:
        to += sprintf(to, "XREADGROUP GROUP agents one COUNT %u STREAMS jobs >\r\n", part->count);
        break;
    case JOB_ACK:
    case JOB_STAGES:
        to += sprintf(to, "*%u\r\n$4\r\nXACK\r\n$4\r\njobs\r\n$6\r\nagents\r\n", 3 + part->count);
        for (uint32_t i = 0; i < part->count; i++)
            to += sprintf(to, "$%zu\r\n%s\r\n", strlen(part->names[i]), part->names[i]);
        break;
    }
    send_up_to(redis, to);
}

/* [[jobs, [[id, [b, body]], ...]]] */
static void stream_take(struct redis *redis, struct job_part *part)
{
    char text[JOB_NAME], wanted[16];

    expect(redis, "*1");
    expect(redis, "*2");
    take_bytes(redis, text, sizeof(text));
    snprintf(wanted, sizeof(wanted), "*%u", part->count);
    expect(redis, wanted);
    for (uint32_t i = 0; i < part->count; i++) {
        expect(redis, "*2");
        take_bytes(redis, part->names[i], sizeof(part->names[i]));
        expect(redis, "*2");
        take_bytes(redis, text, sizeof(text));
        take_bytes(redis, text, sizeof(text));
        part->numbers += job_number(text);
    }
}

static void stream_receive(void *queue, struct job_part *part)
{
    struct redis *redis = queue;
    char text[JOB_NAME];

    switch (part->stage) {
    case JOB_PUT:
        for (uint32_t i = 0; i < part->count; i++)
            take_bytes(redis, text, sizeof(text));
        break;
    case JOB_TAKE:
        stream_take(redis, part);
        break;
    case JOB_ACK:
    case JOB_STAGES:
        snprintf(text, sizeof(text), ":%u", part->count);
        expect(redis, text);
        break;
    }
}

/* Those that nobody has read would have been read by the last part: its answer was what was put. */
static void stream_check_empty(void *queue)
{
    struct redis *redis = queue;

    server_send(redis->server, "XPENDING jobs agents\r\n", 22);
    expect(redis, "*4");
    expect(redis, ":0");
    for (unsigned i = 0; i < 3; i++)
        server_line(redis->server); /* the least id, the greatest, the consumers: of nothing */
}

const struct job_ops jobs_redis_streams = {
    .open = stream_open,
    .close = redis_close,
    .send = stream_send,
    .receive = stream_receive,
    .check_empty = stream_check_empty,
};

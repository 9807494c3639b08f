/*
 * inspect_live.c - `pawl inspect --live`: asks a running process through its window.
 */
#include "inspect_live.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "tool.h"
#include "watch/live_request.h"

#define SILENCE_S  60 /* of a window that looks at very many tasks; then it counts as stuck */
#define FIRST_READ 65536u

struct bytes {
    char *at;
    size_t size, capacity;
};

/* ---- a conversation -------------------------------------------------------------------------- */

static int failed(const struct inspect_options *options, const char *doing)
{
    return tool_fail(options->command, "%s: %s: %s", options->path, doing,
                     errno == EAGAIN ? "it does not answer" : strerror(errno));
}

/* A descriptor, or -1: said. */
static int dial(const struct inspect_options *options)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timeval silence = {.tv_sec = SILENCE_S};
    int fd;

    if (strlen(options->path) >= sizeof(address.sun_path)) {
        tool_fail(options->command, "%s: a socket's path has at most %zu bytes", options->path,
                  sizeof(address.sun_path) - 1);
        return -1;
    }
    memcpy(address.sun_path, options->path, strlen(options->path));
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof(silence)) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &silence, sizeof(silence)) == 0 &&
        connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    if (errno == ECONNREFUSED)
        tool_fail(options->command,
                  "%s: nobody listens there: has the host ended, or is it no window?",
                  options->path);
    else
        failed(options, "there is no way in");
    if (fd >= 0)
        close(fd);
    return -1;
}

static bool room(struct bytes *bytes)
{
    const size_t capacity = bytes->capacity > 0 ? 2 * bytes->capacity : FIRST_READ;
    char *at;

    if (bytes->capacity - bytes->size > 1) /* one is kept: see inspect_reply_read */
        return true;
    if (bytes->capacity >= INSPECT_REPLY_MAX)
        return false;
    at = realloc(bytes->at, capacity);
    if (!at)
        return false;
    bytes->at = at;
    bytes->capacity = capacity;
    return true;
}

/* Everything until the window closes. An exit code. */
static int hear(const struct inspect_options *options, int fd, struct bytes *bytes)
{
    for (;;) {
        ssize_t got;

        if (!room(bytes))
            return tool_fail(options->command, "%s: its reply is too long", options->path);
        got = recv(fd, bytes->at + bytes->size, bytes->capacity - bytes->size - 1, 0);
        if (got > 0)
            bytes->size += (size_t)got;
        else if (got == 0 || errno == ECONNRESET) /* what is missing, the last row tells */
            return TOOL_OK;
        else if (errno != EINTR)
            return failed(options, "its reply cannot be read");
    }
}

static int converse(const struct inspect_options *options, const struct live_request *request,
                    struct bytes *bytes)
{
    char line[PAWL_LIVE_REQUEST_MAX];
    const size_t size = (size_t)pawl__live_request_write(request, line);
    const int fd = dial(options);
    int code;

    if (fd < 0)
        return TOOL_FAILED;
    /* A request fits into a new socket. A window that has closed it has said why. */
    if (send(fd, line, size, MSG_NOSIGNAL) != (ssize_t)size && errno != EPIPE)
        code = failed(options, "the request cannot be sent");
    else
        code = hear(options, fd, bytes);
    close(fd);
    return code;
}

/* ---- what was asked for ---------------------------------------------------------------------- */

/* What a reply says, apart from what there is to show. */
static int judge(const struct inspect_options *options, const struct inspect_reply *reply,
                 const char *wrong)
{
    if (wrong)
        return tool_fail(options->command, "%s: %s", options->path, wrong);
    if (!reply->greeted || !reply->ended)
        return tool_fail(options->command, "%s: its reply is cut off", options->path);
    if (!reply->complete)
        return tool_fail(options->command, "%s: %s", options->path, reply->error);
    return TOOL_OK;
}

static void show(const struct inspect_options *options, const struct inspect_reply *reply)
{
    if (!options->task)
        inspect_show_list(&reply->list, options->json);
    else if (reply->found)
        inspect_show_task(&reply->whole, options->json);
}

/* Whether there is no such task: the only thing that is not said at once. */
static bool is_absent(const struct inspect_options *options, const struct inspect_reply *reply)
{
    return options->task && reply->ended && !reply->complete && !reply->found &&
           (reply->code == -ENOENT || reply->code == -ESTALE);
}

static int read_reply(const struct inspect_options *options, const struct bytes *bytes,
                      bool *absent)
{
    struct inspect_reply *const reply = calloc(1, sizeof(*reply));
    const char *wrong;
    int code = TOOL_FAILED;

    if (!reply)
        return tool_fail(options->command, "there is no memory for it");
    wrong = inspect_reply_read(reply, options->task == NULL, bytes->at, bytes->size);
    *absent = !wrong && is_absent(options, reply);
    if (!wrong && reply->ended && (reply->complete || reply->found))
        show(options, reply);
    if (!*absent)
        code = judge(options, reply, wrong);
    inspect_reply_fini(reply);
    free(reply);
    return code;
}

/* absent: set, and nothing said, when there is no such task. */
static int ask(const struct inspect_options *options, const struct live_request *request,
               bool *absent)
{
    struct bytes bytes = {.at = NULL};
    int code = converse(options, request, &bytes);

    if (code == TOOL_OK)
        code = read_reply(options, &bytes, absent);
    free(bytes.at);
    return code;
}

static int ask_for_key(const struct inspect_options *options, const char *key)
{
    struct live_request request = {.kind = LIVE_TASK, .key_size = strlen(key)};
    bool absent = false;
    int code;

    if (request.key_size == 0 || request.key_size > sizeof(request.key))
        return inspect_no_task(options);
    memcpy(request.key, key, request.key_size);
    code = ask(options, &request, &absent);
    return absent ? inspect_no_task(options) : code;
}

static int ask_for_task(const struct inspect_options *options)
{
    struct live_request request = {.kind = LIVE_TASK};
    bool absent = false;
    int code;

    if (strncmp(options->task, "key:", 4) == 0)
        return ask_for_key(options, options->task + 4);
    if (!inspect_parse_id(options->task, &request.task) || request.task == 0)
        return ask_for_key(options, options->task);
    code = ask(options, &request, &absent);
    return absent ? ask_for_key(options, options->task) : code;
}

int inspect_live(const struct inspect_options *options)
{
    struct live_request request = {.kind = LIVE_LIST, .choice = options->choice};
    bool absent;

    if (options->task)
        return ask_for_task(options);
    if (options->lane && (options->lane[0] == '\0' || strlen(options->lane) > PAWL_LANE_NAME_MAX))
        return tool_fail(options->command, "there can be no lane '%s'", options->lane);
    if (options->lane)
        snprintf(request.lane, sizeof(request.lane), "%s", options->lane);
    return ask(options, &request, &absent);
}

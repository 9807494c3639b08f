#include "watch/live_request.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"

/* A value, taken out of its %XX; no parameter has a longer one. */
struct value {
    size_t size;
    char bytes[KEY_SIZE_MAX + 1]; /* closed by a zero */
};

struct parser {
    struct live_request *request;
    const char *at, *end;
    char *wrong;
    unsigned given; /* a bit for each parameter */
};

enum parameter { STATE, LANE, SORT, LIMIT, ID, KEY, PARAMETERS };

static const char *const parameter_names[PARAMETERS] = {"state", "lane", "sort",
                                                        "limit", "id",   "key"};
static const unsigned parameters_of[] = {[LIVE_LIST] =
                                             1u << STATE | 1u << LANE | 1u << SORT | 1u << LIMIT,
                                         [LIVE_TASK] = 1u << ID | 1u << KEY};

static const char *refuse(const struct parser *parser, const char *what)
{
    snprintf(parser->wrong, LIVE_WRONG_MAX, "%s", what);
    return parser->wrong;
}

/* ---- Words and values ---- */

/* Up to the next of these two characters, or the end. */
static size_t word(const struct parser *parser, char first, char second)
{
    size_t size = 0;

    while (parser->at + size < parser->end && parser->at[size] != first &&
           parser->at[size] != second)
        size++;
    return size;
}

static bool is_word(const char *at, size_t size, const char *wanted)
{
    return size == strlen(wanted) && memcmp(at, wanted, size) == 0;
}

static int digit_of(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* False: it cannot be a value. */
static bool take_value(struct parser *parser, struct value *value)
{
    value->size = 0;
    while (parser->at < parser->end && *parser->at != ' ') {
        const unsigned char c = (unsigned char)*parser->at;
        int high, low;

        if (value->size == KEY_SIZE_MAX || c <= 0x20 || c > 0x7e)
            return false;
        if (c != '%') {
            value->bytes[value->size++] = (char)c;
            parser->at++;
            continue;
        }
        if (parser->end - parser->at < 3)
            return false;
        high = digit_of(parser->at[1]);
        low = digit_of(parser->at[2]);
        if (high < 0 || low < 0)
            return false;
        value->bytes[value->size++] = (char)(unsigned char)(high << 4 | low);
        parser->at += 3;
    }
    value->bytes[value->size] = '\0';
    return value->size > 0;
}

static bool take_number(const struct value *value, unsigned base, uint64_t *number)
{
    *number = 0;
    for (size_t i = 0; i < value->size; i++) {
        const int digit = digit_of(value->bytes[i]);

        if (digit < 0 || (unsigned)digit >= base || *number > (UINT64_MAX - (unsigned)digit) / base)
            return false;
        *number = *number * base + (unsigned)digit;
    }
    return true;
}

/* ---- Parameters ---- */

static const char *take_state(struct parser *parser, const struct value *value)
{
    for (uint32_t i = 0; i < PAWL_WORK_STATES; i++)
        if (is_word(value->bytes, value->size, pawl_work_state_name(i))) {
            parser->request->choice.state = i;
            return NULL;
        }
    return refuse(parser, "state wants a state of work tasks, such as ready");
}

static const char *take_limit(struct parser *parser, const struct value *value)
{
    uint64_t *const limit = &parser->request->choice.limit;

    if (take_number(value, 10, limit) && *limit <= PAWL_LIVE_TASKS_MAX)
        return NULL;
    snprintf(parser->wrong, LIVE_WRONG_MAX, "limit wants a number up to %u", PAWL_LIVE_TASKS_MAX);
    return parser->wrong;
}

static const char *take(struct parser *parser, enum parameter parameter, const struct value *value)
{
    struct live_request *const request = parser->request;

    switch (parameter) {
    case STATE:
        return take_state(parser, value);
    case LANE:
        if (value->size > PAWL_LANE_NAME_MAX || memchr(value->bytes, 0, value->size) != NULL)
            return refuse(parser, "lane wants a name of at most 31 bytes");
        memcpy(request->lane, value->bytes, value->size + 1);
        return NULL;
    case SORT:
        if (memchr(value->bytes, 0, value->size) == NULL &&
            pawl__sight_find_order(value->bytes, &request->choice.order))
            return NULL;
        return refuse(parser, "sort wants state, age, agent, lane or priority");
    case LIMIT:
        return take_limit(parser, value);
    case ID:
        if (value->size <= 16 && take_number(value, 16, &request->task) && request->task != 0)
            return NULL;
        return refuse(parser, "id wants a task's id: up to 16 hexadecimal digits, not 0");
    case KEY:
        request->key_size = value->size;
        memcpy(request->key, value->bytes, value->size);
        return NULL;
    case PARAMETERS:
        break;
    }
    return refuse(parser, "no such parameter");
}

static const char *take_parameter(struct parser *parser)
{
    const size_t size = word(parser, '=', ' ');
    unsigned parameter = 0;
    struct value value;

    while (parameter < PARAMETERS && !is_word(parser->at, size, parameter_names[parameter]))
        parameter++;
    if (parameter == PARAMETERS || (parameters_of[parser->request->kind] >> parameter & 1) == 0)
        return refuse(parser, "there is a parameter that this request does not have: list has "
                              "state, lane, sort and limit, task has id or key");
    if ((parser->given >> parameter & 1) != 0)
        return refuse(parser, "a parameter is given twice");
    parser->given |= 1u << parameter;
    parser->at += size;
    if (parser->at < parser->end)
        parser->at++; /* what follows a name without '=' is no value */
    if (parser->at[-1] != '=' || !take_value(parser, &value)) {
        snprintf(parser->wrong, LIVE_WRONG_MAX,
                 "%s wants =VALUE, of 1 to %u bytes, %%XX for all but plain characters",
                 parameter_names[parameter], KEY_SIZE_MAX);
        return parser->wrong;
    }
    return take(parser, (enum parameter)parameter, &value);
}

const char *pawl__live_request_parse(struct live_request *request, const char *line, size_t size,
                                     char wrong[LIVE_WRONG_MAX])
{
    struct parser parser = {.request = request, .at = line, .end = line + size, .wrong = wrong};
    const size_t first = word(&parser, ' ', ' ');

    *request = (struct live_request){
        .choice = {.state = PAWL_ANY, .lane = PAWL_ANY, .limit = LIVE_LIMIT_DEFAULT}};
    if (is_word(line, first, "list"))
        request->kind = LIVE_LIST;
    else if (is_word(line, first, "task"))
        request->kind = LIVE_TASK;
    else
        return refuse(&parser, "a request begins with list or task");
    parser.at += first;
    while (parser.at < parser.end) {
        const char *what;

        parser.at++; /* the blank */
        what = take_parameter(&parser);
        if (what != NULL)
            return what;
    }
    if (request->kind == LIVE_TASK &&
        (parser.given == 0 || parser.given == parameters_of[LIVE_TASK]))
        return refuse(&parser, "task wants either id=HEX or key=BYTES");
    return NULL;
}

/* ---- Writing ---- */

static int write_value(char *line, int at, const void *bytes, size_t size)
{
    const unsigned char *const from = bytes;

    for (size_t i = 0; i < size; i++)
        at += snprintf(line + at, (size_t)(PAWL_LIVE_REQUEST_MAX - at),
                       from[i] <= 0x20 || from[i] > 0x7e || from[i] == '%' ? "%%%02x" : "%c",
                       from[i]);
    return at;
}

/* The longest: a task by its key, all of whose bytes take three. */
_Static_assert(16 + 3 * KEY_SIZE_MAX < PAWL_LIVE_REQUEST_MAX, "every request fits in a line");

int pawl__live_request_write(const struct live_request *request, char line[PAWL_LIVE_REQUEST_MAX])
{
    const size_t room = PAWL_LIVE_REQUEST_MAX;
    int at;

    if (request->kind == LIVE_TASK && request->task != 0)
        return snprintf(line, room, "task id=%" PRIx64 "\n", request->task);
    if (request->kind == LIVE_TASK) {
        CHECK(request->key_size <= KEY_SIZE_MAX);
        at = write_value(line, snprintf(line, room, "task key="), request->key, request->key_size);
    } else {
        at = snprintf(line, room, "list sort=%s limit=%" PRIu64,
                      pawl__sight_order_name(request->choice.order), request->choice.limit);
        if (request->choice.state != PAWL_ANY)
            at += snprintf(line + at, room - (size_t)at, " state=%s",
                           pawl_work_state_name(request->choice.state));
        if (request->lane[0] != '\0')
            at = write_value(line, at + snprintf(line + at, room - (size_t)at, " lane="),
                             request->lane, strlen(request->lane));
    }
    return at + snprintf(line + at, room - (size_t)at, "\n");
}

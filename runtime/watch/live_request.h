/*
 * live_request.h - what a client asks of a window: one line, taken apart. <pawl/live.h> has the
 * grammar.
 *
 * Layer: watch. Nothing of the line is believed: what cannot be is refused with a sentence that says
 * what is wrong and what to do.
 */
#ifndef PAWL_WATCH_LIVE_REQUEST_H
#define PAWL_WATCH_LIVE_REQUEST_H

#include "base/limits.h"
#include "watch/live_sight.h"

#define LIVE_LIMIT_DEFAULT 100u

enum live_kind { LIVE_LIST, LIVE_TASK };

struct live_request {
    enum live_kind kind;
    struct sight_choice choice;        /* of a list, but for the lane */
    char lane[PAWL_LANE_NAME_MAX + 1]; /* "": any */
    uint64_t task;                     /* id, or 0: it is the key */
    size_t key_size;
    unsigned char key[KEY_SIZE_MAX];
};

/*
 * pawl__live_request_parse - takes apart a line without its end. NULL; or what is wrong, a sentence
 * that lives in `wrong`, which has room for any.
 */
#define LIVE_WRONG_MAX 160
const char *pawl__live_request_parse(struct live_request *request, const char *line, size_t size,
                                     char wrong[LIVE_WRONG_MAX]);

/*
 * pawl__live_request_write - the opposite: a line with its end, which always fits. Returns its length.
 */
int pawl__live_request_write(const struct live_request *request, char line[PAWL_LIVE_REQUEST_MAX]);

#endif /* PAWL_WATCH_LIVE_REQUEST_H */

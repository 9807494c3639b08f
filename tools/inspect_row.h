/*
 * inspect_row.h - one row of a window's reply: a flat JSON object, as <pawl/live.h> says.
 *
 * Only what that page allows is taken: strings, whole numbers, true and false, no object within. The
 * line is changed: strings are unpacked where they are. They are UTF-8, and control characters in
 * them, other than line ends and tabs, become question marks. Limits: ROW_MEMBERS members.
 */
#ifndef PAWL_TOOLS_INSPECT_ROW_H
#define PAWL_TOOLS_INSPECT_ROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ROW_MEMBERS 64u

enum row_type { ROW_STRING, ROW_NUMBER, ROW_BOOL };

struct row_member {
    const char *name; /* closed by a zero, as strings are */
    enum row_type type;
    char *string; /* of a string */
    size_t size;
    uint64_t number; /* of a number, two's complement; of a truth 0 or 1 */
};

struct row {
    size_t count;
    struct row_member members[ROW_MEMBERS];
};

/* line: size bytes, and one more that may be written to. NULL, or what is wrong with it. */
const char *row_parse(struct row *row, char *line, size_t size);

/* NULL: there is none of this name and type. */
const struct row_member *row_find(const struct row *row, const char *name, enum row_type type);

/* What is not there, or of another type, is "", 0, false. */
const char *row_string(const struct row *row, const char *name);
uint64_t row_number(const struct row *row, const char *name);
bool row_bool(const struct row *row, const char *name);

/* A string of hexadecimal digits as a number. */
uint64_t row_id(const struct row *row, const char *name);

/*
 * A string of bytes, two digits each, unpacked in place and closed by a zero; once for each row. NULL
 * and size 0: none, or it is no such string.
 */
char *row_bytes(const struct row *row, const char *name, size_t *size);

#endif /* PAWL_TOOLS_INSPECT_ROW_H */

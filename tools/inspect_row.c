/*
 * inspect_row.c - takes a row of a window's reply apart.
 */
#include "inspect_row.h"

#include <string.h>

#include "watch/live_text.h"

struct reader {
    char *at, *end;
};

static bool take(struct reader *reader, char c)
{
    if (reader->at == reader->end || *reader->at != c)
        return false;
    reader->at++;
    return true;
}

static bool take_word(struct reader *reader, const char *word)
{
    const size_t size = strlen(word);

    if ((size_t)(reader->end - reader->at) < size || memcmp(reader->at, word, size) != 0)
        return false;
    reader->at += size;
    return true;
}

static int digit_of(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* ---- Strings --------------------------------------------------------------------------------- */

static char *put_utf8(char *to, uint32_t code)
{
    if (code < 0x80) {
        *to++ = (char)code;
    } else if (code < 0x800) {
        *to++ = (char)(unsigned char)(0xc0 | code >> 6);
        *to++ = (char)(unsigned char)(0x80 | (code & 0x3f));
    } else {
        *to++ = (char)(unsigned char)(0xe0 | code >> 12);
        *to++ = (char)(unsigned char)(0x80 | (code >> 6 & 0x3f));
        *to++ = (char)(unsigned char)(0x80 | (code & 0x3f));
    }
    return to;
}

/* What a terminal would obey becomes a question mark: a host may call itself anything. */
static uint32_t disarmed(uint32_t code)
{
    const bool control = code < 0x20 || (code >= 0x7f && code < 0xa0);

    return control && code != '\n' && code != '\t' ? '?' : code;
}

/* After the backslash. What it stands for is shorter than it. A zero, which would cut the string
 * short, and half a pair of surrogates are refused: no window writes them. */
static bool take_escape(struct reader *reader, char **to)
{
    static const char from[] = "\"\\/bfnrt", into[] = "\"\\/\b\f\n\r\t";
    const char c = *reader->at;
    const char *const simple = c != '\0' ? strchr(from, c) : NULL;
    uint32_t code = 0;

    if (simple) {
        reader->at++;
        *to = put_utf8(*to, disarmed((uint32_t)into[simple - from]));
        return true;
    }
    if (c != 'u' || reader->end - reader->at < 5)
        return false;
    for (unsigned i = 1; i <= 4; i++) {
        const int digit = digit_of(reader->at[i]);

        if (digit < 0)
            return false;
        code = code << 4 | (uint32_t)digit;
    }
    if (code == 0 || (code >= 0xd800 && code < 0xe000))
        return false;
    reader->at += 5;
    *to = put_utf8(*to, disarmed(code));
    return true;
}

/* A character as it stands. A window writes control characters as escapes, and only UTF-8. */
static bool take_character(struct reader *reader, char **to)
{
    const unsigned char *const at = (const unsigned char *)reader->at;
    const size_t length = pawl__live_text_sequence(at, (size_t)(reader->end - reader->at));

    if (length == 0 || at[0] < 0x20)
        return false;
    memmove(*to, reader->at, length);
    *to += length;
    reader->at += length;
    return true;
}

/* Behind the opening quote; unpacked over itself. */
static bool take_string(struct reader *reader, char **string, size_t *size)
{
    char *to = reader->at;

    *string = to;
    while (reader->at < reader->end && *reader->at != '"') {
        if (!take(reader, '\\')) {
            if (!take_character(reader, &to))
                return false;
        } else if (reader->at == reader->end || !take_escape(reader, &to)) {
            return false;
        }
    }
    if (!take(reader, '"'))
        return false;
    *size = (size_t)(to - *string);
    *to = '\0';
    return true;
}

/* ---- Values ---------------------------------------------------------------------------------- */

static bool take_number(struct reader *reader, uint64_t *number)
{
    const bool negative = take(reader, '-');
    const char *const first = reader->at;

    *number = 0;
    while (reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9') {
        const unsigned digit = (unsigned)(*reader->at++ - '0');

        if (*number > (UINT64_MAX - digit) / 10)
            return false;
        *number = 10 * *number + digit;
    }
    if (negative && *number > (uint64_t)INT64_MAX + 1)
        return false;
    if (negative)
        *number = 0 - *number;
    return reader->at > first;
}

static bool take_value(struct reader *reader, struct row_member *member)
{
    if (take(reader, '"')) {
        member->type = ROW_STRING;
        return take_string(reader, &member->string, &member->size);
    }
    if (take_word(reader, "true") || take_word(reader, "false")) {
        member->type = ROW_BOOL;
        member->number = reader->at[-2] == 'u';
        return true;
    }
    member->type = ROW_NUMBER;
    return take_number(reader, &member->number);
}

static const char *take_member(struct reader *reader, struct row *row)
{
    struct row_member member = {.size = 0};
    char *name;
    size_t size;

    if (row->count == ROW_MEMBERS)
        return "a row has too many members";
    if (!take(reader, '"') || !take_string(reader, &name, &size) || size == 0)
        return "a member of a row has no name";
    member.name = name;
    if (!take(reader, ':') || !take_value(reader, &member))
        return "a member of a row has no value that could be one";
    row->members[row->count++] = member;
    return NULL;
}

const char *row_parse(struct row *row, char *line, size_t size)
{
    struct reader reader = {.at = line, .end = line + size};
    const char *wrong;

    row->count = 0;
    if (!take(&reader, '{'))
        return "a row does not begin as an object";
    do {
        wrong = take_member(&reader, row);
        if (wrong)
            return wrong;
    } while (take(&reader, ','));
    return take(&reader, '}') && reader.at == reader.end ? NULL : "a row does not end as an object";
}

/* ---- Members --------------------------------------------------------------------------------- */

const struct row_member *row_find(const struct row *row, const char *name, enum row_type type)
{
    for (size_t i = 0; i < row->count; i++)
        if (row->members[i].type == type && strcmp(row->members[i].name, name) == 0)
            return &row->members[i];
    return NULL;
}

const char *row_string(const struct row *row, const char *name)
{
    const struct row_member *const member = row_find(row, name, ROW_STRING);

    return member ? member->string : "";
}

uint64_t row_number(const struct row *row, const char *name)
{
    const struct row_member *const member = row_find(row, name, ROW_NUMBER);

    return member ? member->number : 0;
}

bool row_bool(const struct row *row, const char *name)
{
    const struct row_member *const member = row_find(row, name, ROW_BOOL);

    return member && member->number != 0;
}

uint64_t row_id(const struct row *row, const char *name)
{
    const struct row_member *const member = row_find(row, name, ROW_STRING);
    uint64_t id = 0;

    for (size_t i = 0; member && i < member->size; i++) {
        const int digit = digit_of(member->string[i]);

        if (digit < 0 || i == 16)
            return 0;
        id = id << 4 | (uint64_t)digit;
    }
    return id;
}

char *row_bytes(const struct row *row, const char *name, size_t *size)
{
    const struct row_member *const member = row_find(row, name, ROW_STRING);
    size_t to = 0;

    *size = 0;
    if (!member || member->size % 2 != 0)
        return NULL;
    for (size_t i = 0; i < member->size; i += 2) {
        const int high = digit_of(member->string[i]), low = digit_of(member->string[i + 1]);

        if (high < 0 || low < 0)
            return NULL;
        member->string[to++] = (char)(unsigned char)(high << 4 | low);
    }
    member->string[to] = '\0';
    *size = to;
    return member->string;
}

/*
 * swf.c - see swf.h.
 *
 * Three parts, from the bottom: bytes out of zlib, lines out of bytes, numbers out of a line. zlib
 * reads a file that is not compressed as it is, so the two kinds need no telling apart here.
 */
#include "swf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include <zlib.h>

#define CHUNK 65536u

struct swf_reader {
    gzFile file;
    bool failed;
    uint64_t line;
    struct swf_header header;
    size_t chunk_used;
    size_t chunk_size;
    char reason[160];
    char text[SWF_LINE_MAX + 2]; /* room for the '\r' of a longest line, and the closing zero */
    char chunk[CHUNK];
};

__attribute__((format(printf, 2, 3))) static void complain(struct swf_reader *reader,
                                                           const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(reader->reason, sizeof(reader->reason), format, arguments);
    va_end(arguments);
}

/* ---- bytes ---- */

/*
 * True: there are bytes. False: the end, or failed. A compressed file that ends too soon gives what
 * it has and then looks like one that is complete; only gzerror tells them apart.
 */
static bool fill(struct swf_reader *reader)
{
    const int got = gzread(reader->file, reader->chunk, CHUNK);
    const int saved = errno;
    int error = Z_OK;

    if (got > 0) {
        reader->chunk_used = 0;
        reader->chunk_size = (size_t)got;
        return true;
    }
    const char *text = gzerror(reader->file, &error);

    if (error == Z_OK || error == Z_STREAM_END)
        return false;
    reader->failed = true;
    if (error == Z_BUF_ERROR)
        complain(reader, "the compressed data ends too soon: the file is truncated");
    else if (error == Z_ERRNO)
        complain(reader, "cannot be read: %s", strerror(saved));
    else
        complain(reader, "the compressed data is damaged: %s", text);
    return false;
}

/* ---- lines ---- */

enum line { LINE_NONE, LINE_WHOLE, LINE_TOO_LONG };

/*
 * Takes the next line into reader->text, without its end. Of a line that is too long the beginning
 * is there and the rest was passed over. Bytes before a failure are not a line: it is not known how
 * they would have gone on.
 */
static enum line take_line(struct swf_reader *reader, size_t *size)
{
    const size_t capacity = sizeof(reader->text) - 1;
    size_t length = 0;
    bool any = false;
    bool ended = false;

    while (!ended) {
        if (reader->chunk_used == reader->chunk_size && !fill(reader))
            break;
        const char *begin = reader->chunk + reader->chunk_used;
        const size_t left = reader->chunk_size - reader->chunk_used;
        const char *end = memchr(begin, '\n', left);
        const size_t part = end ? (size_t)(end - begin) : left;
        const size_t room = capacity - (length < capacity ? length : capacity);

        memcpy(reader->text + (capacity - room), begin, part < room ? part : room);
        length += part;
        any = true;
        ended = end != NULL;
        reader->chunk_used += part + (ended ? 1 : 0);
    }
    if (!any || reader->failed)
        return LINE_NONE;

    reader->line++;
    size_t kept = length < capacity ? length : capacity;
    if (length <= capacity && kept > 0 && reader->text[kept - 1] == '\r')
        kept--;
    reader->text[kept] = '\0';
    *size = kept;
    return length > capacity || kept > SWF_LINE_MAX ? LINE_TOO_LONG : LINE_WHOLE;
}

/* ---- numbers ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static const char *skip_blanks(const char *at)
{
    while (is_blank(*at))
        at++;
    return at;
}

/*
 * One number of a line. The whole part stops growing above SWF_VALUE_MAX: it is only told too
 * large.
 */
struct number {
    int64_t whole;
    bool too_large;
    bool has_fraction; /* digits other than 0 after the point */
};

/* Digits, perhaps with a minus before and decimals after. NULL: that is not what stands here. */
static const char *take_number(const char *at, struct number *number)
{
    const bool minus = *at == '-';

    *number = (struct number){0};
    at += minus;
    if (!is_digit(*at))
        return NULL;
    for (; is_digit(*at); at++) {
        if (!number->too_large)
            number->whole = number->whole * 10 + (*at - '0');
        number->too_large = number->whole > SWF_VALUE_MAX;
    }
    if (*at == '.') {
        for (at++; is_digit(*at); at++)
            number->has_fraction |= *at != '0';
    }
    if (*at != '\0' && !is_blank(*at))
        return NULL;
    if (minus)
        number->whole = -number->whole;
    return at;
}

/* Where a field is kept; NULL: it is only looked at. */
static int64_t *kept_field(struct swf_job *job, unsigned field)
{
    switch (field) {
    case 1:
        return &job->number;
    case 2:
        return &job->submit_s;
    case 4:
        return &job->run_s;
    case 5:
        return &job->processors;
    case 8:
        return &job->requested_processors;
    default:
        return NULL;
    }
}

static bool parse_field(struct swf_reader *reader, struct swf_job *job, unsigned field,
                        const char **at)
{
    struct number number;
    const char *after = take_number(*at, &number);
    int64_t *kept = kept_field(job, field);

    if (!after)
        complain(reader, "field %u is not a number", field);
    else if (kept && number.too_large)
        complain(reader, "field %u is beyond %lld", field, (long long)SWF_VALUE_MAX);
    else if (kept && number.has_fraction)
        complain(reader, "field %u is not a whole number", field);
    else {
        if (kept)
            *kept = number.whole;
        *at = skip_blanks(after);
        return true;
    }
    return false;
}

static bool parse_job(struct swf_reader *reader, const char *at, struct swf_job *job)
{
    unsigned fields = 0;

    *job = (struct swf_job){.line = reader->line};
    while (*at && fields < SWF_FIELDS) {
        if (!parse_field(reader, job, fields + 1, &at))
            return false;
        fields++;
    }
    if (fields < SWF_FIELDS)
        complain(reader, "%u fields where 18 are needed", fields);
    else if (*at)
        complain(reader, "more than 18 fields");
    else if (job->number < 0)
        complain(reader, "the job number (field 1) is negative");
    else if (job->submit_s < 0)
        complain(reader, "the submit time (field 2) is missing or negative");
    else
        return true;
    return false;
}

/* A header is "Name: number" in a comment; one with another value than a number above 0 is none. */
static void take_header(const char *at, const char *name, uint64_t *value)
{
    const size_t length = strlen(name);
    struct number number;

    if (*value != 0 || strncasecmp(at, name, length) != 0)
        return;
    at = skip_blanks(at + length);
    if (*at != ':')
        return;
    if (take_number(skip_blanks(at + 1), &number) && number.whole > 0 && !number.too_large &&
        !number.has_fraction)
        *value = (uint64_t)number.whole;
}

/* ---- the reader ---- */

int swf_open_fd(int fd, struct swf_reader **reader)
{
    struct swf_reader *made = calloc(1, sizeof(*made));

    if (!made) {
        close(fd);
        return -ENOMEM;
    }
    made->file = gzdopen(fd, "rb");
    if (!made->file) {
        close(fd);
        free(made);
        return -ENOMEM;
    }
    *reader = made;
    return 0;
}

int swf_open(const char *path, struct swf_reader **reader)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);

    return fd < 0 ? -errno : swf_open_fd(fd, reader);
}

void swf_close(struct swf_reader *reader)
{
    if (!reader)
        return;
    gzclose_r(reader->file);
    free(reader);
}

enum swf_result swf_next(struct swf_reader *reader, struct swf_job *job)
{
    size_t size = 0;

    for (;;) {
        const enum line line = take_line(reader, &size);

        if (line == LINE_NONE)
            return reader->failed ? SWF_FAILED : SWF_END;
        const char *at = skip_blanks(reader->text);

        if (*at == ';') {
            at = skip_blanks(at + 1);
            take_header(at, "MaxProcs", &reader->header.max_procs);
            take_header(at, "MaxNodes", &reader->header.max_nodes);
            continue;
        }
        if (line == LINE_TOO_LONG)
            complain(reader, "longer than %u bytes", SWF_LINE_MAX);
        else if (strlen(reader->text) != size)
            complain(reader, "a zero byte in a line of numbers");
        else if (*at == '\0')
            continue;
        else if (parse_job(reader, at, job))
            return SWF_JOB;
        return SWF_MALFORMED;
    }
}

uint64_t swf_line(const struct swf_reader *reader)
{
    return reader->line;
}

const char *swf_reason(const struct swf_reader *reader)
{
    return reader->reason;
}

const struct swf_header *swf_header(const struct swf_reader *reader)
{
    return &reader->header;
}

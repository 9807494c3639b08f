/*
 * test_swf.c - the reader of job logs: what it takes, what it calls malformed, what it survives.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>

#include "support/test.h"
#include "swf.h"

#define REST " -1 -1 -1 -1 -1 -1 -1 -1 -1 -1" /* fields 9 to 18 */

/* A reader of these bytes, from a file that is only in memory. */
static struct swf_reader *read_bytes(const void *bytes, size_t size)
{
    struct swf_reader *reader = NULL;
    const int fd = memfd_create("log", MFD_CLOEXEC);

    cr_assert(fd >= 0);
    cr_assert(write(fd, bytes, size) == (ssize_t)size);
    cr_assert(lseek(fd, 0, SEEK_SET) == 0);
    cr_assert_eq(swf_open_fd(fd, &reader), 0);
    return reader;
}

static struct swf_reader *read_text(const char *text)
{
    return read_bytes(text, strlen(text));
}

/* One line alone must give this result, with these words in the reason of a malformed one. */
static void expect_line(const char *line, enum swf_result expected, const char *words)
{
    struct swf_reader *reader = read_text(line);
    struct swf_job job;
    const enum swf_result result = swf_next(reader, &job);

    cr_assert(result == expected, "'%s' gave %d", line, (int)result);
    if (expected == SWF_MALFORMED) {
        cr_assert(strstr(swf_reason(reader), words) != NULL, "'%s' gave '%s'", line,
                  swf_reason(reader));
        cr_assert_eq(swf_line(reader), 1u);
    }
    cr_assert_eq(swf_next(reader, &job), SWF_END);
    swf_close(reader);
}

static size_t compress_gzip(const void *bytes, size_t size, unsigned char *out, size_t capacity)
{
    z_stream stream = {.next_out = out, .avail_out = (uInt)capacity};
    unsigned char copy[1 << 16];

    cr_assert(size <= sizeof(copy));
    memcpy(copy, bytes, size);
    stream.next_in = copy;
    stream.avail_in = (uInt)size;
    cr_assert_eq(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    cr_assert_eq(deflate(&stream, Z_FINISH), Z_STREAM_END);
    deflateEnd(&stream);
    return capacity - stream.avail_out;
}

Test(swf, a_job_line_gives_its_fields)
{
    struct swf_reader *reader = read_text("; a comment\n\n  7\t100 -1 60 -1 2.5 -1 16" REST "\n");
    struct swf_job job;

    cr_assert_eq(swf_next(reader, &job), SWF_JOB);
    cr_assert_eq(job.line, 3u);
    cr_assert_eq(job.number, 7);
    cr_assert_eq(job.submit_s, 100);
    cr_assert_eq(job.run_s, 60);
    cr_assert_eq(job.processors, -1);
    cr_assert_eq(job.requested_processors, 16);
    cr_assert_eq(swf_next(reader, &job), SWF_END);
    cr_assert_eq(swf_next(reader, &job), SWF_END);
    swf_close(reader);
}

Test(swf, a_last_line_needs_no_end_and_crlf_is_one)
{
    struct swf_reader *reader =
        read_text("1 0 -1 5 1 -1 -1 1" REST "\r\n\r\n2 3 -1 5 1 -1 -1 1" REST);
    struct swf_job job;

    cr_assert_eq(swf_next(reader, &job), SWF_JOB);
    cr_assert_eq(job.number, 1);
    cr_assert_eq(swf_next(reader, &job), SWF_JOB);
    cr_assert_eq(job.number, 2);
    cr_assert_eq(job.line, 3u);
    cr_assert_eq(swf_next(reader, &job), SWF_END);
    swf_close(reader);
}

Test(swf, headers_are_read_and_the_first_holds)
{
    struct swf_reader *reader = read_text("; MaxNodes: 64 (of two kinds)\n;maxprocs :128\r\n"
                                          "; MaxProcs: 4\n; MaxProcsOther: 9\n");
    struct swf_job job;

    cr_assert_eq(swf_next(reader, &job), SWF_END);
    cr_assert_eq(swf_header(reader)->max_procs, 128u);
    cr_assert_eq(swf_header(reader)->max_nodes, 64u);
    swf_close(reader);
}

Test(swf, a_header_without_a_number_above_zero_says_nothing)
{
    struct swf_reader *reader = read_text("; MaxProcs: many\n; MaxProcs: 0\n; MaxProcs: -1\n"
                                          "; MaxProcs 5\n; MaxProcs: 99999999999999999999999\n");
    struct swf_job job;

    cr_assert_eq(swf_next(reader, &job), SWF_END);
    cr_assert_eq(swf_header(reader)->max_procs, 0u);
    swf_close(reader);
}

Test(swf, malformed_lines_say_why)
{
    expect_line("1 0 -1 5 1 -1 -1 1 -1 -1 -1 -1 -1 -1 -1 -1 -1", SWF_MALFORMED, "17 fields");
    expect_line("1 0 -1 5 1 -1 -1 1" REST " 0", SWF_MALFORMED, "more than 18");
    expect_line("1 0 -1 5 1 -1 -1 1" REST " ; no", SWF_MALFORMED, "more than 18");
    expect_line("one 0 -1 5 1 -1 -1 1" REST, SWF_MALFORMED, "field 1 is not a number");
    expect_line("1 0 -1 5x 1 -1 -1 1" REST, SWF_MALFORMED, "field 4 is not a number");
    expect_line("1 0 - 5 1 -1 -1 1" REST, SWF_MALFORMED, "field 3 is not a number");
    expect_line("1 0 -1 1e3 1 -1 -1 1" REST, SWF_MALFORMED, "field 4 is not a number");
    expect_line("1 0 -1 nan 1 -1 -1 1" REST, SWF_MALFORMED, "field 4 is not a number");
    expect_line("1 -1 -1 5 1 -1 -1 1" REST, SWF_MALFORMED, "submit time");
    expect_line("-3 0 -1 5 1 -1 -1 1" REST, SWF_MALFORMED, "job number");
    expect_line("1 0 -1 5.5 1 -1 -1 1" REST, SWF_MALFORMED, "field 4 is not a whole");
}

Test(swf, decimals_are_taken_where_nothing_is_lost)
{
    expect_line("1 0 1.5 5 1 2.25 -0.5 1" REST, SWF_JOB, NULL);
    expect_line("1 0.0 -1 5.00 1. -1 -1 1" REST, SWF_JOB, NULL);
}

Test(swf, numbers_that_overflow_are_malformed)
{
    expect_line("1 0 -1 4000000000 1 -1 -1 1" REST, SWF_JOB, NULL);
    expect_line("1 0 -1 4000000001 1 -1 -1 1" REST, SWF_MALFORMED, "field 4 is beyond");
    expect_line("1 99999999999999999999999999999999999 -1 5 1 -1 -1 1" REST, SWF_MALFORMED,
                "field 2 is beyond");
    expect_line("1 0 -1 -18446744073709551617 1 -1 -1 1" REST, SWF_MALFORMED, "field 4 is beyond");
    /* A field that is not kept only has to be a number. */
    expect_line("1 0 99999999999999999999999999999999999 5 1 -1 -1 1" REST, SWF_JOB, NULL);
}

Test(swf, a_zero_byte_is_malformed_and_the_next_line_is_read)
{
    static const char text[] = "1 0 -1 5 1 -1 -1 1\0" REST "\n2 0 -1 5 1 -1 -1 1" REST "\n";
    struct swf_reader *reader = read_bytes(text, sizeof(text) - 1);
    struct swf_job job;

    cr_assert_eq(swf_next(reader, &job), SWF_MALFORMED);
    cr_assert(strstr(swf_reason(reader), "zero byte") != NULL);
    cr_assert_eq(swf_next(reader, &job), SWF_JOB);
    cr_assert_eq(job.number, 2);
    swf_close(reader);
}

/* A line padded to this many bytes, then an ordinary one. */
static enum swf_result read_padded(size_t size)
{
    static const char first[] = "1 0 -1 5 1 -1 -1 1" REST;
    static const char second[] = "\n2 0 -1 5 1 -1 -1 1" REST;
    char *text = malloc(size + sizeof(second));
    struct swf_job job;

    memset(text, ' ', size);
    memcpy(text, first, sizeof(first) - 1);
    memcpy(text + size, second, sizeof(second));
    struct swf_reader *reader = read_text(text);
    const enum swf_result result = swf_next(reader, &job);

    cr_assert_eq(swf_line(reader), 1u);
    cr_assert_eq(swf_next(reader, &job), SWF_JOB, "the line after %zu bytes", size);
    cr_assert_eq(job.number, 2);
    cr_assert_eq(job.line, 2u);
    swf_close(reader);
    free(text);
    return result;
}

Test(swf, an_overlong_line_is_malformed_and_the_next_line_is_read)
{
    cr_assert_eq(read_padded(SWF_LINE_MAX), SWF_JOB);
    cr_assert_eq(read_padded(SWF_LINE_MAX + 1), SWF_MALFORMED);
    cr_assert_eq(read_padded(SWF_LINE_MAX + 2), SWF_MALFORMED);
    cr_assert_eq(read_padded(3 * 65536 + 7), SWF_MALFORMED);
}

Test(swf, a_comment_may_be_of_any_length)
{
    char *text = malloc(200001);
    struct swf_job job;

    memset(text, 'x', 200000);
    memcpy(text, "; MaxProcs: 12 ", 15);
    text[200000] = '\0';
    struct swf_reader *reader = read_text(text);
    cr_assert_eq(swf_next(reader, &job), SWF_END);
    cr_assert_eq(swf_header(reader)->max_procs, 12u);
    swf_close(reader);
    free(text);
}

/* Lines cross the edges of the reader's chunks at every offset that 40,000 lines bring. */
Test(swf, every_line_of_a_long_log_is_read_once)
{
    char *text = malloc(40000 * 64);
    size_t size = 0;
    struct swf_job job;

    for (int i = 0; i < 40000; i++)
        size += (size_t)sprintf(text + size, "%d %d -1 5 1 -1 -1 1" REST "\n", i + 1, 3 * i);
    struct swf_reader *reader = read_bytes(text, size);

    for (int i = 0; i < 40000; i++) {
        cr_assert_eq(swf_next(reader, &job), SWF_JOB);
        cr_assert(job.number == i + 1 && job.submit_s == 3 * i, "line %d", i + 1);
    }
    cr_assert_eq(swf_next(reader, &job), SWF_END);
    swf_close(reader);
    free(text);
}

Test(swf, gzip_is_read_and_a_truncated_one_fails_at_every_length)
{
    static const char text[] = "; MaxProcs: 9\n1 0 -1 5 1 -1 -1 1" REST "\n"
                               "2 10 -1 5 1 -1 -1 1" REST "\n";
    unsigned char bytes[512];
    const size_t size = compress_gzip(text, sizeof(text) - 1, bytes, sizeof(bytes));
    struct swf_job job;
    struct swf_reader *reader = read_bytes(bytes, size);

    cr_assert_eq(swf_next(reader, &job), SWF_JOB);
    cr_assert_eq(swf_next(reader, &job), SWF_JOB);
    cr_assert_eq(job.number, 2);
    cr_assert_eq(swf_next(reader, &job), SWF_END);
    cr_assert_eq(swf_header(reader)->max_procs, 9u);
    swf_close(reader);

    for (size_t cut = 2; cut < size; cut++) {
        enum swf_result result;

        reader = read_bytes(bytes, cut);
        do {
            result = swf_next(reader, &job);
        } while (result == SWF_JOB);
        cr_assert(result == SWF_FAILED, "cut at %zu gave %d", cut, (int)result);
        cr_assert(strstr(swf_reason(reader), "truncated") != NULL, "%s", swf_reason(reader));
        cr_assert_eq(swf_next(reader, &job), SWF_FAILED);
        swf_close(reader);
    }
}

Test(swf, damaged_gzip_fails)
{
    static const char text[] = "1 0 -1 5 1 -1 -1 1" REST "\n";
    unsigned char bytes[512];
    const size_t size = compress_gzip(text, sizeof(text) - 1, bytes, sizeof(bytes));
    struct swf_job job;
    enum swf_result result;

    bytes[size - 6] ^= 0x40; /* in the check sum */
    struct swf_reader *reader = read_bytes(bytes, size);
    do {
        result = swf_next(reader, &job);
    } while (result == SWF_JOB);
    cr_assert_eq(result, SWF_FAILED);
    cr_assert(strstr(swf_reason(reader), "damaged") != NULL, "%s", swf_reason(reader));
    swf_close(reader);
}

Test(swf, what_cannot_be_opened_or_read_is_an_error)
{
    struct swf_reader *reader = NULL;
    struct swf_job job;

    cr_assert_eq(swf_open("/nonexistent/log.swf", &reader), -ENOENT);
    cr_assert_eq(swf_open("/", &reader), 0);
    cr_assert_eq(swf_next(reader, &job), SWF_FAILED);
    cr_assert(strstr(swf_reason(reader), "cannot be read") != NULL, "%s", swf_reason(reader));
    swf_close(reader);
}

Test(swf, an_empty_log_ends_at_once)
{
    struct swf_reader *reader = read_text("");
    struct swf_job job;

    cr_assert_eq(swf_next(reader, &job), SWF_END);
    swf_close(reader);
}

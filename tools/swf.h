/*
 * swf.h - reader of job logs in the Standard Workload Format, plain or gzip.
 *
 * The format is that of the Parallel Workloads Archive, version 2.2: a job is a line of 18 numbers
 * apart from each other by blanks, -1 where a value is not known; a line that begins with ';' is a
 * comment, and some comments are headers ("; MaxProcs: 128"). Of the 18 this reader keeps what a
 * scheduler needs, but all of them must be numbers.
 *
 * The decision a reader would question: nothing is guessed. A line that is not exactly that is
 * malformed and says why; whether the rest goes on is the caller's choice. The numbers that are
 * kept must be whole, because a schedule is made of whole seconds and processors; the others may
 * have decimals, as average times do. Comments never are malformed, since they are for people.
 *
 * Owner: one thread. Limits: SWF_LINE_MAX, SWF_VALUE_MAX; one buffer, whatever the size of the log.
 * Only this module uses zlib. It uses nothing else of Pawl.
 */
#ifndef PAWL_TOOLS_SWF_H
#define PAWL_TOOLS_SWF_H

#include <stddef.h>
#include <stdint.h>

#define SWF_LINE_MAX 4096u /* bytes of a line of numbers, its end not counted */

/* The largest number kept, so that times can be added in 64 bits: 126 years in seconds, and above
 * the Unix times of this century, which some logs have for their submit times. */
#define SWF_VALUE_MAX INT64_C(4000000000)

/* Field numbers as the format counts them, from 1. */
#define SWF_FIELDS 18

/* -1: not known. Other negative values are passed on as they are. */
struct swf_job {
    uint64_t line;                /* where it stood, from 1 */
    int64_t number;               /* field 1, never negative */
    int64_t submit_s;             /* field 2, never negative */
    int64_t run_s;                /* field 4 */
    int64_t processors;           /* field 5 */
    int64_t requested_processors; /* field 8 */
};

/* What the comments have said so far; 0: nothing. The first of several holds. */
struct swf_header {
    uint64_t max_procs;
    uint64_t max_nodes;
};

enum swf_result {
    SWF_JOB,       /* *job is filled */
    SWF_MALFORMED, /* swf_line and swf_reason say where and why; reading can go on */
    SWF_END,       /* all of the log was read */
    SWF_FAILED,    /* the file cannot be read on; swf_reason says why */
};

struct swf_reader;

/*
 * swf_open - begin to read a file. swf_open_fd - the same for an open file, which it takes over,
 * even if it fails. Both: 0, or a negative errno. swf_close frees.
 */
int swf_open(const char *path, struct swf_reader **reader);
int swf_open_fd(int fd, struct swf_reader **reader);
void swf_close(struct swf_reader *reader);

/* swf_next - the next line that is not a comment and not empty. */
enum swf_result swf_next(struct swf_reader *reader, struct swf_job *job);

/* The number of the line last read, from 1, and what was wrong with it; valid until swf_next. */
uint64_t swf_line(const struct swf_reader *reader);
const char *swf_reason(const struct swf_reader *reader);

const struct swf_header *swf_header(const struct swf_reader *reader);

#endif /* PAWL_TOOLS_SWF_H */

/*
 * fuzz_swf.c - any bytes at all as a job log, plain or gzip: the reader must neither crash nor break
 * what it promises of the jobs and lines it hands out.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"
#include "swf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_job(const struct swf_reader *reader, const struct swf_job *job)
{
    CHECK(job->line == swf_line(reader));
    CHECK(job->number >= 0 && job->number <= SWF_VALUE_MAX);
    CHECK(job->submit_s >= 0 && job->submit_s <= SWF_VALUE_MAX);
    CHECK(job->run_s >= -SWF_VALUE_MAX && job->run_s <= SWF_VALUE_MAX);
    CHECK(job->processors >= -SWF_VALUE_MAX && job->processors <= SWF_VALUE_MAX);
    CHECK(job->requested_processors >= -SWF_VALUE_MAX &&
          job->requested_processors <= SWF_VALUE_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const int fd = memfd_create("log", MFD_CLOEXEC);
    struct swf_reader *reader = NULL;
    struct swf_job job;
    uint64_t line = 0;
    enum swf_result result;

    if (fd < 0 || write(fd, data, size) != (ssize_t)size || lseek(fd, 0, SEEK_SET) != 0)
        abort();
    CHECK(swf_open_fd(fd, &reader) == 0);
    while ((result = swf_next(reader, &job)) == SWF_JOB || result == SWF_MALFORMED) {
        CHECK(swf_line(reader) > line);
        line = swf_line(reader);
        if (result == SWF_JOB)
            check_job(reader, &job);
        else
            CHECK(strlen(swf_reason(reader)) > 0);
    }
    CHECK(swf_next(reader, &job) == result);
    swf_close(reader);
    return 0;
}

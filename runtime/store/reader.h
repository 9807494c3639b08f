/*
 * reader.h - reads one journal or snapshot file frame by frame, believing nothing (store/format.h
 * says when a frame is valid), and says what follows the last valid one.
 *
 * Layer: store. Owner: one thread at a time. The frame handed out lies in the reader's buffer,
 * which is filled in large pieces ahead, and is valid until the next call. Limits: files of
 * FILE_BYTES_MAX.
 */
#ifndef PAWL_STORE_READER_H
#define PAWL_STORE_READER_H

#include <pawl/seams.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/files.h"
#include "store/format.h"

enum reader_result {
    READER_FRAME,   /* *frame is the next valid frame */
    READER_SEALED,  /* the seal is there and right: the end */
    READER_END,     /* zeroes to the end of the file: nothing more was written */
    READER_TORN,    /* by the rules of format.h, what follows was never acknowledged */
    READER_CORRUPT, /* it may have been: reader->what, ->where say why */
    READER_FAILED,  /* the storage gave reader->error */
};

struct reader_frame {
    struct frame_header header;
    const void *payload; /* header.size bytes; entries checked if the type is FRAME_STEPS */
    uint64_t offset;     /* of the frame's header in the file */
};

struct reader {
    const struct pawl_storage *storage;
    void *file;
    struct file_header header; /* valid after open */
    uint64_t size;             /* of the file */
    uint64_t offset;           /* behind the last valid frame */
    uint64_t lsn;              /* of the next frame */
    uint32_t previous_crc;     /* it must continue */
    uint32_t chain_crc;        /* what the frame chain_lsn continued */
    uint64_t chain_lsn;        /* first of an open chain of FRAME_MORE; 0: none is open */
    uint64_t frames;           /* valid ones so far, the seal not counted */
    uint64_t durable_lsn;      /* the highest that a valid frame has said */
    int error;                 /* READER_FAILED */
    enum reader_result result; /* READER_FRAME until the end is reached */
    uint64_t where;            /* READER_TORN, READER_CORRUPT: offset */
    uint64_t end;              /* READER_TORN: behind the last 8 bytes that are not zero */
    char what[192];            /* READER_TORN, READER_CORRUPT, READER_FAILED: a sentence */
    uint8_t *buffer;           /* reader.c's own */
    uint64_t buffer_offset;
    size_t buffer_bytes;
    size_t buffer_capacity;
};

/*
 * pawl__reader_open - opens the file that `name` says, in directory, and checks its header against
 * the name and `store` (0: any). 0; -EBADMSG with reader->what (a foreign or damaged header; a file
 * shorter than its header); -ENOMEM; the storage's error. On an error nothing is left open.
 */
int pawl__reader_open(struct reader *reader, const struct pawl_storage *storage,
                      const char *directory, const struct store_file *name, uint64_t store);
void pawl__reader_close(struct reader *reader);

/*
 * The next frame. A seal is not handed out: READER_SEALED. Once the result is not READER_FRAME it
 * stays. A snapshot has one good end, READER_SEALED; READER_END and READER_TORN are said of
 * journals only, as if the file were the last of its journal.
 */
enum reader_result pawl__reader_next(struct reader *reader, struct reader_frame *frame);

/* ---- A shard's whole journal ----------------------------------------------------------------- */

/*
 * The files of one shard from one on, as one sequence. Checks what no single file shows (format.h,
 * "From file to file"): numbers without a gap, each file continuing the LSNs and CRCs of the one
 * before, and the place at which a later epoch went on. What lies behind that place in an earlier
 * file was never acknowledged and is passed over.
 */
struct journal_file {
    uint64_t first_lsn;
    uint64_t epoch;
    uint64_t stop_lsn; /* the least first_lsn of all later files: frames from here on are void */
    uint32_t previous_crc;
};

struct journal_reader {
    struct reader reader;
    const struct pawl_storage *storage;
    const char *directory;
    const struct store_file *files; /* of this shard's journal, in order; the caller's */
    size_t files_count;             /* those that were never begun, at the end, left out */
    size_t at;                      /* which of them is being read */
    uint64_t store;
    bool open;
    uint64_t bytes; /* read so far, for progress */
    enum reader_result result;
    uint64_t bytes_before; /* of the files before */
    struct journal_file *parts;
    char what[448]; /* READER_CORRUPT, READER_FAILED: file, offset, reason, and what to do */
};

/*
 * Reads the headers of all files. 0; -EBADMSG with journal->what; -ENOMEM; the storage's error with
 * journal->what. On an error nothing is left open.
 */
int pawl__journal_reader_open(struct journal_reader *journal, const struct pawl_storage *storage,
                              const char *directory, const struct store_file *files,
                              size_t files_count, uint64_t store);

/*
 * READER_FRAME, or how the journal ends: SEALED, END, TORN are all good ends; what was read is the
 * journal. READER_CORRUPT with journal->what. After a good end journal->reader has lsn and
 * previous_crc of the next frame (0 and 0 where there is no file at all). Frames at the end that
 * lack the last of their chain (FRAME_MORE) do not count: lsn is then that of the first of them,
 * though they were handed out.
 */
enum reader_result pawl__journal_reader_next(struct journal_reader *journal,
                                             struct reader_frame *frame);
void pawl__journal_reader_close(struct journal_reader *journal);

#endif /* PAWL_STORE_READER_H */

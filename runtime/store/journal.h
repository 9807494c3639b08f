/*
 * journal.h - the writing side of one shard's journal and snapshots.
 *
 * Layer: store. Two sides:
 *   the shard  fills journal->steps and journal->images (store/stream.h), reads durable,
 *              limit_bytes and failed
 *   the pump   pawl__journal_pump: a plain function that never waits for a group, called again and
 *              again by whoever does the shard's I/O: an I/O thread, or the turn in the host-driven
 *              mode
 *
 * The pump begins files, finishes and submits groups, several at once, seals full files, prepares
 * the next ones ahead, writes snapshots, reads them back, and cuts what is no longer needed.
 *
 * A frame is durable when its group and all groups before it are written: `durable`, the serial of
 * the last such frame, grows by prefixes. An error of a write or a sync is final: `failed` is set,
 * nothing is written any more.
 *
 * Snapshots: the shard sets SNAPSHOT_BEGUN between two frames, fills `images`, then sets
 * `images_end` and SNAPSHOT_WALKED; the pump seals the file, reads it back, waits until the journal
 * is durable up to images_end (images may show steps up to there), renames, syncs the directory,
 * cuts the journal, and sets SNAPSHOT_NONE. The snapshot's base_lsn is that of the last frame that
 * the pump had submitted when it saw BEGUN: maybe earlier than the moment at which the shard set
 * it, never later, and earlier does no harm (store/entry.h).
 *
 * Ordering: (J1) durable, limit_bytes, full, can_cut, failed stored, release -> (J2) loaded by the
 *           shard, acquire.
 *           (J3) snapshot_stage stored, release, with the fields that belong to the stage -> (J4)
 *           loaded, acquire. The shard stores (J3) BEGUN before it hands over a group with a later
 *           frame (G1), and the pump looks at `handed` (G2) before it looks at the stage: groups
 *           that it submits before it has seen BEGUN hold no later frame.
 */
#ifndef PAWL_STORE_JOURNAL_H
#define PAWL_STORE_JOURNAL_H

#include <pawl/seams.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/atomic.h"
#include "host/park.h"
#include "store/files.h"
#include "store/format.h"
#include "store/reader.h"
#include "store/stream.h"

#define JOURNAL_WRITES_MAX 64u

/* What a write of the queue was; high half of its tag, beside the shard. */
enum journal_write {
    WRITE_STEPS,
    WRITE_STEPS_BLOCK, /* header or seal */
    WRITE_IMAGES,
    WRITE_IMAGES_BLOCK,
    WRITE_ZEROES,
};

/* The storage's queue, which several journals of one I/O thread share. Owner: the pump. */
struct journal_queue {
    void *queue; /* NULL: writes are waited for */
    unsigned depth;
    unsigned used; /* writes under way */
};

enum writer_stage {
    WRITER_NONE,    /* no file */
    WRITER_HEADER,  /* the header is being written */
    WRITER_OPEN,    /* groups may be written */
    WRITER_FULL,    /* to be sealed when all groups are durable */
    WRITER_SEALING, /* the seal is being written */
    WRITER_SEALED,
};

/* A file that takes the groups of a stream. P: the pump. */
struct writer {
    struct stream *stream; /* I */
    uint16_t kind;         /* I: enum file_kind */
    enum writer_stage stage;
    void *file;
    uint64_t number;
    uint64_t capacity; /* bytes; soft: a file takes at least one group */
    uint64_t offset;   /* of the next group */
    uint64_t frames;
    uint64_t next_lsn;
    uint64_t durable_lsn;
    uint32_t previous_crc;
    uint32_t in_flight;       /* groups */
    uint64_t in_flight_bytes; /* of all groups from `finished` on that were submitted */
    uint64_t submitted;       /* groups before this number were */
    uint64_t submitted_bytes; /* in whole blocks */
    uint64_t finished;        /* all groups before this number are durable */
    uint64_t done;            /* bit i: group `finished` + i is */
    uint64_t time_ns;         /* of the last frame */
    uint8_t *block;           /* STORE_BLOCK bytes for header and seal */
};

enum snapshot_stage { SNAPSHOT_NONE, SNAPSHOT_BEGUN, SNAPSHOT_WALKED };

/* What the pump does with a snapshot; P. */
enum snapshot_step {
    SNAPSHOT_STEP_NONE,
    SNAPSHOT_STEP_OPEN,
    SNAPSHOT_STEP_WRITE,
    SNAPSHOT_STEP_CHECK,
    SNAPSHOT_STEP_AWAIT,
    SNAPSHOT_STEP_DROP, /* it failed: groups are thrown away until the shard's walk has ended */
};

struct journal_options {
    const struct pawl_storage *storage;
    const struct pawl_clock *clock;
    const char *directory;
    uint64_t store;
    uint32_t set;
    uint32_t shard;
    uint64_t epoch;
    uint64_t segment_bytes;
    uint64_t quota_bytes; /* 0: none */
    unsigned writes_max;
    uint64_t next_lsn;
    uint32_t previous_crc;
    uint64_t next_file;
    uint64_t next_snapshot;
    uint64_t cut_file;     /* base_file of the newest snapshot that is whole; 0: none */
    uint64_t cut_snapshot; /* its number */
    uint64_t disk_bytes;   /* of this shard's files */
    struct park *wake;     /* of the shard */
    struct pages_stats *pages;
};

/* Field owners: I set once; S the shard; P the pump. */
struct journal {
    struct journal_options options; /* I */
    struct journal_queue *queue;    /* I: of whoever pumps */
    struct stream steps;            /* its S side: the shard; its P side: the pump */
    struct stream images;
    struct writer steps_writer; /* P */
    struct writer images_writer;

    /*
     * Files that are filled with zeroes and wait: numbers spare_first .. spare_first + spare_count
     * - 1. P.
     */
    uint64_t spare_first;
    uint64_t spare_count;
    void *spare_file; /* under way, number spare_first + spare_count; NULL: none */
    uint64_t spare_bytes;
    bool spare_writing;
    uint64_t spare_retry_ns; /* not before; after the disk was full */
    uint64_t disk_bytes;     /* of all files of this shard */

    /* Snapshot. */
    enum snapshot_step snapshot_step;   /* P */
    uint64_t snapshot_number;           /* P: of the one under way, or the next */
    uint64_t snapshot_base_file;        /* P */
    uint64_t snapshot_base_lsn;         /* P */
    uint64_t cut_file;                  /* P: base_file of the newest whole snapshot; 0: none */
    uint64_t cut_snapshot;              /* P: its number */
    struct reader check;                /* P */
    bool checking;                      /* P: `check` is open */
    int images_error;                   /* P: of a write of the snapshot under way; 0: none */
    uint64_t first_file;                /* P: the oldest journal file that is kept */
    uint64_t images_end;                /* S: a serial, handed over with snapshot_stage */
    _Atomic uint32_t snapshot_stage;    /* S: NONE -> BEGUN -> WALKED; P: -> NONE */
    _Atomic uint64_t snapshots;         /* P: finished */
    _Atomic uint64_t snapshot_bytes;    /* P: of the last */
    _Atomic uint64_t snapshots_dropped; /* P */
    _Atomic int snapshot_error;         /* P: of the last one dropped */
    _Atomic uint32_t can_cut;           /* P: snapshots would make room: older files can go */

    _Atomic uint64_t reserve_bytes;                    /* S: room to be kept for ends */
    _Alignas(2 * CACHE_LINE) _Atomic uint64_t durable; /* P: a serial */
    _Atomic uint64_t limit_bytes; /* P: what stream.bytes of `steps` can grow to */
    _Atomic uint32_t full; /* P: limit_bytes cannot grow: no room on the disk, or the quota */
    _Atomic int failed;    /* P: 0 or -errno */
    char what[192];        /* P: before `failed` */
};

/* No file is touched. groups: buffers of the journal; -ENOMEM. */
int pawl__journal_init(struct journal *journal, const struct journal_options *options);

/*
 * Closes files and frees memory; nothing is under way (pawl__journal_idle, or the queue was
 * closed).
 */
void pawl__journal_fini(struct journal *journal);

/*
 * Makes and begins the first file, and writes what was handed over, by writes that are waited for;
 * before the journal has a queue. 0 or -errno: -ENOSPC where there is no room for a file.
 */
int pawl__journal_begin(struct journal *journal);

/* One bounded round. True: something was done, or there is more to do at once. */
bool pawl__journal_pump(struct journal *journal);

/* The end of a write with this journal's tag. */
void pawl__journal_done(struct journal *journal, uint64_t tag, int64_t result);

/* Nothing is under way and nothing waits. P. */
bool pawl__journal_is_idle(const struct journal *journal);

/* Seals the file under way, when all is durable: an epoch closed in order. P. */
void pawl__journal_seal(struct journal *journal);

/* Whether the pump has something that it could do now; for the look before sleep. P. */
bool pawl__journal_has_work(const struct journal *journal);

/* Latches the journal. P. */
void pawl__journal_fail(struct journal *journal, int error, const char *action, const char *name);

/*
 * images.c: what the store has of this shard, before the first pump: its oldest file, and the size
 * of its newest snapshot. Returns the bytes of the journal's files behind that snapshot's base; 0
 * where they cannot be looked at.
 */
uint64_t pawl__images_find(struct journal *journal);

/* Whether snapshots would make room is told again: a file was begun or cut. */
void pawl__images_publish(struct journal *journal);

/* images.c: the pump's part in snapshots. True: something was done, or could be. */
bool pawl__images_pump(struct journal *journal);
bool pawl__images_has_work(const struct journal *journal);

/* Starts a write that journal_done will end; the queue has room. */
void pawl__journal_write(struct journal *journal, void *file, const void *bytes, size_t size,
                         uint64_t offset, uint64_t tag);

static inline bool journal_queue_has_room(const struct journal *journal)
{
    return journal->queue->used < journal->queue->depth;
}

/*
 * Whether a group before number `handed` can be written now. What is under way lies within
 * JOURNAL_INFLIGHT_MAX bytes, those among it that have ended included: a reader takes what is
 * missing farther from the end for damage. And `done` has a bit for each.
 */
static inline bool writer_may_submit(const struct journal *journal, const struct writer *writer,
                                     uint64_t handed, unsigned writes_max)
{
    return writer->stage == WRITER_OPEN && writer->submitted < handed &&
           writer->in_flight < writes_max &&
           writer->submitted - writer->finished < JOURNAL_WRITES_MAX &&
           writer->in_flight_bytes + GROUP_BYTES <= JOURNAL_INFLIGHT_MAX &&
           journal_queue_has_room(journal);
}

/*
 * writer.c: one file.
 *
 * writer_begin, writer_seal - start to write the header, the seal; the queue has room.
 * writer_submit - starts as many of the groups before number `handed` as may be under way; true if
 *   any, or if the file is full now.
 * writer_done - one of its writes has ended well; true if more groups are durable than before.
 */
int pawl__writer_init(struct writer *writer, struct stream *stream, uint16_t kind);
void pawl__writer_fini(struct writer *writer, const struct pawl_storage *storage);
void pawl__writer_begin(struct journal *journal, struct writer *writer, void *file, uint64_t number,
                        uint64_t base_lsn, uint64_t base_file);
bool pawl__writer_submit(struct journal *journal, struct writer *writer, uint64_t handed,
                         unsigned writes_max);
void pawl__writer_seal(struct journal *journal, struct writer *writer);
bool pawl__writer_done(struct writer *writer, uint64_t tag);
/* How many bytes the write with this tag was to write. */
uint64_t pawl__writer_size(const struct journal *journal, uint64_t tag);
void pawl__writer_close(struct journal *journal, struct writer *writer);

/* The full path of one of this shard's files. */
void pawl__journal_path(const struct journal *journal, uint16_t kind, uint64_t number, bool is_new,
                        char path[STORE_PATH_MAX]);

static inline uint64_t journal_tag(const struct journal *journal, enum journal_write write,
                                   uint64_t group)
{
    return (uint64_t)journal->options.shard << 48 | (uint64_t)write << 40 |
           (group & UINT64_C(0xffffffffff));
}

static inline uint32_t tag_shard(uint64_t tag)
{
    return (uint32_t)(tag >> 48);
}

static inline enum journal_write tag_write(uint64_t tag)
{
    return (enum journal_write)(tag >> 40 & 0xff);
}

#endif /* PAWL_STORE_JOURNAL_H */

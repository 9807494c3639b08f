/*
 * stress_ack.h - the acknowledgement log of `pawl stress --durable`: what the runtime has said is
 * safe, kept in a file outside the store, so that after any crash the store can be held to it.
 *
 * A record is written with write(2) before the run counts what it says: it survives the end of the
 * process, however that comes. It is not synced: what survives a loss of power is the simulator's
 * business (`pawl sim`). Records are appended by any thread; each is whole or, where a process was
 * killed within a write, passed over: a reader looks for the next whole one, byte by byte.
 *
 * The file is a head of 96 bytes and records of 32, all little-endian, CRC is CRC32C. Records
 * marked firm were known to be on stable storage when they were written: they are what a run begins
 * with.
 *
 * excess: async steps that a crash takes back are made again, though other shards may have seen
 * them; and an event for which a full disk leaves no room is dropped, and told.
 */
#ifndef PAWL_TOOLS_STRESS_ACK_H
#define PAWL_TOOLS_STRESS_ACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ACK_MAGIC        "PAWLACKS"
#define ACK_VERSION      1u
#define ACK_RECORD_MAGIC 0x6b634150u /* "PAck" */

struct ack_head {
    char magic[8];
    uint32_t crc; /* of all that follows */
    uint32_t version;
    uint64_t seed;
    uint64_t window_ns;
    int64_t excess; /* tokens that were doubled, less those dropped; see below */
    uint32_t accounts;
    uint32_t guests;
    uint32_t tokens;     /* an account begins with */
    uint32_t durability; /* enum pawl_durability */
    uint32_t shards;     /* of the run that writes; 0: none has yet got so far */
    uint32_t runs;       /* begun, with this one */
    uint32_t loose;      /* 1: a crash may have taken back steps that others had seen */
    uint32_t unanswered; /* replies that were dropped */
    uint8_t zeroes[24];
};
_Static_assert(sizeof(struct ack_head) == 96, "as the page above says");

enum ack_kind {
    ACK_ORDER = 1, /* account `index` has handled order `number`; 0: it was opened */
    ACK_URGENT,    /* likewise of urgent orders */
    ACK_SEEN,      /* a memory-only task was told that it has */
    ACK_COMING,    /* guest `index` is going to be created for the time `number` */
    ACK_CAME,
    ACK_LEAVING, /* is going to be ended */
    ACK_LEFT,
    ACK_RETRY,   /* a run has recovered the store and may have changed it since */
    ACK_DROPPED, /* a gift of `number` tokens was not handled for want of room; 0: a reply */
};
#define ACK_KINDS 9u

struct ack_record {
    uint32_t magic;
    uint32_t crc; /* of all that follows */
    uint16_t kind;
    uint16_t firm;
    uint32_t index;
    uint32_t number;
    uint16_t teller;
    uint16_t shard;
    uint64_t time_ns; /* CLOCK_MONOTONIC */
};
_Static_assert(sizeof(struct ack_record) == 32, "as the page above says");

/*
 * ack_create - begins a log under the name path.new. ack_publish - gives it its own name, in place
 * of one that is there, once all that was written to it is safe. Until then a log that is there
 * stays.
 * ack_append - seals and writes records; 0 or -errno: then it is unknown which of them are there.
 * All return 0 (ack_create: a descriptor) or -errno.
 */
int ack_create(const char *path, const struct ack_head *head);
int ack_publish(const char *path, int fd);
int ack_append(int fd, struct ack_record *records, size_t count);

/* A log as it lies in memory. */
struct ack_log {
    struct ack_head head;
    unsigned char *bytes;
    size_t size;
    uint64_t torn; /* stretches of bytes that are no record, seen by the last reading to the end */
};

/* ack_load - -ENOENT: no such file; -EBADMSG: no log; or another error. */
int ack_load(const char *path, struct ack_log *log);
void ack_unload(struct ack_log *log);
/* ack_next - the next record from *at on, which begins as 0; false: there is none. */
bool ack_next(struct ack_log *log, size_t *at, struct ack_record *record);

#endif /* PAWL_TOOLS_STRESS_ACK_H */

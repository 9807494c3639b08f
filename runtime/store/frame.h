/*
 * frame.h - fills, seals and checks the headers of files and frames (store/format.h), for whoever
 * writes them and whoever reads them.
 *
 * Layer: store. Thread: any. A check returns NULL, or a sentence without a full stop that says what
 * is wrong; the caller adds which file and where.
 */
#ifndef PAWL_STORE_FRAME_H
#define PAWL_STORE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/files.h"
#include "store/format.h"

/* Sets magic, version, zeroes and crc; all other fields are the caller's. */
void pawl__file_header_seal(struct file_header *header);

/*
 * Whether the header is whole and that of the file called `name` in the store `store` (0: any).
 * name NULL: any file.
 */
const char *pawl__file_header_check(const struct file_header *header, const struct store_file *name,
                                    uint64_t store);

/* Sets what says where the frame belongs: magic, version, store, set, shard, epoch, file, place. */
void pawl__frame_fill(struct frame_header *header, const struct file_header *file, uint64_t offset);

/*
 * Sets payload_crc, the count of zero sectors in flags, and header_crc; all other fields are there,
 * place too. payload: header->size bytes.
 */
void pawl__frame_seal(struct frame_header *header, const void *payload);

/* Whether magic, version and header_crc are right: condition 1 of format.h. */
bool pawl__frame_is_whole(const struct frame_header *header);

/*
 * Conditions 1, 2 and 4 of format.h, without "ends inside the file", for a header that lies at
 * offset.
 */
const char *pawl__frame_check(const struct frame_header *header, const struct file_header *file,
                              uint64_t offset);

/* Condition 5 without the entries: payload_crc. */
const char *pawl__frame_check_payload(const struct frame_header *header, const void *payload);

/*
 * Of how many sectors that a payload of `size` bytes at file offset `offset` touches its part is
 * all zeroes; at most FRAME_ZEROES_MAX.
 */
unsigned pawl__frame_zero_sectors(const void *payload, size_t size, uint64_t offset);

/* Whether all bytes are zero. */
bool pawl__is_zero(const void *bytes, size_t size);

static inline unsigned frame_zeroes(const struct frame_header *header)
{
    return header->flags >> FRAME_ZEROES_SHIFT;
}

/* From the frame's offset to the next frame of its group. */
static inline uint64_t frame_bytes(const struct frame_header *header)
{
    return sizeof(*header) + header->size;
}

#endif /* PAWL_STORE_FRAME_H */

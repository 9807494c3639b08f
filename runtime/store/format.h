/*
 * format.h - the bytes on disk. A stranger could write a reader from this page.
 *
 * Layer: store. All integers are little-endian; CRC is CRC32C (Castagnoli: reflected, start and
 * final xor 0xffffffff).
 *
 * A store is a directory:
 *   lock                            held (flock) by whoever has the store open
 *   manifest                        what the store is (store/manifest.h)
 *   SSSS-NNNN-FFFFFFFFFFFF.journal  set, shard and file number, in hexadecimal digits (lower case)
 *   SSSS-NNNN-FFFFFFFFFFFF.snapshot
 *   *.new                           begun and not yet valid; whoever opens the store removes them
 * The manifest names the set in force; files of other sets are leftovers of a rewrite (a change of
 * the number of shards, or a migration) and are removed by whoever opens the store.
 *
 * A journal or snapshot file is
 *   a file header, one block of 4096 bytes
 *   groups of frames; a group begins at a multiple of 4096 and is what one write carried
 *   zeroes to the end of the file (journals are filled with zeroes before they are used)
 * Frames of a group follow each other without a gap. After the last there are zeroes up to the next
 * multiple of 4096. A frame is a header of 80 bytes and `size` bytes of entries, a multiple of 8.
 *
 * file header                                  frame header
 *   0  magic            8  "PAWLFILE"            0  magic           4  "PWLF"
 *   8  crc              4  of bytes 12..4095     4  header_crc      4  of bytes 8..79
 *  12  version          2  FORMAT_VERSION        8  version         2  FORMAT_VERSION
 *  14  kind             2  enum file_kind       10  type            1  enum frame_type
 *  16  store            8  random, of the store 11  flags           1  FRAME_*
 *  24  set              4                       12  size            4  of the payload
 *  28  shard            4                       16  lsn             8
 *  32  epoch            8                       24  store           8
 *  40  file             8  the file's number    32  shard           2
 *  48  first_lsn        8                       34  set             2
 *  56  previous_crc     4  see below            36  epoch           4
 *  60  blocks           4  see below            40  previous_crc    4  the header_crc before
 *  64  base_lsn         8  snapshots            44  payload_crc     4
 *  72  base_file        8  snapshots            48  file            4  its number's low 32 bits
 *  80  wall_ns          8                       52  place           4  offset in the file / 8
 *  88  zeroes                                   56  durable_lsn     8
 *                                               64  time_ns         8  the shard's time (see below)
 *                                               72  wall_ns         8  since 1970; 0: no such clock
 *
 * A frame is valid if, in this order,
 *   1. magic, version and header_crc are right;
 *   2. store, set, shard, epoch and file are those of the file header, and place is where it lies
 *      (a misdirected or stale write is found here);
 *   3. lsn is that of the frame before plus 1, and previous_crc its header_crc: for the first frame
 *      of a file these are the header's first_lsn and previous_crc, which continue the file before;
 *   4. size is at most FRAME_PAYLOAD_MAX, a multiple of 8, and ends inside the file;
 *   5. payload_crc is the CRC of the payload, and its entries are well-formed (store/entry.h).
 *
 * LSNs number the frames of a shard's journal, from 1, without gaps, through all files and epochs.
 * Each opening of the store begins a new epoch and, with its first frame, a new file. A snapshot
 * file's frames have LSNs of their own, from 1; base_file is a file of the journal, durably begun
 * before the snapshot is, that holds what follows base_lsn, or the end of what is before (with
 * base_lsn or base_file 0 no journal need be there yet); its base_lsn is the journal's last LSN
 * whose effects it holds whole.
 *
 * A frame with FRAME_MORE is followed by others that belong to it; the last of them lacks the flag.
 * They take effect together or, if the last is missing at the end of the journal, not at all. They
 * may go on in the next file of the same epoch. The other seven bits of flags are a number: how
 * many of the 512-byte sectors of the file that the payload touches get nothing but zeroes from it
 * (127: that or more).
 *
 * From file to file
 *   - A journal file is begun by writing its header, which is durable before any frame of the file
 *     is written. Files are prepared ahead, under their names and full of zeroes: those at the end
 *     of a journal that are nothing but zeroes are no part of it yet. Numbers have no gap.
 *   - A file ends with a frame of type FRAME_SEAL (payload: struct seal), which has an LSN like any
 *     frame. It is durable before the next file of the same epoch is begun. A snapshot always ends
 *     with a seal.
 *   - Where an epoch ended without a seal, or with a chain of FRAME_MORE that lacks its last frame,
 *     the next epoch goes on behind the last frame that takes effect: its first file's first_lsn
 *     and previous_crc say where. Frames of earlier files with that LSN or higher ones are void.
 *
 * durable_lsn: at the time this frame was handed to the disk, all frames up to this LSN were
 * durable; it is below the frame's own. Frames are written with several groups under way, which lie
 * within JOURNAL_INFLIGHT_MAX bytes; after a crash a group may be missing or torn while one behind
 * it is whole. So what follows the last valid frame, whose end may be that of its group, is a torn
 * tail, which was never acknowledged, only if
 *   1. it is in the last file of the journal, unsealed;
 *   2. no frame header farther on that fulfils conditions 1, 2 and 4 says durable_lsn >= the
 *      missing LSN;
 *   3. all is zero farther on than JOURNAL_INFLIGHT_MAX behind the block in which the last valid
 *      frame ends;
 *   4. the sector in which the missing frame begins is all zeroes from there on; or the header is
 *      not whole and lies in two sectors of which the second is all zeroes; or the header is right,
 *      payload_crc is not, and more sectors get nothing but zeroes from the payload than its flags
 *      say (or 127 may): a disk writes a sector whole or not at all, and what was not written is
 *      zero;
 *   5. the file is not shorter than `blocks` of its header say (the length with which it was made,
 *      in blocks; 0: not said). Behind a seal, or where a later epoch went on, a cut does no harm.
 * Anything else is corruption, and the store is not opened. If all is zero, nothing more was
 * written.
 *
 * Where the missing frame begins: behind the last one, unless zeroes stand there. Then at the next
 * multiple of 4096; but if the zeroes fill the whole sector, and what stands at that multiple
 * neither is zero nor has a frame's magic or this store's id in its place, it is a frame's middle:
 * the frame began behind the last one. And if a later frame stands there, the missing one had its
 * place before it.
 *
 * Time. time_ns is the shard's time: nanoseconds for which the store has been open, in all epochs
 * together. It stands still while the store is closed: a timer keeps what remained of it.
 */
#ifndef PAWL_STORE_FORMAT_H
#define PAWL_STORE_FORMAT_H

#include <stdint.h>

#include "base/limits.h"

#define FORMAT_VERSION 1u

#define STORE_BLOCK  4096u /* = PAWL_STORAGE_BLOCK */
#define STORE_SECTOR 512u  /* what a disk writes whole or not at all */

#define FILE_MAGIC  "PAWLFILE"
#define FRAME_MAGIC 0x464c5750u /* "PWLF" */

#define FRAME_PAYLOAD_MAX    (256u << 10)
#define JOURNAL_INFLIGHT_MAX (8u << 20)
#define FILE_BYTES_MAX       (UINT64_C(32) << 30) /* frame places are offsets / 8 in 32 bits */

enum file_kind { FILE_JOURNAL = 1, FILE_SNAPSHOT = 2 };

struct file_header {
    char magic[8];
    uint32_t crc;
    uint16_t version;
    uint16_t kind;
    uint64_t store;
    uint32_t set;
    uint32_t shard;
    uint64_t epoch;
    uint64_t file;
    uint64_t first_lsn;
    uint32_t previous_crc;
    uint32_t blocks;
    uint64_t base_lsn;
    uint64_t base_file;
    uint64_t wall_ns;
    uint8_t zeroes[STORE_BLOCK - 88];
};
_Static_assert(sizeof(struct file_header) == STORE_BLOCK, "one block");

enum frame_type {
    FRAME_STEPS = 1,    /* entries (store/entry.h) */
    FRAME_SEAL = 2,     /* struct seal: nothing follows in this file */
    FRAME_MANIFEST = 3, /* store/manifest.h */
};

#define FRAME_MORE 0x01u

/* The number in the other bits of flags; pawl__frame_seal sets it. */
#define FRAME_ZEROES_SHIFT 1
#define FRAME_ZEROES_MAX   127u
#define FRAME_ZEROES_MASK  (FRAME_ZEROES_MAX << FRAME_ZEROES_SHIFT)

struct frame_header {
    uint32_t magic;
    uint32_t header_crc;
    uint16_t version;
    uint8_t type;
    uint8_t flags;
    uint32_t size;
    uint64_t lsn;
    uint64_t store;
    uint16_t shard;
    uint16_t set;
    uint32_t epoch;
    uint32_t previous_crc;
    uint32_t payload_crc;
    uint32_t file;
    uint32_t place;
    uint64_t durable_lsn;
    uint64_t time_ns;
    uint64_t wall_ns;
};
_Static_assert(sizeof(struct frame_header) == 80, "no padding");

struct seal {
    uint64_t frames;   /* of this file, the seal not counted */
    uint64_t last_lsn; /* of the frame before the seal; first_lsn - 1 where there is none */
};

#endif /* PAWL_STORE_FORMAT_H */

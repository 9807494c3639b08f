/*
 * frame.c - the headers' rules, each in one place for writers and readers.
 *
 * Zero sectors are counted over the part of each sector that the payload covers, because that is
 * what both sides see alike: the writer does not know yet what will stand behind the frame.
 */
#include "store/frame.h"

#include <string.h>

#include "base/crc32c.h"
#include "base/planted.h"

#define FILE_CRC_FROM  (offsetof(struct file_header, crc) + sizeof(uint32_t))
#define FRAME_CRC_FROM (offsetof(struct frame_header, header_crc) + sizeof(uint32_t))

static uint32_t file_crc(const struct file_header *header)
{
    return pawl__crc32c(0, (const char *)header + FILE_CRC_FROM, sizeof(*header) - FILE_CRC_FROM);
}

static uint32_t frame_crc(const struct frame_header *header)
{
    return pawl__crc32c(0, (const char *)header + FRAME_CRC_FROM, sizeof(*header) - FRAME_CRC_FROM);
}

bool pawl__is_zero(const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    uint64_t word;

    for (; size >= sizeof(word); size -= sizeof(word), at += sizeof(word)) {
        memcpy(&word, at, sizeof(word));
        if (word != 0)
            return false;
    }
    for (; size > 0; size--)
        if (*at++ != 0)
            return false;
    return true;
}

/* ---- files ----------------------------------------------------------------------------------- */

void pawl__file_header_seal(struct file_header *header)
{
    memcpy(header->magic, FILE_MAGIC, sizeof(header->magic));
    header->version = FORMAT_VERSION;
    memset(header->zeroes, 0, sizeof(header->zeroes));
    header->crc = file_crc(header);
}

const char *pawl__file_header_check(const struct file_header *header, const struct store_file *name,
                                    uint64_t store)
{
    if (memcmp(header->magic, FILE_MAGIC, sizeof(header->magic)) != 0)
        return "it does not begin as a file of a store does";
    /* The version before the CRC: another version may have put its CRC elsewhere. */
    if (header->version != FORMAT_VERSION)
        return "its format version is not the one this library reads";
    if (header->crc != file_crc(header))
        return "the checksum of its header is wrong";
    if (header->kind != FILE_JOURNAL && header->kind != FILE_SNAPSHOT)
        return "it is neither a journal nor a snapshot";
    if (store != 0 && header->store != store)
        return "it belongs to another store";
    if (name != NULL && (header->kind != name->kind || header->set != name->set ||
                         header->shard != name->shard || header->file != name->file))
        return "it is another file than its name says";
    if (header->first_lsn == 0 || (header->kind == FILE_SNAPSHOT && header->first_lsn != 1))
        return "its header says an impossible first LSN";
    if (header->epoch > UINT32_MAX || header->set > UINT16_MAX || header->shard >= SHARDS_MAX)
        return "its header says an impossible epoch, set or shard";
    return NULL;
}

/* ---- frames ---------------------------------------------------------------------------------- */

unsigned pawl__frame_zero_sectors(const void *payload, size_t size, uint64_t offset)
{
    const uint8_t *at = payload;
    unsigned count = 0;

    while (size > 0 && count < FRAME_ZEROES_MAX) {
        const size_t rest = STORE_SECTOR - offset % STORE_SECTOR;
        const size_t part = rest < size ? rest : size;

        count += pawl__is_zero(at, part);
        at += part;
        offset += part;
        size -= part;
    }
    return count;
}

void pawl__frame_fill(struct frame_header *header, const struct file_header *file, uint64_t offset)
{
    header->magic = FRAME_MAGIC;
    header->version = FORMAT_VERSION;
    header->store = file->store;
    header->shard = (uint16_t)file->shard;
    header->set = (uint16_t)file->set;
    header->epoch = (uint32_t)file->epoch;
    header->file = (uint32_t)file->file;
    header->place = (uint32_t)(offset / 8);
}

void pawl__frame_seal(struct frame_header *header, const void *payload)
{
    const uint64_t offset = (uint64_t)header->place * 8 + sizeof(*header);
    const unsigned zeroes = pawl__frame_zero_sectors(payload, header->size, offset);

    header->flags = (uint8_t)((header->flags & ~FRAME_ZEROES_MASK) | zeroes << FRAME_ZEROES_SHIFT);
    header->payload_crc = pawl__crc32c(0, payload, header->size);
    header->header_crc = frame_crc(header);
}

bool pawl__frame_is_whole(const struct frame_header *header)
{
    return header->magic == FRAME_MAGIC && header->version == FORMAT_VERSION &&
           header->header_crc == frame_crc(header);
}

const char *pawl__frame_check(const struct frame_header *header, const struct file_header *file,
                              uint64_t offset)
{
    if (header->magic != FRAME_MAGIC)
        return "no frame begins here";
    if (header->version != FORMAT_VERSION)
        return "the frame's format version is not the one this library reads";
    if (header->header_crc != frame_crc(header))
        return "the checksum of the frame's header is wrong";
    if (!planted(PLANTED_PLACE_NOT_CHECKED)) {
        if (header->store != file->store)
            return "the frame belongs to another store";
        if (header->set != (uint16_t)file->set || header->shard != file->shard)
            return "the frame belongs to another shard or set";
        if (header->epoch != (uint32_t)file->epoch || header->file != (uint32_t)file->file)
            return "the frame belongs to another file";
        if ((uint64_t)header->place * 8 != offset)
            return "the frame belongs to another place of the file";
    }
    if (header->size > FRAME_PAYLOAD_MAX || header->size % 8 != 0)
        return "the frame says an impossible size";
    return NULL;
}

const char *pawl__frame_check_payload(const struct frame_header *header, const void *payload)
{
    if (planted(PLANTED_CRC_NOT_CHECKED))
        return NULL;
    if (header->payload_crc != pawl__crc32c(0, payload, header->size))
        return "the checksum of the frame's contents is wrong";
    return NULL;
}

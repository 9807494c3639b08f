/*
 * crc32c.h - the checksum of everything on disk: CRC32C (Castagnoli; reflected, start and final xor
 * 0xffffffff).
 *
 * Layer: base. Thread: any. With the crc32 and carry-less multiply instructions of x86-64, looked
 * for at run time, three streams run side by side and the speed is near that of reading memory;
 * elsewhere a table does one byte at a time.
 */
#ifndef PAWL_BASE_CRC32C_H
#define PAWL_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/*
 * The CRC of the bytes behind those whose CRC is `crc`; 0 where nothing came before. So
 * crc(a then b) = pawl__crc32c(pawl__crc32c(0, a), b).
 */
uint32_t pawl__crc32c(uint32_t crc, const void *bytes, size_t size);

/* The same by the table, whatever the processor offers: for tests. */
uint32_t pawl__crc32c_portable(uint32_t crc, const void *bytes, size_t size);

#endif /* PAWL_BASE_CRC32C_H */

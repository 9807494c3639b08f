/*
 * crc32c.c - three streams at once, and how their ends are joined.
 *
 * The crc32 instruction gives its result three cycles later and can begin each cycle, so a large
 * input is cut into three streams of equal length, whose CRCs a, b, c are computed side by side.
 * The CRC of all of it is a * x^(16L) + b * x^(8L) + c over GF(2) modulo the polynomial, L being a
 * stream's bytes. A carry-less product of two reflected 32-bit values is one bit short of 64 bits,
 * and the crc32 instruction multiplies by x^32 as it reduces: so the factor for 8L is x^(8L - 33).
 */
#include "base/crc32c.h"

#include <string.h>

#include "base/check.h"

/* ---- by table -------------------------------------------------------------------------------- */

/* The CRC is linear: the entry of a byte is the sum of the entries of its bits. */
#define BIT(n, bit, entry) ((n) & (1u << (bit)) ? (entry) : 0u)
#define ENTRY(n)                                                                                   \
    (BIT(n, 0, 0xf26b8303u) ^ BIT(n, 1, 0xe13b70f7u) ^ BIT(n, 2, 0xc79a971fu) ^                    \
     BIT(n, 3, 0x8ad958cfu) ^ BIT(n, 4, 0x105ec76fu) ^ BIT(n, 5, 0x20bd8edeu) ^                    \
     BIT(n, 6, 0x417b1dbcu) ^ BIT(n, 7, 0x82f63b78u))
#define ENTRIES_4(n)  ENTRY(n), ENTRY((n) + 1), ENTRY((n) + 2), ENTRY((n) + 3)
#define ENTRIES_16(n) ENTRIES_4(n), ENTRIES_4((n) + 4), ENTRIES_4((n) + 8), ENTRIES_4((n) + 12)
#define ENTRIES_64(n)                                                                              \
    ENTRIES_16(n), ENTRIES_16((n) + 16), ENTRIES_16((n) + 32), ENTRIES_16((n) + 48)

static const uint32_t table[256] = {ENTRIES_64(0), ENTRIES_64(64), ENTRIES_64(128),
                                    ENTRIES_64(192)};

uint32_t pawl__crc32c_portable(uint32_t crc, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;

    crc = ~crc;
    for (; size > 0; size--)
        crc = crc >> 8 ^ table[(crc ^ *at++) & 0xffu];
    return ~crc;
}

/* ---- by instruction -------------------------------------------------------------------------- */

#ifdef __x86_64__

#include <nmmintrin.h>
#include <wmmintrin.h>

#define WITH_CRC32 __attribute__((target("sse4.2,pclmul")))

/* A stream's bytes, and x^(8L - 33), x^(16L - 33). */
#define LONG_BYTES  2048u
#define LONG_ONCE   0xa51b6135u
#define LONG_TWICE  0x82f89c77u
#define SHORT_BYTES 128u
#define SHORT_ONCE  0x0d3b6092u
#define SHORT_TWICE 0xb9e02b86u

static inline uint64_t load_word(const uint8_t *at)
{
    uint64_t word;

    memcpy(&word, at, sizeof(word));
    return word;
}

WITH_CRC32 static inline uint32_t shift(uint32_t crc, uint32_t factor)
{
    const __m128i product =
        _mm_clmulepi64_si128(_mm_cvtsi32_si128((int)crc), _mm_cvtsi32_si128((int)factor), 0);

    return (uint32_t)_mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

/* Three streams of length bytes each. */
WITH_CRC32 static inline uint32_t three(uint32_t crc, const uint8_t *at, size_t length,
                                        uint32_t once, uint32_t twice)
{
    uint64_t a = crc;
    uint64_t b = 0;
    uint64_t c = 0;

    for (size_t i = 0; i < length; i += 8) {
        a = _mm_crc32_u64(a, load_word(at + i));
        b = _mm_crc32_u64(b, load_word(at + length + i));
        c = _mm_crc32_u64(c, load_word(at + 2 * length + i));
    }
    return shift((uint32_t)a, twice) ^ shift((uint32_t)b, once) ^ (uint32_t)c;
}

WITH_CRC32 static uint32_t by_instruction(uint32_t crc, const uint8_t *at, size_t size)
{
    uint64_t word;

    crc = ~crc;
    for (; size >= 3 * LONG_BYTES; size -= 3 * LONG_BYTES, at += 3 * LONG_BYTES)
        crc = three(crc, at, LONG_BYTES, LONG_ONCE, LONG_TWICE);
    for (; size >= 3 * SHORT_BYTES; size -= 3 * SHORT_BYTES, at += 3 * SHORT_BYTES)
        crc = three(crc, at, SHORT_BYTES, SHORT_ONCE, SHORT_TWICE);
    for (word = crc; size >= 8; size -= 8, at += 8)
        word = _mm_crc32_u64(word, load_word(at));
    for (crc = (uint32_t)word; size > 0; size--)
        crc = _mm_crc32_u8(crc, *at++);
    return ~crc;
}

uint32_t pawl__crc32c(uint32_t crc, const void *bytes, size_t size)
{
    if (likely(__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul")))
        return by_instruction(crc, bytes, size);
    return pawl__crc32c_portable(crc, bytes, size);
}

#else

uint32_t pawl__crc32c(uint32_t crc, const void *bytes, size_t size)
{
    return pawl__crc32c_portable(crc, bytes, size);
}

#endif

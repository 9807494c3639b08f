/*
 * live_text.h - rows of text in memory that grows up to a limit: what a window says.
 *
 * Layer: watch. Owner: one thread. A row is whole or not there: what does not fit is cut back to the
 * end of the last whole row, and `full` says so from then on. No memory counts as full.
 */
#ifndef PAWL_WATCH_LIVE_TEXT_H
#define PAWL_WATCH_LIVE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

struct live_text {
    char *bytes;
    size_t size;
    size_t rows; /* bytes of whole rows: what may be sent */
    size_t capacity;
    size_t limit;
    bool full;
};

void pawl__live_text_fini(struct live_text *text);

/* Appends, as printf does. */
void pawl__live_text_say(struct live_text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A JSON string with its quotes; bytes that are no UTF-8 become U+FFFD. */
void pawl__live_text_string(struct live_text *text, const char *string);

/* Bytes as a JSON string of hexadecimal digits. */
void pawl__live_text_hex(struct live_text *text, const void *bytes, size_t size);

/* The row is whole: a line end. False: it does not fit, and has been taken back. */
bool pawl__live_text_end_row(struct live_text *text);

/*
 * Bytes of the UTF-8 sequence that begins here, of at most `size`; 0: none does, or it is a control
 * character other than a line end and a tabulator.
 */
size_t pawl__live_text_sequence(const unsigned char *at, size_t size);

#endif /* PAWL_WATCH_LIVE_TEXT_H */

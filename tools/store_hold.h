/*
 * store_hold.h - a store's directory as it was at one moment, for those who read it.
 *
 * Whoever has a store open makes and removes files while another reads them. All files are
 * therefore opened at once, before anything is read: what is removed afterwards stays readable, and
 * what comes afterwards is not seen. (Files still grow: the newest frames may be half there.)
 */
#ifndef PAWL_TOOLS_STORE_HOLD_H
#define PAWL_TOOLS_STORE_HOLD_H

#include <pawl/seams.h>

struct store_hold;

/*
 * store_hold_open - opens every file of a store in `directory`. What cannot be opened is an error
 *   when it is read. Where there are not enough descriptors nothing is held: then files are opened
 *   as they are read.
 *
 * Returns: 0; -ENOMEM; the error of listing the directory.
 */
int store_hold_open(struct store_hold **hold, const struct pawl_storage *storage,
                    const char *directory);
void store_hold_close(struct store_hold *hold);

/* Reads what is held: it lists, opens for reading, reads, tells sizes and closes, and no more. */
const struct pawl_storage *store_hold_storage(const struct store_hold *hold);

#endif /* PAWL_TOOLS_STORE_HOLD_H */

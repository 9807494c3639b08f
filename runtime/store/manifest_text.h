/*
 * manifest_text.h - the manifest as text and back (manifest_text.c describes it), and the names of
 * a machine in it.
 *
 * Layer: store.
 */
#ifndef PAWL_STORE_MANIFEST_TEXT_H
#define PAWL_STORE_MANIFEST_TEXT_H

#include <stddef.h>
#include <stdint.h>

struct manifest;
struct manifest_machine;

/* The text, a multiple of 8 bytes; the caller frees it. -EINVAL: a name is empty; -ENOMEM. */
int pawl__manifest_text(const struct manifest *manifest, char **bytes, size_t *size);

/*
 * Fills an empty manifest. -EBADMSG: *wrong says what belongs elsewhere than in line *line;
 * -ENOMEM. After an error the manifest holds part of it and can be destroyed.
 */
int pawl__manifest_parse(struct manifest *manifest, const char *text, size_t size, uint64_t *line,
                         const char **wrong);

/*
 * Room for the names, by the counts that are set; they begin as NULL. -ENOMEM: call fini all the
 * same.
 */
int pawl__manifest_machine_init(struct manifest_machine *machine);
void pawl__manifest_machine_fini(struct manifest_machine *machine);

#endif /* PAWL_STORE_MANIFEST_TEXT_H */

/*
 * sim_check_inner.h - what the checks on copies of a disk share (sim_check.c, sim_damage.c,
 * sim_fork.c).
 */
#ifndef PAWL_TOOLS_SIM_CHECK_INNER_H
#define PAWL_TOOLS_SIM_CHECK_INNER_H

#include "sim_check.h"
#include "store/files.h"

#define SIM_BLOCK 4096u

struct sim_disk *sim_check_copy(struct sim_world *world);

/* Recovers what is on the disk, looks, and dies: the disk can be looked at again after a crash. */
int sim_check_look(struct sim_world *world, struct sim_disk *disk, struct sim_picture *picture);
void sim_check_crash(struct sim_world *world, struct sim_disk *disk);
bool sim_check_same(const struct sim_picture *a, const struct sim_picture *b);

/* The disk, untouched, must open and show the expected picture. */
bool sim_check_expect(struct sim_world *world, struct sim_disk *disk,
                      const struct sim_picture *expected, const char *after);

/* After damage: refused with the right error, or what is shown was there once. */
void sim_check_honest(struct sim_world *world, struct sim_disk *disk, bool held,
                      const char *damage);

/* The i-th file, if it is one of the store's journals or snapshots. */
bool sim_check_file(const struct sim_disk *disk, unsigned i, const char **path,
                    struct store_file *file, uint64_t *size);
bool sim_check_is_zero(const uint8_t *bytes, size_t size);

/* sim_damage.c, sim_fork.c */
void sim_damage(struct sim_world *world, enum sim_check check, struct sim_disk *disk,
                const struct sim_disk *past);
void sim_check_forked(struct sim_world *world, struct sim_disk *disk,
                      const struct sim_picture *expected);

#endif /* PAWL_TOOLS_SIM_CHECK_INNER_H */

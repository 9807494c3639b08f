/*
 * folder.h - fresh directories for what writes to disk.
 *
 * They lie in $PAWL_BENCH_DIR, else in the build's own folder, so all contenders of a row write to the
 * same file system and none to one that is only memory. Each process has a folder of its own there,
 * named after its id; folders of processes that ended without removing theirs are removed by the next.
 */
#ifndef PAWL_BENCH_FOLDER_H
#define PAWL_BENCH_FOLDER_H

#include <stdint.h>

/* Makes an empty directory; its path is the caller's until folder_remove. Fails the bench if it cannot. */
char *folder_create(const char *name);

/* Removes it with all that is in it and frees the path. */
void folder_remove(char *path);

/*
 * Makes `path` hold the files of `from` once more, as hard links: for stores that never write to files
 * they find. `path` must be there and empty. folder_stamp tells whether that was so: it changes when a
 * file of the directory is written to, comes or goes.
 */
void folder_link(const char *from, const char *path);
uint64_t folder_stamp(const char *path);

/*
 * Bytes that a process has given to write calls, of any descriptor; what it stored to mapped files does not count.
 * (What the system then gives to the disk cannot be told apart by process: a page of a cache counts as dirty with
 * all of its neighbours.) 0 where the system does not say.
 */
uint64_t folder_written(int pid);

#endif

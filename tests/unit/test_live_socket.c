/* A socket at a path: never somebody else's, never left behind, and what is wrong is said. */
#include "watch/live_socket.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/live_fixture.h"

static char said[512];

static void hear(void *user, const struct pawl_diagnostic *diagnostic)
{
    (void)user;
    snprintf(said, sizeof(said), "%d %s: %s", diagnostic->error, diagnostic->where,
             diagnostic->what);
}

static int open_at(struct live_socket *live, const char *path)
{
    said[0] = '\0';
    return pawl__live_socket_open(live, path, 0600, hear, NULL);
}

static void expect_refused(const char *path, int error, const char *words)
{
    struct live_socket live;

    cr_assert_eq(open_at(&live, path), error);
    cr_assert(strstr(said, words) != NULL, "'%s' is not in '%s'", words, said);
    cr_assert_eq(live.fd, -1);
    cr_assert_eq(live.directory, -1);
}

Test(live_socket, it_can_be_reached_by_its_owner_alone_and_goes_when_it_is_closed)
{
    struct live_folder folder;
    struct live_socket live;
    struct stat there;
    int fd;

    live_folder_make(&folder);
    cr_assert_eq(open_at(&live, folder.path), 0);
    cr_assert_eq(lstat(folder.path, &there), 0);
    cr_assert(S_ISSOCK(there.st_mode));
    cr_assert_eq(there.st_mode & 07777, 0600);
    fd = live_dial(folder.path);
    cr_assert(fd >= 0);
    close(fd);
    pawl__live_socket_close(&live);
    cr_assert(lstat(folder.path, &there) != 0);
    live_folder_remove(&folder);
}

Test(live_socket, permissions_are_those_that_were_asked_for_whatever_the_umask)
{
    const mode_t before = umask(077);
    struct live_folder folder;
    struct live_socket live;
    struct stat there;

    live_folder_make(&folder);
    cr_assert_eq(pawl__live_socket_open(&live, folder.path, 0666, NULL, NULL), 0);
    cr_assert_eq(lstat(folder.path, &there), 0);
    cr_assert_eq(there.st_mode & 07777, 0666);
    pawl__live_socket_close(&live);
    live_folder_remove(&folder);
    umask(before);
}

Test(live_socket, a_living_one_is_left_alone)
{
    struct live_folder folder;
    struct live_socket live;
    int fd;

    live_folder_make(&folder);
    cr_assert_eq(open_at(&live, folder.path), 0);
    expect_refused(folder.path, -EBUSY, "somebody listens there");
    fd = live_dial(folder.path);
    cr_assert(fd >= 0, "it still listens");
    close(fd);
    pawl__live_socket_close(&live);
    live_folder_remove(&folder);
}

Test(live_socket, one_whose_backlog_is_full_is_alive)
{
    struct live_folder folder;
    struct live_socket live;
    int fds[64];
    unsigned count = 0;

    live_folder_make(&folder);
    cr_assert_eq(open_at(&live, folder.path), 0);
    while (count < 64 && (fds[count] = live_try_dial(folder.path)) >= 0)
        count++;
    cr_assert(count > 0 && count < 64, "%u fit", count);
    expect_refused(folder.path, -EBUSY, "somebody listens there");
    while (count > 0)
        close(fds[--count]);
    pawl__live_socket_close(&live);
    live_folder_remove(&folder);
}

Test(live_socket, a_dead_one_is_replaced)
{
    struct live_folder folder;
    struct live_socket dead, live;
    int fd;

    live_folder_make(&folder);
    cr_assert_eq(open_at(&dead, folder.path), 0);
    close(dead.fd); /* as when its process is killed */
    close(dead.directory);
    cr_assert(live_try_dial(folder.path) < 0);
    cr_assert_eq(open_at(&live, folder.path), 0, "%s", said);
    fd = live_dial(folder.path);
    cr_assert(fd >= 0);
    close(fd);
    pawl__live_socket_close(&live);
    live_folder_remove(&folder);
}

Test(live_socket, what_is_no_socket_is_left_alone)
{
    struct live_folder folder;
    struct stat there;
    int fd;

    live_folder_make(&folder);
    fd = open(folder.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    cr_assert(fd >= 0);
    close(fd);
    expect_refused(folder.path, -EEXIST, "no socket");
    cr_assert_eq(lstat(folder.path, &there), 0);
    cr_assert(S_ISREG(there.st_mode));
    unlink(folder.path);
    cr_assert_eq(symlink("elsewhere", folder.path), 0);
    expect_refused(folder.path, -EEXIST, "no socket");
    unlink(folder.path);
    live_folder_remove(&folder);
}

Test(live_socket, only_what_was_made_is_removed)
{
    struct live_folder folder;
    struct live_socket live, other;
    struct stat there;

    live_folder_make(&folder);
    cr_assert_eq(open_at(&live, folder.path), 0);
    cr_assert_eq(unlink(folder.path), 0);
    cr_assert_eq(open_at(&other, folder.path), 0);
    pawl__live_socket_close(&live);
    cr_assert_eq(lstat(folder.path, &there), 0, "it is the other's");
    pawl__live_socket_close(&other);
    cr_assert(lstat(folder.path, &there) != 0);
    live_folder_remove(&folder);
}

Test(live_socket, a_path_is_removed_although_the_process_went_elsewhere)
{
    struct live_folder folder;
    struct live_socket live;
    struct stat there;
    char before[4096];

    live_folder_make(&folder);
    cr_assert(getcwd(before, sizeof(before)) != NULL);
    cr_assert_eq(chdir(folder.directory), 0);
    cr_assert_eq(open_at(&live, "window"), 0);
    cr_assert_eq(chdir("/"), 0);
    cr_assert_eq(lstat(folder.path, &there), 0);
    pawl__live_socket_close(&live);
    cr_assert(lstat(folder.path, &there) != 0);
    cr_assert_eq(chdir(before), 0);
    live_folder_remove(&folder);
}

Test(live_socket, a_path_that_cannot_be_is_refused_in_words)
{
    char path[200];

    memset(path, 'x', sizeof(path));
    path[0] = '/';
    path[108] = '\0';
    expect_refused(path, -EINVAL, "it has 108 bytes, and the system takes no more than 107");
    expect_refused("", -EINVAL, "a window needs a path");
    expect_refused(NULL, -EINVAL, "a window needs a path");
    expect_refused("/tmp/", -EINVAL, "ends in '/'");
    expect_refused("/nowhere/at/all", -ENOENT, "directory");
}

Test(live_socket, a_directory_that_stays_locked_is_not_waited_for)
{
    struct live_folder folder;
    struct live_socket live;
    int fd;

    live_folder_make(&folder);
    fd = open(folder.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert(fd >= 0);
    cr_assert_eq(live_lock(fd), 0);
    expect_refused(folder.path, -EBUSY, "locked");
    close(fd);
    cr_assert_eq(open_at(&live, folder.path), 0);
    pawl__live_socket_close(&live);
    live_folder_remove(&folder);
}

/*
 * error.h - the closed list of errors.
 *
 * Every function that can fail returns 0 (or a count) on success and a negative number of this list
 * on failure. The names are those of <errno.h>; here is what they mean in Pawl.
 *
 *   -EINVAL        an argument or a definition is wrong; nothing happened
 *   -EAGAIN        full for the moment; nothing happened, try again later
 *   -ENOSPC        a configured limit is reached
 *   -ENOMEM        the system has no memory to give
 *   -ESTALE        the task has ended, or never was
 *   -EEXIST        a task with this key exists; its id is returned
 *   -ENOENT        no such key, machine, shard or file
 *   -EPERM         not yours: another holds the lease, or only the runtime may do this
 *   -EALREADY      this has been done before
 *   -EPROTO        the task's state does not accept this event
 *   -ECANCELED     the task ended, or the runtime stopped, before the event was handled
 *   -EBUSY         not possible in this stage of the life cycle
 *   -ETIMEDOUT     the deadline passed first
 *   -ENOTSUP       not offered by this build or this system
 *   -EIO           storage failed
 *   -EBADMSG       stored bytes are corrupt
 */
#ifndef PAWL_ERROR_H
#define PAWL_ERROR_H

#include <errno.h>
#include <pawl/export.h>

PAWL_BEGIN_DECLS

/*
 * pawl_strerror - one English sentence for an error of the list above (either sign), without a full
 * stop. Thread: any. Never NULL; a constant string.
 */
PAWL_API const char *pawl_strerror(int error);

/*
 * What a checker found: error is a negative errno, or 0 for a warning. where names the exact place
 * ("machine 'door', transition 3 (open -> shut)"), what says what is wrong and what to do. Both
 * live only during the call.
 */
struct pawl_diagnostic {
    int error;
    const char *where;
    const char *what;
};

typedef void pawl_diagnostic_fn(void *user, const struct pawl_diagnostic *diagnostic);

PAWL_END_DECLS

#endif /* PAWL_ERROR_H */

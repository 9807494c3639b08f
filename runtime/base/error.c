/*
 * error.c - the closed list of errors, in words. Layer: base.
 */
#include <pawl/error.h>
#include <pawl/version.h>

const char *pawl_strerror(int error)
{
    switch (error < 0 ? 0u - (unsigned)error : (unsigned)error) {
    case 0:
        return "success";
    case EINVAL:
        return "an argument or a definition is wrong";
    case EAGAIN:
        return "full for the moment, try again later";
    case ENOSPC:
        return "a configured limit is reached";
    case ENOMEM:
        return "the system has no memory to give";
    case ESTALE:
        return "the task has ended, or never was";
    case EEXIST:
        return "a task with this key exists already";
    case ENOENT:
        return "there is no such thing";
    case EPERM:
        return "not yours to do";
    case EALREADY:
        return "this has been done before";
    case EPROTO:
        return "the task's state does not accept this event";
    case ECANCELED:
        return "the task ended, or the runtime stopped, before the event was handled";
    case EBUSY:
        return "not possible in this stage of the life cycle";
    case ETIMEDOUT:
        return "the deadline passed first";
    case ENOTSUP:
        return "not offered by this build or this system";
    case EIO:
        return "storage failed";
    case EBADMSG:
        return "stored bytes are corrupt";
    default:
        return "an error of the system or of a handler";
    }
}

const char *pawl_version(void)
{
    return PAWL_VERSION;
}

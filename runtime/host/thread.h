/*
 * thread.h - starting and pinning threads: the default of the thread seam.
 *
 * Pinning is a wish. In a container or after a change of cpuset it can fail, and the thread runs
 * all the same; so whether it came true is not reported by the one that starts the thread (which
 * may be a host's own seam) but asked of the kernel by the thread itself, which can count it.
 *
 * Layer: host. May include: base. Owner: the caller of each function. Limits: CPU_NUMBER_MAX.
 */
#ifndef PAWL_HOST_THREAD_H
#define PAWL_HOST_THREAD_H

#include <stdbool.h>

#include <pawl/seams.h>

#define CPU_NUMBER_MAX 65535u /* the highest number of a cpu in a list of cpus */

/*
 * pawl__thread_pin_self - let the calling thread run only on these cpus. Cpus that do not exist, or
 * that the cgroup forbids, are left out by the kernel as long as one remains.
 *
 * Returns: 0, and at once on a count of 0; -EINVAL when none of the cpus can be had or a number is
 *          above CPU_NUMBER_MAX; -ENOMEM; otherwise the kernel's error (-EPERM in some sandboxes).
 */
int pawl__thread_pin_self(const unsigned *cpus, unsigned count);

/*
 * pawl__thread_is_pinned - whether the calling thread can run on no cpu but these. False when the
 * count is 0, or the kernel does not tell.
 */
bool pawl__thread_is_pinned(const unsigned *cpus, unsigned count);

#endif /* PAWL_HOST_THREAD_H */

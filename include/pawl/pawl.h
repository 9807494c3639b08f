/*
 * pawl.h - all of the public interface, in learning order.
 */
#ifndef PAWL_PAWL_H
#define PAWL_PAWL_H

#include <pawl/version.h>

#include <pawl/error.h>
#include <pawl/task.h>

#include <pawl/machine.h>
#include <pawl/step.h>

#include <pawl/runtime.h>

#include <pawl/port.h>

#include <pawl/lane.h>

#include <pawl/agent.h>

#include <pawl/work.h>

#include <pawl/live.h>
#include <pawl/store.h>
#include <pawl/watch.h>

#include <pawl/seams.h>
#include <pawl/topology.h>

#endif /* PAWL_PAWL_H */

/*
 * version.h - the version of this header and of the library that is linked.
 */
#ifndef PAWL_VERSION_H
#define PAWL_VERSION_H

#include <pawl/export.h>

#define PAWL_VERSION_MAJOR 0
#define PAWL_VERSION_MINOR 1
#define PAWL_VERSION_PATCH 0
#define PAWL_VERSION       "0.1.0"

PAWL_BEGIN_DECLS

/* The version of the library that is linked, as "MAJOR.MINOR.PATCH". */
PAWL_API const char *pawl_version(void);

PAWL_END_DECLS

#endif /* PAWL_VERSION_H */

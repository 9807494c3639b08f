/*
 * export.h - how a public declaration is marked.
 *
 * The library is compiled with hidden visibility: what carries PAWL_API is the binary interface,
 * and nothing else leaves the shared object. In the static library the mark is empty, so that a
 * host which puts Pawl into a shared object of its own does not export Pawl again.
 */
#ifndef PAWL_EXPORT_H
#define PAWL_EXPORT_H

#ifdef PAWL_STATIC_BUILD /* only while libpawl.a itself is compiled; a user need not define it */
#define PAWL_API
#else
#define PAWL_API __attribute__((visibility("default")))
#endif

/* Around the declarations of every public header, after its includes. */
#ifdef __cplusplus
#define PAWL_BEGIN_DECLS extern "C" {
#define PAWL_END_DECLS   }
#else
#define PAWL_BEGIN_DECLS
#define PAWL_END_DECLS
#endif

#endif /* PAWL_EXPORT_H */

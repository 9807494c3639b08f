/*
 * have.h - which peers this build found. For each: NAME_ABSENT is NULL or the Debian package that is
 * missing, and IF_NAME(pointer) is the pointer or NULL, so that a row lists every peer either way.
 */
#ifndef PAWL_BENCH_PEERS_HAVE_H
#define PAWL_BENCH_PEERS_HAVE_H

#if PEER_URCU
#define IF_URCU(pointer) (pointer)
#define URCU_ABSENT      NULL
#else
#define IF_URCU(pointer) NULL
#define URCU_ABSENT      "liburcu-dev"
#endif

#if PEER_CK
#define IF_CK(pointer) (pointer)
#define CK_ABSENT      NULL
#else
#define IF_CK(pointer) NULL
#define CK_ABSENT      "libck-dev"
#endif

#if PEER_DPDK
#define IF_DPDK(pointer) (pointer)
#define DPDK_ABSENT      NULL
#else
#define IF_DPDK(pointer) NULL
#define DPDK_ABSENT      "libdpdk-dev"
#endif

#if PEER_MOODYCAMEL
#define IF_MOODYCAMEL(pointer) (pointer)
#define MOODYCAMEL_ABSENT      NULL
#else
#define IF_MOODYCAMEL(pointer) NULL
#define MOODYCAMEL_ABSENT      "libconcurrentqueue-dev libreaderwriterqueue-dev"
#endif

#if PEER_BOOST
#define IF_BOOST(pointer) (pointer)
#define BOOST_ABSENT      NULL
#else
#define IF_BOOST(pointer) NULL
#define BOOST_ABSENT      "libboost-dev"
#endif

#if PEER_TBB
#define IF_TBB(pointer) (pointer)
#define TBB_ABSENT      NULL
#else
#define IF_TBB(pointer) NULL
#define TBB_ABSENT      "libtbb-dev"
#endif

#if PEER_EV
#define IF_EV(pointer) (pointer)
#define EV_ABSENT      NULL
#else
#define IF_EV(pointer) NULL
#define EV_ABSENT      "libev-dev"
#endif

#if PEER_UV
#define IF_UV(pointer) (pointer)
#define UV_ABSENT      NULL
#else
#define IF_UV(pointer) NULL
#define UV_ABSENT      "libuv1-dev"
#endif

#if PEER_EVENT
#define IF_EVENT(pointer) (pointer)
#define EVENT_ABSENT      NULL
#else
#define IF_EVENT(pointer) NULL
#define EVENT_ABSENT      "libevent-dev"
#endif

#if PEER_CAF
#define IF_CAF(pointer) (pointer)
#define CAF_ABSENT      NULL
#else
#define IF_CAF(pointer) NULL
#define CAF_ABSENT      "libcaf-dev"
#endif

#if PEER_GO
#define IF_GO(pointer) (pointer)
#define GO_ABSENT      NULL
#else
#define IF_GO(pointer) NULL
#define GO_ABSENT      "golang-go"
#endif

#if PEER_ERLANG
#define IF_ERLANG(pointer) (pointer)
#define ERLANG_ABSENT      NULL
#else
#define IF_ERLANG(pointer) NULL
#define ERLANG_ABSENT      "erlang-base"
#endif

#if PEER_ROCKSDB
#define IF_ROCKSDB(pointer) (pointer)
#define ROCKSDB_ABSENT      NULL
#else
#define IF_ROCKSDB(pointer) NULL
#define ROCKSDB_ABSENT      "librocksdb-dev"
#endif

#if PEER_SQLITE
#define IF_SQLITE(pointer) (pointer)
#define SQLITE_ABSENT      NULL
#else
#define IF_SQLITE(pointer) NULL
#define SQLITE_ABSENT      "libsqlite3-dev"
#endif

#if PEER_LMDB
#define IF_LMDB(pointer) (pointer)
#define LMDB_ABSENT      NULL
#else
#define IF_LMDB(pointer) NULL
#define LMDB_ABSENT      "liblmdb-dev"
#endif

#if PEER_REDIS
#define IF_REDIS(pointer) (pointer)
#define REDIS_ABSENT      NULL
#else
#define IF_REDIS(pointer) NULL
#define REDIS_ABSENT      "redis-server"
#endif

#if PEER_BEANSTALKD
#define IF_BEANSTALKD(pointer) (pointer)
#define BEANSTALKD_ABSENT      NULL
#else
#define IF_BEANSTALKD(pointer) NULL
#define BEANSTALKD_ABSENT      "beanstalkd"
#endif

#endif

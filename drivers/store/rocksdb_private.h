/*
 * rocksdb_private.h -- between rocksdb.c, which reads and writes, and
 * rocksdb_setup.c, which knows how a database is laid out and tuned.
 */
#ifndef CHEOPS_DRIVERS_STORE_ROCKSDB_PRIVATE_H
#define CHEOPS_DRIVERS_STORE_ROCKSDB_PRIVATE_H

#include <rocksdb/c.h>

#include "drivers/store/private.h"

/* Our columns, and "default", which RocksDB wants and we leave empty. */
#define FAMILY_N (COL_KEPT_N + 1)

/* The name of each column, by its number; "default" is the last. */
extern const char *const rocks_family_names[FAMILY_N];

enum rocks_open_how {
	ROCKS_STRICT,
	ROCKS_UP_TO_DAMAGE, /* Of its log: all before the first bad byte. */
	ROCKS_REPAIRED, /* Its tables may overlap as those of others do not. */
};

/* What a database is opened with. */
struct rocks_setup {
	rocksdb_cache_t *cache;
	rocksdb_options_t *db;
	rocksdb_options_t *families[FAMILY_N];
};

/* 0, or -EIO when this RocksDB does not know one of our options. release()
 * may be repeated, and follow a setup that failed. */
int rocks_setup_init(struct rocks_setup *rs, enum rocks_open_how how,
		     struct err *reterr);
void rocks_setup_release(struct rocks_setup *rs);

/* As store_rocks_open(). */
int rocks_open(const char *path, enum rocks_open_how how,
	       struct store **ret_store, struct err *reterr);
/* Gather what can be read. 0; -EUCLEAN when nothing can. */
int rocks_repair(const char *path, struct err *reterr);

/*
 * Make @path if it is not there, and see that it is a database of ours and
 * of a format that we know, or become one; then mark it as such. Nothing of
 * a database that is refused is touched. -EPROTO: newer, or not ours; -EUCLEAN:
 * damaged; else the errno of what failed.
 */
int rocks_path_prepare(const char *path, struct err *reterr);

/* Remove what opening the database in @path has left over. */
void rocks_path_tidy(const char *path);

/* Bytes that the files in @path take on disk. */
uint64_t rocks_path_bytes(const char *path);

/*
 * RocksDB tells of errors as text alone. Takes @msg, its text; returns the
 * errno that programs want and writes the sentence "what: its words", and
 * what would help, for people.
 */
int rocks_error(struct err *reterr, char *msg, const char *what,
		const char *path);

#endif

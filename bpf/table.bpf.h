/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Records by key: an array of them, a hash from a key to its record's index, and
 * a stack of the indices that are free. User space sizes the three, fills the
 * stack, and gives indices back. Index 0 means "none". What was given back last is
 * taken first: the memory that is used depends on how many there were at once.
 *
 * Two CPUs may give the same key a record at the same moment, and so may an
 * interrupt on the same CPU. The hash takes one of them, and that one counts. The
 * other one's index is free again.
 *
 * Guests and VMMs choose many keys. A table with shares therefore limits what one
 * process takes (share__is_used_up()): the others always find room. What is beyond
 * the limit is counted under one key, "other", or is a loss.
 */
#ifndef KVM_WATCHER_TABLE_BPF_H
#define KVM_WATCHER_TABLE_BPF_H

#include "lost.bpf.h"

/* The three maps of a table. */
#define TABLE(_records, _record, _index, _key, _free) \
	struct {                                      \
		__uint(type, BPF_MAP_TYPE_ARRAY);     \
		__uint(map_flags, BPF_F_MMAPABLE);    \
		__uint(max_entries, 1);               \
		__type(key, u32);                     \
		__type(value, _record);               \
	} _records SEC(".maps");                      \
	struct {                                      \
		__uint(type, BPF_MAP_TYPE_HASH);      \
		__uint(max_entries, 1);               \
		__type(key, _key);                    \
		__type(value, u32);                   \
	} _index SEC(".maps");                        \
	struct {                                      \
		__uint(type, BPF_MAP_TYPE_STACK);     \
		__uint(max_entries, 1);               \
		__type(value, u32);                   \
	} _free SEC(".maps")

/* Who has how much of a table, and which record is whose: core/shares.h. */
#define SHARES(_name)                              \
	struct {                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY);  \
		__uint(map_flags, BPF_F_MMAPABLE); \
		__uint(max_entries, 1);            \
		__type(key, u32);                  \
		__type(value, struct share);       \
	} _name SEC(".maps")

/* Chosen anew for each run. */
const volatile __u32 share_seed;

static __always_inline u32 share__place(u32 tgid)
{
	return 1 + (tgid * (share_seed | 1) >> (32 - SHARE_BITS));
}

static __always_inline struct share *share__at(void *shares, u32 index)
{
	return bpf_map_lookup_elem(shares, &index);
}

/*
 * The process has all that it may have: what is sure, and beyond that no more than
 * times as much as it leaves for all others. The last eighth is for those who have
 * little: many that have much do not take it one after the other.
 */
static __always_inline bool share__is_beyond(void *shares, u32 tgid, u32 sure, u32 times)
{
	struct share *all = share__at(shares, 0), *mine = share__at(shares, share__place(tgid));
	s32 left;

	if (!all || !mine || mine->taken < sure)
		return false;
	left = all->taker - all->taken - all->taker / 8;
	return left <= 0 || mine->taken >= times * left;
}

/* The process has taken the record at index. */
static __always_inline void share__take(void *shares, u32 index, u32 tgid)
{
	u32 place = share__place(tgid);
	struct share *all = share__at(shares, 0), *mine = share__at(shares, place);
	struct share *record = share__at(shares, index);

	if (!all || !mine || !record)
		return;
	record->taker = place;
	__sync_fetch_and_add(&mine->taken, 1);
	__sync_fetch_and_add(&all->taken, 1);
}

/* It is taken, and nobody counts it: user space goes by that to find it. */
static __always_inline void share__take_uncounted(void *shares, u32 index)
{
	struct share *record = share__at(shares, index);

	if (record)
		record->taker = TAKEN_UNCOUNTED;
}

/* The index of key's record. 0: it has none. */
static __always_inline u32 table__find(void *hash, const void *key)
{
	u32 *known = bpf_map_lookup_elem(hash, key);

	return known ? *known : 0;
}

/* Records that were found last, by a hash of their keys: looked at before the index is. */
enum { RECENT_BITS = 12 };
#define RECENT(_name) static u32 _name[1 << RECENT_BITS]

/* Sizes are multiples of 8 that the compiler knows. */
static __always_inline u32 key__place(const void *key, u32 size)
{
	const u64 *words = key;
	u64 hash = 0;

#pragma unroll
	for (u32 i = 0; i < size / 8; i++)
		hash = (hash ^ words[i]) * 0x9e3779b97f4a7c15ULL;
	return hash >> (64 - RECENT_BITS);
}

static __always_inline bool key__equals(const void *key, const void *other, u32 size)
{
	const u64 *a = key, *b = other;
	u64 differs = 0;

#pragma unroll
	for (u32 i = 0; i < size / 8; i++)
		differs |= a[i] ^ b[i];
	return !differs;
}

/* table__find() by way of a RECENT(). A record that is given back has no key any more. */
#define TABLE_FIND(_recent, _records, _record, _index, _key)                                      \
	({                                                                                        \
		_Static_assert(sizeof(*(_key)) % 8 == 0, "words");                                \
		u32 *_place = &_recent[key__place(_key, sizeof(*(_key)))], _found = *_place;      \
		_record *_seen = _found ? bpf_map_lookup_elem(&_records, &_found) : NULL;         \
                                                                                                  \
		if (!_seen || !_seen->in_use || !key__equals(&_seen->key, _key, sizeof(*(_key)))) \
			*_place = _found = table__find(&_index, _key);                            \
		_found;                                                                           \
	})

/* A free record, to be filled in, then for table__enter(). NULL: none is left, tgid's loss. */
static __always_inline void *table__take(u32 tgid, void *records, void *free, u32 *index, u32 loss)
{
	if (!bpf_map_pop_elem(free, index))
		return bpf_map_lookup_elem(records, index);
	lose_of(loss, tgid);
	return NULL;
}

/*
 * Enters the record at *index under key. False: the key has another one, and
 * *index now is that one's. Else the caller sets the record in use.
 */
static __always_inline bool table__enter(void *hash, const void *key, void *free, u32 *index,
					 u32 loss)
{
	u32 mine = *index;

	if (!bpf_map_update_elem(hash, key, index, BPF_NOEXIST))
		return true;
	*index = table__find(hash, key);
	bpf_map_push_elem(free, &mine, BPF_ANY);
	if (!*index)
		lose(loss);
	return false;
}

/*
 * A record for a key that has none, and needs nothing but the key: tgid takes it. Its
 * index; 0: none is left.
 */
#define TABLE_ADD(_tgid, _shares, _records, _record, _index, _free, _key, _loss)    \
	({                                                                          \
		u32 _at = 0;                                                        \
		_record *_new = table__take(_tgid, &_records, &_free, &_at, _loss); \
                                                                                    \
		if (_new) {                                                         \
			_new->key = *(_key);                                        \
			if (table__enter(&_index, _key, &_free, &_at, _loss)) {     \
				share__take(&_shares, _at, _tgid);                  \
				_new->in_use = 1;                                   \
			}                                                           \
		}                                                                   \
		_new ? _at : 0;                                                     \
	})

#endif

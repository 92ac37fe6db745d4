/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The side of the network: a thread that accepts, reads, waits and writes, so that whoever is
 * slow or hostile there never keeps the thread that watches. It knows texts, not what is in them:
 * it asks for one, and shares what it is given among all who ask within a second.
 *
 * Everything has a bound: connections, bytes of a request, the time from its first byte to the
 * last one of its answer. What is refused is counted, and each refusal has a reason.
 */
#ifndef KVM_WATCHER_SERVER_H
#define KVM_WATCHER_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct server;

enum { MAX_LISTENERS = 32, MAX_REQUEST = 8192 /* bytes */, SHARED_NS = 1000000000 };

/* The texts that can be asked for, as enum metrics_text. */
enum { NR_TEXTS = 2 };

enum refused {
	REFUSED_CONNECTIONS, /* there were too many */
	REFUSED_DEADLINE,    /* it took too long */
	REFUSED_SIZE,	     /* a request was too large, or had a body */
	REFUSED_REQUEST,     /* it was none */
	REFUSED_UNREADY,     /* no sample came in time */
	NR_REFUSED,
};

struct server_options {
	const int *fds; /* that listen, not blocking; the server's from now on */
	size_t nr_fds;
	unsigned int most_connections; /* 0: 64 */
	uint64_t deadline_ns;	       /* of a request; 0: 15 seconds */
	uint64_t idle_ns;	       /* between two; 0: 5 minutes */
	uint64_t beat_ns;	       /* so often the watching thread is to answer; 0: 5 seconds */
	const char *welcome;	       /* the page at / */
};

struct server_counts {
	uint64_t refused[NR_REFUSED];
	uint64_t answered, not_found, connections, now;
};

/* NULL and errno. Nothing is served before server__start(). */
struct server *server__new(const struct server_options *options);
/* The thread starts, with all signals blocked. 0 or -errno. */
int server__start(struct server *s);
void server__free(struct server *s);

/* For the watching thread: readable when it is wanted. */
int server__fd(const struct server *s);
/* Which texts are wanted (1 << text), and that it lives. */
unsigned int server__wanted(struct server *s);
/* The text as of since_ns; data is the server's, to be freed, NULL: there was no memory. */
void server__give(struct server *s, unsigned int text, char *data, size_t len, uint64_t since_ns);

void server__count(const struct server *s, struct server_counts *counts);
const char *refused__name(enum refused what);

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a scrape needs of HTTP/1.1 and 1.0: GET and HEAD without a body. It is parsed from a buffer
 * that has a bound; no memory is taken, and nothing is kept of what is not understood.
 */
#ifndef KVM_WATCHER_HTTP_H
#define KVM_WATCHER_HTTP_H

#include <stdbool.h>
#include <stddef.h>

enum { MAX_REQUEST = 8192, MAX_PATH = 128 };

struct http_request {
	bool head;	     /* HEAD: no body is sent */
	bool keep_alive;     /* another one may follow */
	bool gzip;	     /* the client takes it */
	bool openmetrics;    /* and this rather than the classic text */
	char path[MAX_PATH]; /* without what follows '?' */
};

/*
 * 0: it is not all there yet. 200: it is, and takes *used bytes. Else the code of the answer, after
 * which the connection is to be closed.
 */
int http__parse(const char *data, size_t len, struct http_request *request, size_t *used);

/* "Not Found" */
const char *http__reason(int code);

#endif

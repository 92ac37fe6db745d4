// SPDX-License-Identifier: GPL-2.0-only
#include "http.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct text {
	const char *s;
	size_t len;
};

static bool is(struct text t, const char *word)
{
	return t.len == strlen(word) && !strncasecmp(t.s, word, t.len);
}

static struct text trim(struct text t)
{
	while (t.len && (*t.s == ' ' || *t.s == '\t')) {
		t.s++;
		t.len--;
	}
	while (t.len && (t.s[t.len - 1] == ' ' || t.s[t.len - 1] == '\t'))
		t.len--;
	return t;
}

/* Up to the separator or the end, which rest then begins behind. False: there is nothing left. */
static bool next(struct text *rest, char separator, struct text *part)
{
	const char *end;

	if (!rest->s)
		return false;
	end = memchr(rest->s, separator, rest->len);
	*part = (struct text){ rest->s, end ? (size_t)(end - rest->s) : rest->len };
	if (end)
		*rest = (struct text){ end + 1, rest->len - part->len - 1 };
	else
		*rest = (struct text){};
	*part = trim(*part);
	return true;
}

/* "0.75" in thousandths; what is none is 0. */
static int quality(struct text t)
{
	int value = 0, scale = 100;

	if (!t.len || (*t.s != '0' && *t.s != '1'))
		return 0;
	value = (*t.s - '0') * 1000;
	if (t.len > 1 && t.s[1] != '.')
		return 0;
	for (size_t i = 2; i < t.len && scale; i++, scale /= 10) {
		if (t.s[i] < '0' || t.s[i] > '9')
			return 0;
		value += (t.s[i] - '0') * scale;
	}
	return value > 1000 ? 1000 : value;
}

/* An element of a list: its name, and how much it is liked. */
static struct text element(struct text t, int *q)
{
	struct text name = {}, part;

	*q = 1000;
	next(&t, ';', &name);
	while (next(&t, ';', &part))
		if (part.len > 2 && !strncasecmp(part.s, "q=", 2))
			*q = quality((struct text){ part.s + 2, part.len - 2 });
	return name;
}

static void read_accept(struct text value, int *open, int *classic)
{
	struct text part;
	int q;

	while (next(&value, ',', &part)) {
		struct text name = element(part, &q);

		if (is(name, "application/openmetrics-text") && q > *open)
			*open = q;
		else if ((is(name, "text/plain") || is(name, "text/*")) && q > *classic)
			*classic = q;
	}
}

static bool takes_gzip(struct text value)
{
	struct text part;
	int q;

	while (next(&value, ',', &part))
		if (is(element(part, &q), "gzip") && q)
			return true;
	return false;
}

static bool is_token(struct text t)
{
	for (size_t i = 0; i < t.len; i++)
		if (!((t.s[i] >= '0' && t.s[i] <= '9') || (t.s[i] >= 'a' && t.s[i] <= 'z') ||
		      (t.s[i] >= 'A' && t.s[i] <= 'Z') ||
		      (t.s[i] && strchr("!#$%&'*+-.^_`|~", t.s[i]))))
			return false;
	return t.len;
}

static bool is_clean(struct text t)
{
	for (size_t i = 0; i < t.len; i++)
		if (((unsigned char)t.s[i] < ' ' && t.s[i] != '\t') || t.s[i] == 0x7f)
			return false;
	return true;
}

struct reader {
	struct http_request *request;
	int open, classic;
};

/* A header's line: 0, or the code of what is wrong. */
static int read_header(struct reader *r, struct text line)
{
	const char *colon = memchr(line.s, ':', line.len);
	struct text name, value, part;

	if (!colon)
		return 400;
	name = (struct text){ line.s, colon - line.s };
	value = trim((struct text){ colon + 1, line.len - name.len - 1 });
	if (!is_token(name) || !is_clean(value))
		return 400;
	/* Nothing has a body here; one that is not read would be taken for the next request. */
	if (is(name, "transfer-encoding"))
		return 413;
	if (is(name, "content-length"))
		return is(value, "0") ? 0 : 413;
	if (is(name, "accept"))
		read_accept(value, &r->open, &r->classic);
	else if (is(name, "accept-encoding"))
		r->request->gzip |= takes_gzip(value);
	else if (is(name, "connection"))
		while (next(&value, ',', &part)) {
			if (is(part, "close"))
				r->request->keep_alive = false;
			else if (is(part, "keep-alive"))
				r->request->keep_alive = true;
		}
	return 0;
}

static int read_first(struct http_request *request, struct text line)
{
	struct text method, target, version, rest = line, path;

	if (!is_clean(line) || !next(&rest, ' ', &method) || !next(&rest, ' ', &target) ||
	    !next(&rest, ' ', &version) || rest.s || !is_token(method))
		return 400;
	if (is(version, "HTTP/1.1"))
		request->keep_alive = true;
	else if (!is(version, "HTTP/1.0"))
		return version.len > 5 && !strncmp(version.s, "HTTP/", 5) ? 505 : 400;
	if (!target.len || *target.s != '/')
		return 400;
	request->head = method.len == 4 && !memcmp(method.s, "HEAD", 4);
	if (!request->head && (method.len != 3 || memcmp(method.s, "GET", 3) != 0))
		return 405;
	next(&target, '?', &path);
	if (path.len >= sizeof(request->path))
		return 414;
	memcpy(request->path, path.s, path.len);
	request->path[path.len] = '\0';
	return 0;
}

/* A line without its end; *at goes behind it. False: it is not all there. */
static bool next_line(const char *data, size_t len, size_t *at, struct text *line)
{
	const char *end = memchr(data + *at, '\n', len - *at);

	if (!end)
		return false;
	*line = (struct text){ data + *at, end - (data + *at) };
	*at += line->len + 1;
	if (line->len && line->s[line->len - 1] == '\r')
		line->len--;
	return true;
}

int http__parse(const char *data, size_t len, struct http_request *request, size_t *used)
{
	struct reader r = { .request = request };
	struct text line;
	size_t at = 0;
	int code;

	memset(request, 0, sizeof(*request));
	/* Empty lines before a request are allowed. */
	while (at < len && (data[at] == '\r' || data[at] == '\n'))
		at++;
	if (at == len)
		return len < MAX_REQUEST ? 0 : 400;
	if (!next_line(data, len, &at, &line))
		return len < MAX_REQUEST ? 0 : 414;
	code = read_first(request, line);
	while (!code) {
		if (!next_line(data, len, &at, &line))
			return len < MAX_REQUEST ? 0 : 431;
		if (!line.len)
			break;
		code = read_header(&r, line);
	}
	if (code)
		return code;
	request->openmetrics = r.open && r.open >= r.classic;
	*used = at;
	return 200;
}

const char *http__reason(int code)
{
	static const struct {
		int code;
		const char *reason;
	} reasons[] = {
		{ 200, "OK" },
		{ 400, "Bad Request" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 408, "Request Timeout" },
		{ 413, "Content Too Large" },
		{ 414, "URI Too Long" },
		{ 431, "Request Header Fields Too Large" },
		{ 503, "Service Unavailable" },
		{ 505, "HTTP Version Not Supported" },
	};

	for (size_t i = 0; i < sizeof(reasons) / sizeof(*reasons); i++)
		if (reasons[i].code == code)
			return reasons[i].reason;
	return "Error";
}

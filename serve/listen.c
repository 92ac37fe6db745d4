// SPDX-License-Identifier: GPL-2.0-only
#include "listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 128, FIRST_INHERITED = 3 };

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_un local;
};

static const char unix_prefix[] = "unix:";

static bool parse_port(const char *text, in_port_t *port)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || value > 65535)
		return false;
	*port = htons(value);
	return true;
}

static const char *parse_unix(const char *path, union address *a, socklen_t *len)
{
	if (*path != '/')
		return "the path of a Unix socket must begin with a slash, such as "
		       "unix:/run/kvm_watcher/metrics";
	if (strlen(path) >= sizeof(a->local.sun_path))
		return "the path of a Unix socket must have at most 107 bytes";
	a->local.sun_family = AF_UNIX;
	memcpy(a->local.sun_path, path, strlen(path) + 1);
	*len = sizeof(a->local);
	return NULL;
}

static const char *parse(const char *text, union address *a, socklen_t *len)
{
	static const char form[] = "give an address and a port, such as 127.0.0.1:9909 or "
				   "[::1]:9909, or unix:PATH";
	const char *colon = strrchr(text, ':');
	char host[64];
	size_t size;

	memset(a, 0, sizeof(*a));
	if (!strncmp(text, unix_prefix, strlen(unix_prefix)))
		return parse_unix(text + strlen(unix_prefix), a, len);
	size = colon ? (size_t)(colon - text) : 0;
	if (!size || size >= sizeof(host))
		return form;
	memcpy(host, text, size);
	host[size] = '\0';
	if (*host == '[' && host[size - 1] == ']') {
		host[size - 1] = '\0';
		a->v6.sin6_family = AF_INET6;
		*len = sizeof(a->v6);
		return inet_pton(AF_INET6, host + 1, &a->v6.sin6_addr) == 1 &&
				       parse_port(colon + 1, &a->v6.sin6_port) ?
			       NULL :
			       form;
	}
	a->v4.sin_family = AF_INET;
	*len = sizeof(a->v4);
	return inet_pton(AF_INET, host, &a->v4.sin_addr) == 1 &&
			       parse_port(colon + 1, &a->v4.sin_port) ?
		       NULL :
		       form;
}

const char *listen__check(const char *address)
{
	union address a;
	socklen_t len;

	return parse(address, &a, &len);
}

bool listen__is_public(const char *address)
{
	union address a;
	socklen_t len;

	if (parse(address, &a, &len) || a.any.sa_family == AF_UNIX)
		return false;
	if (a.any.sa_family == AF_INET)
		return ntohl(a.v4.sin_addr.s_addr) >> 24 != 127;
	return !IN6_IS_ADDR_LOOPBACK(&a.v6.sin6_addr);
}

static int make_ready(int fd)
{
	const int one = 1;
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) || fcntl(fd, F_SETFD, FD_CLOEXEC))
		return -errno;
	/* Connections inherit it; a Unix socket has no such thing. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return 0;
}

/* A socket that nobody listens on any more is in the way. */
static void remove_stale(const union address *a, socklen_t len)
{
	struct stat st;
	int fd;

	if (a->any.sa_family != AF_UNIX || lstat(a->local.sun_path, &st) || !S_ISSOCK(st.st_mode))
		return;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (connect(fd, &a->any, len) && errno == ECONNREFUSED)
		unlink(a->local.sun_path);
	close(fd);
}

int listen__open(const char *address)
{
	const int one = 1;
	union address a;
	socklen_t len;
	int fd, err = 0;

	if (parse(address, &a, &len))
		return -EINVAL;
	fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	remove_stale(&a, len);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (a.any.sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(fd, &a.any, len) || listen(fd, BACKLOG))
		err = -errno;
	if (!err)
		err = make_ready(fd);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

size_t listen__inherited(int *fds, size_t most)
{
	const char *pid = getenv("LISTEN_PID"), *number = getenv("LISTEN_FDS");
	size_t nr = 0, all = number ? strtoul(number, NULL, 10) : 0;

	if (pid && strtol(pid, NULL, 10) == getpid())
		for (size_t i = 0; i < all && nr < most; i++)
			if (!make_ready(FIRST_INHERITED + i))
				fds[nr++] = FIRST_INHERITED + i;
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return nr;
}

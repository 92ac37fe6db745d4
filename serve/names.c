// SPDX-License-Identifier: GPL-2.0-only
/*
 * libevent can resolve names, and evhttp asks for the name of each client. Nothing here has any:
 * these stand before libc's functions, which would have a static program load libraries.
 */
#include <netdb.h>
#include <stddef.h>

int getnameinfo(const struct sockaddr *address, socklen_t len, char *host, socklen_t host_len,
		char *service, socklen_t service_len, int flags)
{
	(void)address;
	(void)len;
	(void)flags;
	if (host && host_len)
		*host = '\0';
	if (service && service_len)
		*service = '\0';
	return 0;
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
		struct addrinfo **found)
{
	(void)name;
	(void)service;
	(void)hints;
	(void)found;
	return EAI_FAIL;
}

void freeaddrinfo(struct addrinfo *found)
{
	(void)found;
}

struct servent *getservbyname(const char *name, const char *protocol)
{
	(void)name;
	(void)protocol;
	return NULL;
}

struct protoent *getprotobynumber(int number)
{
	(void)number;
	return NULL;
}

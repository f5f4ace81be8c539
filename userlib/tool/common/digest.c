// SPDX-License-Identifier: MIT
/*
 * SHA-256 through OpenSSL's libcrypto, which libnvme brings along anyway. The
 * only file that knows it.
 */
#include <stdio.h>
#include <stdlib.h>

#include <openssl/evp.h>

#include "common.h"

struct digest {
	EVP_MD_CTX *ctx;
};

struct digest *digest_new(void)
{
	struct digest *d = malloc(sizeof(*d));

	if (!d)
		return NULL;
	d->ctx = EVP_MD_CTX_new();
	if (!d->ctx || EVP_DigestInit_ex(d->ctx, EVP_sha256(), NULL) != 1) {
		digest_free(d);
		return NULL;
	}
	return d;
}

int digest_add(struct digest *d, const void *data, size_t length)
{
	return EVP_DigestUpdate(d->ctx, data, length) == 1 ? 0 : -1;
}

int digest_end(struct digest *d, char text[SHA256_TEXT])
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned int length = 0;

	if (EVP_DigestFinal_ex(d->ctx, md, &length) != 1 || length * 2 + 1 != SHA256_TEXT)
		return -1;
	for (unsigned int i = 0; i < length; i++)
		snprintf(text + 2 * i, 3, "%02x", md[i]);
	return 0;
}

void digest_free(struct digest *d)
{
	if (!d)
		return;
	EVP_MD_CTX_free(d->ctx);
	free(d);
}

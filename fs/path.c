/* path.c -- see path.h. */
#include "fs/path.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINKS_MAX 8 /* Then they are taken for a circle. */

/* Append the components of @path to the absolute @out, but for `.` */
static void append_components(char *out, const char *path)
{
	size_t len = strlen(out);

	while (*path) {
		size_t n = strcspn(path, "/");

		if (n > 0 && !(n == 1 && path[0] == '.')) {
			if (len == 0 || out[len - 1] != '/')
				out[len++] = '/';
			memcpy(out + len, path, n);
			len += n;
		}
		path += n;
		path += strspn(path, "/");
	}
	if (len == 0)
		out[len++] = '/';
	out[len] = '\0';
}

char *path_absolute(const char *base, const char *path)
{
	char *cwd = NULL, *out;

	if (path[0] == '/') {
		base = "";
	} else if (!base) {
		cwd = getcwd(NULL, 0);
		if (!cwd)
			return NULL;
		base = cwd;
	}
	out = calloc(1, strlen(base) + strlen(path) + 3);
	if (out) {
		append_components(out, base);
		append_components(out, path);
	}
	free(cwd);
	return out;
}

/* The last component may be a link whose target is a dead mount: links are
 * read, and what they lead to is not asked. */
static char *in_real_folder(const char *path, unsigned int links)
{
	char *whole, *folder, *out = NULL, *slash;
	char target[PATH_MAX];
	ssize_t n;

	whole = path_absolute(NULL, path);
	if (!whole)
		return NULL;
	slash = strrchr(whole, '/');
	/* `..` names no entry of its folder: it is a folder, resolve it all. */
	if (strcmp(slash, "/") == 0 || strcmp(slash, "/..") == 0) {
		out = realpath(whole, NULL);
		free(whole);
		return out;
	}
	*slash = '\0';
	folder = realpath(*whole ? whole : "/", NULL);
	if (folder)
		out = path_absolute(folder, slash + 1);
	if (out && links < LINKS_MAX) {
		n = readlink(out, target, sizeof(target) - 1);
		if (n > 0) {
			free(out);
			target[n] = '\0';
			out = path_absolute(folder, target);
		}
		if (n > 0 && out) {
			char *next = in_real_folder(out, links + 1);

			free(out);
			out = next;
		}
	}
	free(folder);
	free(whole);
	return out;
}

char *path_in_real_folder(const char *path)
{
	return in_real_folder(path, 0);
}

char *path_real(const char *path)
{
	char *whole, *real, *out = NULL;
	size_t len;

	whole = path_absolute(NULL, path);
	if (!whole)
		return NULL;
	len = strlen(whole);
	for (;;) {
		char cut = whole[len];

		whole[len] = '\0';
		real = realpath(len > 0 ? whole : "/", NULL);
		whole[len] = cut;
		if (real || len == 0 || errno == ENOMEM)
			break;
		while (whole[--len] != '/')
			;
	}
	if (real)
		out = path_absolute(real, whole + len + (whole[len] == '/'));
	free(real);
	free(whole);
	return out;
}

bool path_is_within(const char *path, const char *folder)
{
	size_t len = strlen(folder);

	if (len == 1) /* The root directory. */
		return true;
	return strncmp(path, folder, len) == 0 &&
	       (path[len] == '/' || path[len] == '\0');
}

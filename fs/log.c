/* log.c -- see log.h. */
#include "fs/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_LEN_MAX 1024

enum way { TO_STDERR, TO_JOURNAL, TO_SYSLOG };

static atomic_int way = TO_STDERR;
static atomic_int most_priority = LOG_INFO;

/* JOURNAL_STREAM is inherited by all that a service starts, also by those who
 * write elsewhere: it counts only where it names our stderr. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char ours[64];
	struct stat st;

	if (!stream || fstat(STDERR_FILENO, &st) < 0)
		return false;
	snprintf(ours, sizeof(ours), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino);
	return strcmp(stream, ours) == 0;
}

void log_open(int most)
{
	atomic_store(&most_priority, most);
	if (stderr_is_journal())
		atomic_store(&way, TO_JOURNAL);
}

void log_to_syslog(void)
{
	openlog("cheops", LOG_PID | LOG_NDELAY, LOG_DAEMON);
	atomic_store(&way, TO_SYSLOG);
}

/* At once, so that lines of several threads do not mix. */
static void write_line(const char *line, size_t len)
{
	while (len > 0) {
		ssize_t n = write(STDERR_FILENO, line, len);

		if (n <= 0) /* Nobody reads it; there is no one to tell. */
			return;
		line += n;
		len -= (size_t)n;
	}
}

void log_print(int priority, const char *fmt, ...)
{
	char line[LINE_LEN_MAX + 16];
	size_t head, len;
	va_list ap;

	if (priority > atomic_load(&most_priority))
		return;
	if (atomic_load(&way) == TO_JOURNAL)
		snprintf(line, sizeof(line), "<%d>", priority & 7);
	else
		snprintf(line, sizeof(line), "cheops: ");
	head = strlen(line);
	va_start(ap, fmt);
	vsnprintf(line + head, LINE_LEN_MAX, fmt, ap);
	va_end(ap);
	len = strlen(line);
	for (size_t i = head; i < len; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	if (atomic_load(&way) == TO_SYSLOG) {
		syslog(priority, "%s", line + head);
		return;
	}
	line[len] = '\n';
	write_line(line, len + 1);
}

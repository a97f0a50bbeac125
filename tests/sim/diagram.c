/* diagram.c -- see diagram.h. */
#include "tests/sim/diagram.h"

#include <string.h>

#define LINE_MAX 1200
#define TIME_WIDTH 10

static size_t column_width(const struct world *w)
{
	size_t n = 120 / w->o.n_sites;

	return n < 16 ? 16 : n > 30 ? 30 : n;
}

static void put(char *line, size_t at, const char *text)
{
	size_t n = strlen(text);

	if (at + n < LINE_MAX)
		memcpy(line + at, text, n);
}

static void trim(char *line)
{
	size_t n = LINE_MAX - 1;

	while (n && line[n - 1] == ' ')
		n--;
	line[n] = '\0';
}

/* The sites' lines, and nothing happening. */
static void start_line(const struct world *w, char line[LINE_MAX])
{
	memset(line, ' ', LINE_MAX);
	for (size_t i = 0; i < w->o.n_sites; i++)
		put(line, TIME_WIDTH + i * column_width(w), "|");
}

static void draw_arrow(const struct world *w, const struct note *n,
		       char line[LINE_MAX])
{
	size_t a = TIME_WIDTH + n->from * column_width(w);
	size_t b = TIME_WIDTH + n->to * column_width(w);
	size_t lo = a < b ? a : b, hi = a < b ? b : a;

	for (size_t i = lo + 1; i < hi && i < LINE_MAX; i++)
		line[i] = '-';
	if (a < b)
		put(line, hi - 1, ">");
	else
		put(line, lo + 1, "<");
	put(line, lo + 4, n->text);
}

void diagram_print(const struct world *w, FILE *out)
{
	char line[LINE_MAX], head[40];
	uint64_t last_ms = 0;

	memset(line, ' ', sizeof(line));
	for (size_t i = 0; i < w->o.n_sites; i++)
		put(line, TIME_WIDTH + i * column_width(w), w->site[i].name);
	trim(line);
	fprintf(out, "%s\n", line);
	for (size_t i = 0; i < w->n_notes; i++) {
		const struct note *n = &w->notes[i];

		start_line(w, line);
		(void)snprintf(head, sizeof(head), "%5llu.%03llu",
			       (unsigned long long)(n->at_ms / 1000),
			       (unsigned long long)(n->at_ms % 1000));
		if (n->at_ms != last_ms)
			put(line, 0, head);
		last_ms = n->at_ms;
		if (n->from == n->to)
			put(line, TIME_WIDTH + 2 + n->to * column_width(w),
			    n->text);
		else
			draw_arrow(w, n, line);
		trim(line);
		fprintf(out, "%s\n", line);
	}
}

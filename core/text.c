/* text.c -- see text.h. */
#include "core/text.h"

/* Civil date from days since 1970: Howard Hinnant, chrono-Compatible
 * Low-Level Date Algorithms. */
void text_time(uint64_t ms, struct strbuf *sb)
{
	uint64_t s = ms / 1000, z, era, doe, yoe, doy, mp, day, month, year;

	if (!ms) {
		strbuf_add_char(sb, '-');
		return;
	}
	z = s / 86400 + 719468;
	era = z / 146097;
	doe = z - era * 146097;
	yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	mp = (5 * doy + 2) / 153;
	day = doy - (153 * mp + 2) / 5 + 1;
	month = mp < 10 ? mp + 3 : mp - 9;
	year = yoe + era * 400 + (month <= 2);
	s %= 86400;
	strbuf_addf(sb, "%04u-%02u-%02uT%02u:%02u:%02uZ", (unsigned)year,
		    (unsigned)month, (unsigned)day, (unsigned)(s / 3600),
		    (unsigned)(s / 60 % 60), (unsigned)(s % 60));
}

void text_age(uint64_t ms, struct strbuf *sb)
{
	static const struct {
		uint64_t s;
		char unit;
	} units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}};
	uint64_t s = ms / 1000;

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (s >= units[i].s) {
			strbuf_addf(sb, "%llu%c",
				    (unsigned long long)(s / units[i].s),
				    units[i].unit);
			return;
		}
	strbuf_addf(sb, "%us", (unsigned)s);
}

/*
 * test_world_options.c -- the command line, and what people write in it.
 */
#include "fs/options.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/cheops.h"
#include "core/mem.h"
#include "fs/parse.h"
#include "fs/path.h"

#define ARGV_MAX 16

/* Cut @line at its blanks and read it. */
static int read_line(const char *line, struct options **ret_options,
		     struct err *reterr)
{
	char *argv[ARGV_MAX + 1] = {NULL}, copy[512], *rest = copy;
	int argc = 0;

	strcpy(copy, line);
	while (rest && argc < ARGV_MAX)
		argv[argc++] = strsep(&rest, " ");
	return options_new(argc, argv, ret_options, reterr);
}

static struct options *good(const char *line)
{
	struct options *opts = NULL;
	struct err err = ERR_INIT;
	int r = read_line(line, &opts, &err);

	if (r < 0)
		print_error("%s: %s\n", line, err.text);
	assert_int_equal(r, 0);
	return opts;
}

static void bad(const char *line, int code, const char *says)
{
	struct options *opts = NULL;
	struct err err = ERR_INIT;

	assert_int_equal(read_line(line, &opts, &err), code);
	assert_null(opts);
	if (!strstr(err.text, says))
		print_error("%s: %s\n", line, err.text);
	assert_non_null(strstr(err.text, says));
}

static void the_defaults(void **state)
{
	struct options *o = good("cheops /etc/c.yaml /mnt");

	(void)state;
	assert_string_equal(o->config, "/etc/c.yaml");
	assert_string_equal(o->mountpoint, "/mnt");
	assert_false(o->foreground);
	assert_false(o->helper);
	assert_false(o->fake);
	assert_false(o->allow_other);
	assert_false(o->default_permissions);
	assert_false(o->read_only);
	assert_false(o->set_uid);
	assert_false(o->set_gid);
	assert_false(o->set_umask);
	assert_int_equal(o->spec_max, CH_SPEC_MAX);
	assert_int_equal(o->sync_timeout_ms, 60000);
	assert_true(o->attr_timeout == 3600.0);
	assert_true(o->entry_timeout == 3600.0);
	assert_string_equal(o->fuse.buf, "fsname=/etc/c.yaml,subtype=cheops,"
					 "nosuid,nodev,noexec");
	options_free(o);
	options_free(NULL);
	assert_int_equal(mem_outstanding(), 0);
}

static void each_option(void **state)
{
	struct options *o =
		good("cheops c.yaml /mnt -f -o allow_other,uid=7,gid=8 "
		     "-oumask=027,spec_max=64K,sync_timeout=2m "
		     "-o attr_timeout=0.5,entry_timeout=1m,ro");

	(void)state;
	assert_true(o->foreground);
	assert_true(o->allow_other);
	assert_true(o->default_permissions);
	assert_true(o->read_only);
	assert_true(o->set_uid);
	assert_int_equal(o->uid, 7);
	assert_true(o->set_gid);
	assert_int_equal(o->gid, 8);
	assert_true(o->set_umask);
	assert_int_equal(o->umask, 027);
	assert_int_equal(o->spec_max, 65536);
	assert_int_equal(o->sync_timeout_ms, 120000);
	assert_true(o->attr_timeout == 0.5);
	assert_true(o->entry_timeout == 60.0);
	assert_non_null(strstr(o->fuse.buf, ",allow_other,default_permissions,"
					    "ro"));
	options_free(o);
}

static void flags_may_stand_anywhere(void **state)
{
	struct options *o = good("cheops -o ro -f c.yaml -- /mnt");

	(void)state;
	assert_true(o->read_only);
	assert_true(o->foreground);
	assert_string_equal(o->mountpoint, "/mnt");
	options_free(o);

	o = good("cheops -- -c /mnt");
	assert_non_null(strstr(o->config, "/-c"));
	options_free(o);
}

static void relative_paths_become_absolute(void **state)
{
	char cwd[4096], want[4200];
	struct options *o;

	(void)state;
	assert_non_null(getcwd(cwd, sizeof(cwd)));
	o = good("cheops a/./b//c.yaml .");
	snprintf(want, sizeof(want), "%s/a/b/c.yaml", cwd);
	assert_string_equal(o->config, want);
	assert_string_equal(o->mountpoint, cwd);
	options_free(o);
	o = good("cheops a,b\\.yaml /");
	assert_non_null(strstr(o->fuse.buf, "/a\\,b\\\\.yaml,subtype"));
	assert_string_equal(o->mountpoint, "/");
	options_free(o);
}

static void as_a_helper_of_mount(void **state)
{
	struct options *o =
		good("/sbin/mount.cheops c.yaml /mnt -v -n -o "
		     "rw,_netdev,nofail,auto,noauto,user,users,owner,group,"
		     "defaults,noexec,nosuid,nodev,x-systemd.automount,"
		     "comment=hello,relatime");

	(void)state;
	assert_true(o->helper);
	assert_false(o->fake);
	assert_string_equal(strstr(o->fuse.buf, ",subtype"),
			    ",subtype=cheops,nosuid,nodev,noexec");
	options_free(o);

	o = good("mount.fuse.cheops c.yaml /mnt -f -t fuse.cheops");
	assert_true(o->helper);
	assert_true(o->fake);
	assert_false(o->foreground);
	options_free(o);

	o = good("mount.cheops c.yaml /mnt -s -o sausage");
	options_free(o);
	bad("mount.cheops c.yaml /mnt -o sausage", -EINVAL, "sausage");
	bad("mount.cheops c.yaml /mnt -o remount,ro", -EOPNOTSUPP, "unmount");
	assert_true(options_is_helper("/usr/sbin/mount.fuse.cheops"));
	assert_false(options_is_helper("/mount.cheops/cheops"));
	assert_false(options_is_helper(NULL));
}

static void wrong_usage(void **state)
{
	(void)state;
	bad("cheops", -EINVAL, "CONFIG is missing");
	bad("cheops c", -EINVAL, "MOUNTPOINT is missing");
	bad("cheops c ", -EINVAL, "empty word");
	bad("cheops c /mnt x", -EINVAL, "'x' is one word too many");
	bad("cheops c /mnt -x", -EINVAL, "no flag -x");
	bad("cheops c /mnt -s", -EINVAL, "no flag -s");
	bad("cheops c /mnt --foreground", -EINVAL, "no flag --foreground");
	bad("cheops c /mnt -o", -EINVAL, "-o needs options");
	bad("cheops c /mnt -o sausage", -EINVAL, "there are allow_other, ");
	bad("cheops c /mnt -o fsname=x", -EINVAL, "no mount option 'fsname'");
	bad("cheops c /mnt -o uid", -EINVAL, "write uid=N");
	bad("cheops c /mnt -o uid=", -EINVAL, "write uid=N");
	bad("cheops c /mnt -o uid=root", -EINVAL, "uid: 'root' is no number");
	bad("cheops c /mnt -o uid=4294967295", -EINVAL, "above");
	bad("cheops c /mnt -o ro=1", -EINVAL, "takes no value");
	bad("cheops c /mnt -o umask=8", -EINVAL, "no octal number");
	bad("cheops c /mnt -o umask=7777", -EINVAL, "above 777");
	bad("cheops c /mnt -o spec_max=1", -EINVAL, "out of range");
	bad("cheops c /mnt -o spec_max=9M", -EINVAL, "out of range");
	bad("cheops c /mnt -o spec_max=1T", -EINVAL, "no size");
	bad("cheops c /mnt -o sync_timeout=5", -EINVAL, "no unit");
	bad("cheops c /mnt -o attr_timeout=x", -EINVAL, "no time");
	bad("cheops c /no/such/folder/mnt", -ENOENT, "cannot be reached");
}

static void help_tells_each_once(void **state)
{
	struct strbuf sb = STRBUF_INIT;
	const char *p;

	(void)state;
	options_help(&sb);
	p = strstr(sb.buf, "  allow_other ");
	assert_non_null(p);
	assert_null(strstr(p + 1, "  allow_other "));
	assert_non_null(strstr(sb.buf, "spec_max=SIZE"));
	assert_null(strstr(sb.buf, "_netdev"));
	strbuf_release(&sb);
}

static void durations(void **state)
{
	static const char *const wrong[] = {
		"",     "1",    "s",  "-1s",  "+1s", " 1s",
		"1s ",  "1 s",  "1S", "1min", "1d",  "0x1s",
		"1.5s", "1s1s", "ms", "1e3s", "1,",  "1us",
	};
	uint32_t ms = 7;

	(void)state;
	assert_int_equal(parse_duration("500ms", &ms, NULL), 0);
	assert_int_equal(ms, 500);
	assert_int_equal(parse_duration("0s", &ms, NULL), 0);
	assert_int_equal(ms, 0);
	assert_int_equal(parse_duration("2m", &ms, NULL), 0);
	assert_int_equal(ms, 120000);
	assert_int_equal(parse_duration("24h", &ms, NULL), 0);
	assert_int_equal(ms, 86400000);
	assert_int_equal(parse_duration("4294967295ms", &ms, NULL), 0);
	assert_int_equal(ms, UINT32_MAX);
	assert_int_equal(parse_duration("4294967296ms", &ms, NULL), -ERANGE);
	assert_int_equal(parse_duration("18446744073709551616s", &ms, NULL),
			 -ERANGE);
	ms = 7;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(parse_duration(wrong[i], &ms, NULL), -EINVAL);
	assert_int_equal(ms, 7); /* Untouched. */
}

static void sizes(void **state)
{
	uint64_t n = 7;

	(void)state;
	assert_int_equal(parse_size("0", &n, NULL), 0);
	assert_int_equal(n, 0);
	assert_int_equal(parse_size("3K", &n, NULL), 0);
	assert_int_equal(n, 3072);
	assert_int_equal(parse_size("2G", &n, NULL), 0);
	assert_int_equal(n, 2147483648);
	assert_int_equal(parse_size("17179869184G", &n, NULL), -ERANGE);
	assert_int_equal(parse_size("", &n, NULL), -EINVAL);
	assert_int_equal(parse_size("K", &n, NULL), -EINVAL);
	assert_int_equal(parse_size("1k", &n, NULL), -EINVAL);
	assert_int_equal(parse_size("1KB", &n, NULL), -EINVAL);
	assert_int_equal(parse_size("-1", &n, NULL), -EINVAL);
}

static void addresses(void **state)
{
	static const char *const wrong[] = {
		"",
		"a",
		"a:",
		":1",
		"a:0",
		"a:65536",
		"a:1x",
		"a:-1",
		"1.2.3:1",
		"1.2.3.256:1",
		"::1:1",
		"[::1]",
		"[::1]1",
		"[1.2.3.4]:1",
		"[:1",
		"a b:1",
		"-a:1",
		"a-:1",
		"a..b:1",
		".a:1",
		"a.:1",
		"a_b:1",
		"[fe80::1%lo]:1",
		"a:1:2",
		"http://a:1",
		"a/b:1",
		"[]:1",
	};
	struct parse_address a;

	(void)state;
	assert_int_equal(parse_address("192.0.2.1:7421", &a, NULL), 0);
	assert_string_equal(a.host, "192.0.2.1");
	assert_int_equal(a.port, 7421);
	assert_true(a.numeric);
	assert_false(a.loopback);
	assert_int_equal(parse_address("[2001:db8::1]:65535", &a, NULL), 0);
	assert_string_equal(a.host, "2001:db8::1");
	assert_true(a.numeric);
	assert_int_equal(parse_address("[::1]:1", &a, NULL), 0);
	assert_true(a.loopback);
	assert_int_equal(parse_address("127.3.2.1:1", &a, NULL), 0);
	assert_true(a.loopback);
	assert_int_equal(parse_address("localhost:1", &a, NULL), 0);
	assert_true(a.loopback);
	assert_false(a.numeric);
	assert_int_equal(parse_address("paris.example-1.ORG:1", &a, NULL), 0);
	assert_false(a.loopback);
	assert_int_equal(parse_address("0.0.0.0:1", &a, NULL), 0);
	assert_true(a.any);
	assert_int_equal(parse_address("[::]:1", &a, NULL), 0);
	assert_true(a.any);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (parse_address(wrong[i], &a, NULL) != -EINVAL)
			fail_msg("'%s' was taken", wrong[i]);
}

static void paths(void **state)
{
	char *p;

	(void)state;
	p = path_absolute("/a/b", "./c//d/../e/");
	assert_string_equal(p, "/a/b/c/d/../e");
	free(p);
	p = path_absolute("/a", "//x/./");
	assert_string_equal(p, "/x");
	free(p);
	p = path_absolute("/", ".");
	assert_string_equal(p, "/");
	free(p);
	p = path_real("/no/such/folder");
	assert_string_equal(p, "/no/such/folder");
	free(p);
	p = path_real("/");
	assert_string_equal(p, "/");
	free(p);
	p = path_real("/proc/self/root/no/such");
	assert_string_equal(p, "/no/such");
	free(p);
	p = path_in_real_folder("/proc/self/root");
	assert_string_equal(p, "/");
	free(p);
	assert_true(path_is_within("/a/b", "/a"));
	assert_true(path_is_within("/a", "/a"));
	assert_true(path_is_within("/a", "/"));
	assert_false(path_is_within("/ab", "/a"));
	assert_false(path_is_within("/a", "/a/b"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_defaults),
		cmocka_unit_test(each_option),
		cmocka_unit_test(flags_may_stand_anywhere),
		cmocka_unit_test(relative_paths_become_absolute),
		cmocka_unit_test(as_a_helper_of_mount),
		cmocka_unit_test(wrong_usage),
		cmocka_unit_test(help_tells_each_once),
		cmocka_unit_test(durations),
		cmocka_unit_test(sizes),
		cmocka_unit_test(addresses),
		cmocka_unit_test(paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

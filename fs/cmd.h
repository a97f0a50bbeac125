/*
 * cmd.h -- what `cheops` does besides being the agent.
 */
#ifndef CHEOPS_FS_CMD_H
#define CHEOPS_FS_CMD_H

/*
 * Do what argv[1] names: keys, check, --version, --help. Prints what it has to
 * say, errors included. The exit status: 0, 1, or 2 for wrong usage; -1 when
 * argv[1] names none of them.
 */
int cmd_run(int argc, char *const argv[]);

#endif

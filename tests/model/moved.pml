/*
 * moved.pml -- one lineage that is renamed while others write to it and rename
 * it too: core/move.c, and what core/plan.c makes of it.
 *
 * Three sites hold it, each with a job under its name, `web`. Site 0 renames it
 * to `x`; site 2 to `y`, which counts where both did; site 1 writes to web,
 * having seen the first version. Each knows nothing of the others but by the
 * records that it is sent: any, in any order, again and again; with OLD also
 * one that is as old as can be. A record is a clock (seen) and what survives of it (has),
 * joined as record_merge() does. What a round does is stored, or is not.
 *
 * A dot of x and y: R0, RW the copy that their rename made, of the first
 * version or of the written one; K+i the copy that site i brought there; TX,
 * in x, that it went on to y.
 *
 * Each switch takes one rule away, to show that it is needed:
 *
 *	NOWAIT		a tombstone is enough to withdraw: follow()
 *	FRESH		a name that has arrived is applied at once: claim()
 *	NOBRING		what was left stays where it is: bring_left()
 *	BLIND		it is taken away before its new name is known here
 *	NOABSORB	the lesser of two renames is left alone: settle_two()
 *	TWOROUNDS	a rename is two rounds, and the site may stop in between
 *
 * All but that hold in 2 million states, half a minute; each switch breaks it:
 *
 *	spin -a [-DSWITCH] moved.pml && cc -O2 -DSAFETY -DCOLLAPSE -o pan pan.c
 *	./pan -E -m400000
 *
 * Checked: no driver withdraws, or applies under a second name (the platform is
 * never touched by a rename: V1); once nothing fails any more, all sites have
 * the same, under one name (V2), with what was written in it (V3), and each has
 * its job there (V4).
 */
#define D 1 /* Of web. */
#define W 2
#define TX_A 4
#define TY_C 8
#define R0 1 /* Of x and y. */
#define RW 2
#define K 4
#define COPIES 31
#define TX 32

#define WEB 0
#define X 1
#define Y 2

#define AT(r, i) ((r) * 3 + (i))
#define LEFT(i) (has[AT(WEB, i)] & (TX_A | TY_C))
#define KNOWN(r, i) (seen[AT(r, i)] & (R0 | RW))
#define WRITTEN(h) ((h) & (RW | K | K << 1 | K << 2))

#define WEB_LIVES(i) ((has[AT(WEB, i)] & (D | W)) && !LEFT(i))
#define X_LIVES(i) ((has[AT(X, i)] & COPIES) && !(has[AT(X, i)] & TX))
#define Y_LIVES(i) (has[AT(Y, i)] & COPIES)

#ifdef BLIND
#define MAY_BRING(t, i) true
#else
#define MAY_BRING(t, i) KNOWN(t, i)
#endif

byte seen[9], has[9];
byte job[3];
bool renamed_x, renamed_y, wrote;
byte half; /* TWOROUNDS: site + 1 that has written its tombstone alone. */
byte half_h;
bool kept; /* A message that is still on its way. */
byte kept_r, kept_s, kept_h;

inline join(at, s, h)
{
	has[at] = (has[at] & h) | (has[at] & (63 - (63 & s))) |
		  (h & (63 - seen[at]));
	seen[at] = seen[at] | s
}

/* What site @i copies when it makes @r: @h, of web. */
inline copy(r, i, h)
{
	if
	:: (h) & W -> has[AT(r, i)] = has[AT(r, i)] | RW;
		seen[AT(r, i)] = seen[AT(r, i)] | RW
	:: else -> has[AT(r, i)] = has[AT(r, i)] | R0;
		seen[AT(r, i)] = seen[AT(r, i)] | R0
	fi
}

inline rename(r, i, tomb)
{
#ifdef TWOROUNDS
	half = i + 1;
	half_h = has[AT(WEB, i)];
#else
	copy(r, i, has[AT(WEB, i)]);
#endif
	has[AT(WEB, i)] = (has[AT(WEB, i)] & (63 - D - W)) | tomb;
	seen[AT(WEB, i)] = seen[AT(WEB, i)] | tomb
}

/* The written version arrives in @t: it had seen the first one. */
inline bring(t, i)
{
	if
	:: WRITTEN(has[AT(t, i)]) || (seen[AT(t, i)] & (K << i)) -> skip
	:: else ->
		has[AT(t, i)] = (has[AT(t, i)] & (63 - R0)) | (K << i);
		seen[AT(t, i)] = seen[AT(t, i)] | (K << i)
	fi
}

/* Where a job or a write under web goes, as far as @i knows: 0: nowhere yet. */
inline find(i)
{
	target = (has[AT(WEB, i)] & TY_C -> Y :
		  (has[AT(WEB, i)] & TX_A -> X : 0));
	if
	:: target == X && (has[AT(X, i)] & TX) -> target = Y
	:: else -> skip
	fi
}

/* A round of site @i; @late: the authors had their 30 s. */
inline look(i, late)
{
	find(i);
#ifndef NOABSORB
	if
	:: (has[AT(WEB, i)] & TX_A) && (has[AT(WEB, i)] & TY_C) &&
	   KNOWN(X, i) && KNOWN(Y, i) && (i == 0 || late) ->
		if
		:: X_LIVES(i) ->
			if
			:: WRITTEN(has[AT(X, i)]) && !(seen[AT(Y, i)] & RW) ->
				bring(Y, i)
			:: else -> skip
			fi;
			has[AT(X, i)] = TX;
			seen[AT(X, i)] = seen[AT(X, i)] | TX
		:: else -> skip
		fi;
		has[AT(WEB, i)] = has[AT(WEB, i)] & (63 - TX_A)
	:: else -> skip
	fi;
#endif
#ifndef NOBRING
	if
	:: (has[AT(WEB, i)] & W) && target && (i == 1 || late) &&
	   MAY_BRING(target, i) ->
		if
		:: KNOWN(target, i) -> bring(target, i)
		:: else -> skip
		fi;
		has[AT(WEB, i)] = has[AT(WEB, i)] & (63 - W)
	:: else -> skip
	fi;
#endif
#ifndef NOBRING
	if /* Brought to x by who did not know that it went on. */
	:: (has[AT(X, i)] & TX) && (has[AT(X, i)] & COPIES) && KNOWN(Y, i) &&
	   ((has[AT(X, i)] & (K << i)) || late) ->
		if
		:: WRITTEN(has[AT(X, i)]) && !(seen[AT(Y, i)] & RW) ->
			bring(Y, i)
		:: else -> skip
		fi;
		has[AT(X, i)] = TX
	:: else -> skip
	fi;
#endif
	find(i);
	if
	:: job[i] == WEB && !WEB_LIVES(i) && LEFT(i) ->
		if
		:: KNOWN(target, i) -> job[i] = target
		:: else ->
#ifdef NOWAIT
			assert(false) /* V1: withdrawn. */
#else
			skip
#endif
		fi
	:: job[i] == X && (has[AT(X, i)] & TX) && KNOWN(Y, i) -> job[i] = Y
	:: job[i] == WEB && WEB_LIVES(i) && (X_LIVES(i) || Y_LIVES(i)) ->
#ifdef FRESH
		assert(false) /* V1: applied a second time. */
#else
		skip
#endif
	:: else -> skip
	fi;
	target = 0
}

inline send(r, from, to)
{
	join(AT(r, to), seen[AT(r, from)], has[AT(r, from)]);
	look(to, false)
}

init {
	byte r, i, k, n, target, names;

	d_step {
		for (i : 0 .. 2) {
			seen[AT(WEB, i)] = D;
			has[AT(WEB, i)] = D
		}
	};
	do
	:: d_step {
		!renamed_x && WEB_LIVES(0) && !half ->
		renamed_x = true;
		rename(X, 0, TX_A)
	   }
	:: d_step {
		!renamed_y && WEB_LIVES(2) && !half ->
		renamed_y = true;
		rename(Y, 2, TY_C)
	   }
#ifdef TWOROUNDS
	:: d_step {
		half ->
		if
		:: half == 1 -> copy(X, 0, half_h)
		:: else -> copy(Y, 2, half_h)
		fi;
		half = 0
	   }
	:: d_step { half -> half = 0 } /* It stops, and starts again. */
#endif
	:: d_step {
		!wrote && WEB_LIVES(1) ->
		wrote = true;
		has[AT(WEB, 1)] = (has[AT(WEB, 1)] & (63 - D)) | W;
		seen[AT(WEB, 1)] = seen[AT(WEB, 1)] | W
	   }
	:: atomic {
		select (n : 0 .. 17);
		d_step {
			r = n / 6;
			i = (n % 6) / 2;
			send(r, i, (i + 1 + n % 2) % 3);
			n = 0;
			r = 0;
			i = 0
		}
	   }
#ifdef OLD
	:: atomic {
		!kept ->
		select (n : 0 .. 8);
		d_step {
			kept = true;
			kept_r = n / 3;
			kept_s = seen[n];
			kept_h = has[n];
			n = 0
		}
	   }
	:: atomic {
		kept ->
		select (i : 0 .. 2);
		d_step {
			join(AT(kept_r, i), kept_s, kept_h);
			look(i, false);
			i = 0
		}
	   }
#endif
	:: atomic {
		select (i : 0 .. 2);
		d_step { look(i, true); i = 0 }
	   }
	:: !half -> break
	od;
	n = 0; /* All is sent to all, and nobody waits any more. */
	d_step {
		for (n : 0 .. 4) {
			for (r : 0 .. 2) {
				for (i : 0 .. 2) {
					for (k : 1 .. 2) {
						send(r, i, (i + k) % 3)
					}
				}
			};
			for (i : 0 .. 2) {
				look(i, true)
			}
		};
		for (r : 0 .. 2) {
			for (i : 1 .. 2) { /* V2 */
				assert(has[AT(r, i)] == has[AT(r, 0)]);
				assert(seen[AT(r, i)] == seen[AT(r, 0)])
			}
		};
		names = (WEB_LIVES(0) -> 1 : 0) + (X_LIVES(0) -> 1 : 0) +
			(Y_LIVES(0) -> 1 : 0);
		assert(names == 1);
		assert(!wrote || /* V3 */
		       (WEB_LIVES(0) && (has[AT(WEB, 0)] & W)) ||
		       (X_LIVES(0) && WRITTEN(has[AT(X, 0)])) ||
		       (Y_LIVES(0) && WRITTEN(has[AT(Y, 0)])));
		for (i : 0 .. 2) { /* V4 */
			assert(job[i] == (WEB_LIVES(0) -> WEB :
					  (X_LIVES(0) -> X : Y)))
		}
	}
}

/*
 * record.pml -- one record, three sites: what core/record.c, keep.c and
 * exchange.c promise, whatever is lost, doubled, late or rolled back.
 *
 * E writes in all (values and deletes), records joined as record_merge() does,
 * a clock of actors (site and epoch). Faults: loss, delay, duplication, order;
 * one roll-back of site 0 to an older snapshot; tombstones are dropped whenever
 * keep_settle() may. Each switch takes ONE rule away, to show that it is needed:
 *
 *	NOEPOCH		a rolled-back site keeps its epoch
 *	NOMONO		a batch older than one already taken is taken: is_stale()
 *	NOREJOIN	a rolled-back site spreads its records without asking
 *	NOACKALL	a tombstone is dropped before all have acknowledged it
 *	STALEACK	acknowledgements of a peer's earlier life still count
 *	KEYCTR		counters begin anew in each record: engine_dot()
 *	NOLINEAGE	restored values stay only if a peer has that very version
 *	PERRECORD	restored values are judged by record, not by version
 *	ONEROUND	a rolled-back site asks once and not twice
 *	NOROLL		no roll-back (fewer states)
 *	STASH		one message comes much later than those after it
 *
 * Checked: a write vanishes only under one that had seen it (I1); equal records
 * once all is healed (I2); no deleted value comes back (I3); a delete that was
 * acknowledged holds (I4). M: messages for each pair and life.
 */
#ifndef S
#define S 3
#endif
#ifndef E
#define E 3
#endif
#ifndef M
#define M 2            /* messages per ordered pair and per life of the sender */
#endif
#define NA 4           /* actors: 0 = site0/epoch0, 1 = site0/epoch1, 2 = site1, 3 = site2 */
#define OTHERS0 ((1<<S)-2)
#define FULL 255

typedef record { byte entries; byte past; bit there; byte clock[NA] };
record site[S]; record backup; bit has_backup; byte backup_acked; byte backup_seq;
byte epoch0; bit restored0; byte answered0; byte confirmed;      /* only site 0 rolls back (symmetry) */
record old; bit hasold; byte oldx; byte oldno; bit oldep; bit oldrest; byte oldfor;
record flying[9]; bit is_flying[9]; byte batch_no[9]; bit batch_epoch[9]; bit batch_restored[9]; byte batch_answers[9]; byte asked[S]; byte round;
byte sent[9]; byte got_no[9]; bit got_epoch[9]; byte acked[9];
byte write_actor[E]; byte write_seq[E]; byte write_past[E]; bit write_tomb[E]; byte writes;
byte ever[S]; byte seq[NA]; byte quarantine; byte gone; bit rolled; bit fin;
hidden byte ca, ci, cj, x, m1, m2, nv, dr, ad, g, a, p, q, r; hidden byte okk;

#define ACTOR(s) ((s)==0 -> epoch0 : (s)+1)
#define EPOCH_OF(s) ((s)==0 -> epoch0 : 0)
#define RESTORED(s) ((s)==0 && restored0)

inline vv_covers(cx, cr) { cr = 0; ci = 0;
  do :: ci < writes -> if :: write_seq[ci] <= cx.clock[write_actor[ci]] -> cr = cr | (1<<ci) :: else fi; ci++ :: else -> break od; ci = 0 }

inline check_justified(mask) { ci = 0;   /* I1 */
  do :: ci < writes ->
     if :: (mask & (1<<ci)) -> cj = 0; okk = ((gone >> ci) & 1);
           do :: cj < writes -> if :: (write_past[cj] & (1<<ci)) -> okk = 1 :: else fi; cj++ :: else -> break od;
           assert(okk)
        :: else fi; ci++
     :: else -> break od; ci = 0; cj = 0; okk = 0 }

inline check_not_back(ns, mask) { ci = 0; /* I3: no deleted VALUE comes back */
  do :: ci < writes ->
     if :: (mask & (1<<ci)) && !write_tomb[ci] -> cj = 0;
           do :: cj < writes -> assert(!(write_tomb[cj] && (ever[ns] & (1<<cj)) && (write_past[cj] & (1<<ci)))); cj++ :: else -> break od
        :: else fi; ci++
     :: else -> break od; ci = 0; cj = 0 }

inline record_copy(cd, cs) { cd.entries = cs.entries; cd.past = cs.past; cd.there = cs.there; ca = 0;
  do :: ca < NA -> cd.clock[ca] = cs.clock[ca]; ca++ :: else -> break od; ca = 0 }
inline record_drop(cd) { cd.entries = 0; cd.there = 0; /* K is ghost knowledge: it stays */ ca = 0; do :: ca < NA -> cd.clock[ca] = 0; ca++ :: else -> break od; ca = 0 }

inline record_write(ws, tomb) { d_step {
  a = ACTOR(ws);
#ifdef NOEPOCH
  if :: ws == 0 -> a = 0 :: else fi;
#endif
  seq[a]++;
#ifdef KEYCTR
  seq[a] = site[ws].clock[a] + 1;
#endif
  write_actor[writes] = a; write_seq[writes] = seq[a]; write_past[writes] = site[ws].past; write_tomb[writes] = tomb;
  site[ws].clock[a] = seq[a]; site[ws].entries = (1<<writes); site[ws].past = site[ws].past | (1<<writes); site[ws].there = 1;
  ever[ws] = ever[ws] | (1<<writes); printf("WRITE site %d event %d actor %d ctr %d past %d tomb %d\n", ws, writes, write_actor[writes], write_seq[writes], write_past[writes], write_tomb[writes]); writes++; a = 0 } }

inline push(ss, sd) { d_step { x = ss*S + sd; record_copy(flying[x], site[ss]); sent[x]++; batch_no[x] = sent[x];
  batch_epoch[x] = EPOCH_OF(ss); batch_restored[x] = RESTORED(ss); batch_answers[x] = (sd == 0 -> asked[ss] : 0); is_flying[x] = 1; printf("SEND %d->%d no %d V=%d pres=%d\n", ss, sd, batch_no[x], flying[x].entries, flying[x].there); x = 0 } }

inline record_merge(md) { /* net[x] into st[md] */
  vv_covers(site[md], m1); vv_covers(flying[x], m2);
  nv = (site[md].entries & flying[x].entries) | (site[md].entries & (FULL - m2)) | (flying[x].entries & (FULL - m1));
  dr = (site[md].entries | flying[x].entries) & (FULL - nv); ad = nv & (FULL - site[md].entries);
  printf("  merge at %d: V %d + %d -> %d (cover mine %d, theirs %d)\n", md, site[md].entries, flying[x].entries, nv, m1, m2); check_justified(dr); check_not_back(md, ad);
  site[md].entries = nv; site[md].past = site[md].past | flying[x].past; ever[md] = ever[md] | site[md].past; site[md].there = 1;
  ca = 0; do :: ca < NA -> if :: flying[x].clock[ca] > site[md].clock[ca] -> site[md].clock[ca] = flying[x].clock[ca] :: else fi; ca++ :: else -> break od;
  ca = 0; m1 = 0; m2 = 0; nv = 0; dr = 0; ad = 0 }

inline take_batch(ds, dd) { d_step {
  x = ds*S + dd; g = 1;
#ifndef NOMONO
  if :: batch_epoch[x] < got_epoch[x] -> g = 0
     :: batch_epoch[x] == got_epoch[x] && batch_no[x] <= got_no[x] -> g = 0
     :: else fi;
#endif
  if :: dd == 0 && rolled && epoch0 == 1 && batch_answers[x] == 0 -> g = 0 :: else fi;   /* sent to an older life of site 0 */
  printf("DELIVER %d->%d no %d V=%d pres=%d accepted=%d\n", ds, dd, batch_no[x], flying[x].entries, flying[x].there, g);
  if :: g ->
     if :: batch_epoch[x] != got_epoch[x] -> 
#ifndef STALEACK
           acked[dd*S+ds] = 0;
#endif
           got_epoch[x] = batch_epoch[x]
        :: else fi;
     got_no[x] = batch_no[x];
     if :: batch_restored[x] -> skip
        :: else ->
           if :: flying[x].there -> record_merge(dd) :: else fi;
           vv_covers(flying[x], m1);
#ifdef STALEACK
           acked[dd*S+ds] = acked[dd*S+ds] | m1;
#else
           acked[dd*S+ds] = m1;
#endif
           m1 = 0;
           if :: RESTORED(dd) && batch_answers[x] == round -> answered0 = answered0 | (1<<ds); confirmed = confirmed | flying[x].entries :: else fi
     fi
     :: else fi; x = 0; g = 0 } }

inline stash(hx) { d_step { record_copy(old, flying[hx]); oldx = hx; oldno = batch_no[hx]; oldep = batch_epoch[hx]; oldrest = batch_restored[hx]; oldfor = batch_answers[hx]; hasold = 1; printf("STASH %d->%d no %d\n", hx/S, hx%S, batch_no[hx]) } }
inline unstash() { d_step { record_copy(flying[oldx], old); batch_no[oldx] = oldno; batch_epoch[oldx] = oldep; batch_restored[oldx] = oldrest; batch_answers[oldx] = oldfor; hasold = 0; printf("UNSTASH %d->%d no %d\n", oldx/S, oldx%S, oldno); record_drop(old); old.past = 0 } }

/* decided per VERSION: a restored value that no other replica holds in the last round is not spread */
inline rejoin() { d_step { printf("REJOIN V=%d confV=%d snack=%d\n", site[0].entries, confirmed, backup_acked);
  m1 = 0; ci = 0;
  do :: ci < writes -> if :: write_actor[ci] == epoch0 || write_tomb[ci] -> m1 = m1 | (1<<ci) :: else fi; ci++ :: else -> break od; ci = 0; /* new-epoch writes and deletes stay */
  m2 = site[0].entries & (FULL - m1);
#ifdef PERRECORD
  if :: confirmed != 0 -> m2 = 0 :: else fi;
#else
#ifdef NOLINEAGE
  m2 = m2 & (FULL - confirmed);
#else
  /* keep if a peer still holds a version that our clock AT RESTORE TIME covers: same lineage, not collected */
  vv_covers(backup, x);
  if :: (confirmed & x) != 0 -> m2 = 0 :: else -> m2 = m2 & (FULL - confirmed) fi; x = 0;
#endif
#endif
  check_justified(m2 & backup_acked);                       /* a value may be purged only if a later write knew it */
  quarantine = quarantine | (m2 & (FULL - backup_acked));         /* the rest is kept aside and shown */
  site[0].entries = site[0].entries & (FULL - m2);
  if :: site[0].entries == 0 && m2 != 0 -> record_drop(site[0]) :: else fi; m1 = 0; m2 = 0;
  restored0 = 0; answered0 = 0; confirmed = 0 } }

inline keep_settle(gs) { r = 0; vv_covers(site[gs], m1);
  if :: site[gs].there && !RESTORED(gs) && site[gs].entries != 0 -> ci = 0; r = 1;
        do :: ci < writes -> if :: (site[gs].entries & (1<<ci)) && !write_tomb[ci] -> r = 0 :: else fi; ci++ :: else -> break od;
        ci = 0;
#ifndef NOACKALL
        do :: ci < S -> if :: ci != gs && ((acked[gs*S+ci] & m1) != m1) -> r = 0 :: else fi; ci++ :: else -> break od;
#endif
        ci = 0
     :: else fi; m1 = 0 }

/* a restored site announces its new epoch: the peer fences the old one and forgets its old acks */
inline hello(hd) { d_step { if :: !got_epoch[hd] -> got_epoch[hd] = 1; got_no[hd] = 0 :: else fi; asked[hd] = round;
#ifndef STALEACK
  acked[hd*S] = 0;
#endif
  printf("HELLO 0->%d\n", hd) } }

inline snapshot() { d_step { record_copy(backup, site[0]); has_backup = 1; backup_seq = seq[0]; backup_acked = acked[1] | acked[2]; printf("SNAPSHOT V=%d acked=%d\n", backup.entries, backup_acked) } }
inline rollback() { d_step {
  ci = 0; do :: ci < writes ->
     if :: ((site[0].past & (1<<ci)) && !(backup.past & (1<<ci))) -> cj = 1; okk = 0;
           do :: cj < S -> if :: (site[cj].past & (1<<ci)) -> okk = 1 :: else fi; cj++ :: else -> break od;
           if :: !okk -> gone = gone | (1<<ci) :: else fi
        :: else fi; ci++ :: else -> break od; ci = 0; cj = 0; okk = 0;
  printf("ROLLBACK to V=%d gone=%d\n", backup.entries, gone); record_copy(site[0], backup); ever[0] = site[0].past; seq[0] = backup_seq; rolled = 1; acked[1] = 0; acked[2] = 0;
  got_no[S] = 0; got_no[2*S] = 0; got_epoch[S] = 0; got_epoch[2*S] = 0;
  sent[S] = 0; sent[2*S] = 0;           /* peers open a new session towards the new epoch */
#ifndef NOEPOCH
  epoch0 = 1; sent[1] = 0; sent[2] = 0;
#endif
#ifndef NOREJOIN
  restored0 = 1; answered0 = 0; confirmed = 0;
#endif
  round = 1;
  } }

#define USEFUL(s,d) ((site[s].there || ((d)==0 && restored0 && asked[s] == round)) && !(is_flying[(s)*S+(d)] && batch_epoch[(s)*S+(d)] == EPOCH_OF(s) && flying[(s)*S+(d)].past == site[s].past && flying[(s)*S+(d)].entries == site[s].entries && flying[(s)*S+(d)].there == site[s].there && ((d)!=0 || batch_answers[(s)*S] == asked[s])))
#define MAYSEND(s,d) (sent[(s)*S+(d)] < M + ((d)==0 -> asked[s] : 0))

active proctype sys() {
  do
  :: atomic { writes < E -> if :: p = 0 :: p = 1 :: p = 2 fi; if :: record_write(p, 0) :: site[p].there && site[p].entries != 0 -> record_write(p, 1) fi; p = 0 }
  :: atomic { if :: p=0;q=1 :: p=0;q=2 :: p=1;q=0 :: p=1;q=2 :: p=2;q=0 :: p=2;q=1 fi;
#ifdef NOREJOIN
      if :: MAYSEND(p,q) && USEFUL(p,q) -> push(p,q) fi;
#else
      if :: MAYSEND(p,q) && !RESTORED(p) && USEFUL(p,q) -> push(p,q) fi;
#endif
      p=0; q=0 }
  :: atomic { if :: p=0;q=1 :: p=0;q=2 :: p=1;q=0 :: p=1;q=2 :: p=2;q=0 :: p=2;q=1 fi;
      if :: is_flying[p*S+q] && (batch_epoch[p*S+q] != got_epoch[p*S+q] || batch_no[p*S+q] != got_no[p*S+q]) -> take_batch(p,q) fi; p=0; q=0 }
  :: atomic { if :: p=0 :: p=1 :: p=2 fi; keep_settle(p); if :: r -> d_step { printf("GC at %d\n", p); record_drop(site[p]) } fi; r = 0; p=0 }
#ifdef STASH
  :: atomic { !hasold && oldno == 0 -> if :: x = 1 :: x = 2 :: x = 3 :: x = 5 :: x = 6 :: x = 7 fi; if :: is_flying[x] -> stash(x) :: else fi; x = 0 }
  :: atomic { hasold -> unstash() }
#endif
#ifndef NOROLL
  :: atomic { !rolled && !has_backup && site[0].there -> snapshot() }
  :: atomic { has_backup && !rolled -> rollback() }
  :: atomic { rolled && epoch0 == 1 && asked[1] < round -> hello(1) }
  :: atomic { rolled && epoch0 == 1 && asked[2] < round -> hello(2) }
#ifndef ONEROUND
  :: atomic { restored0 && round == 1 && answered0 == OTHERS0 -> round = 2; answered0 = 0; confirmed = 0; printf("ROUND 2\n") }
  :: atomic { restored0 && round == 2 && answered0 == OTHERS0 -> rejoin() }
#else
  :: atomic { restored0 && answered0 == OTHERS0 -> rejoin() }
#endif
#endif
  :: atomic { writes == E -> break }
  od;
  atomic { /* heal everything, exchange reliably, then all must agree (I2) */
  if :: rolled && epoch0 == 1 && asked[1] < round -> hello(1) :: else fi; if :: rolled && epoch0 == 1 && asked[2] < round -> hello(2) :: else fi;
  if :: restored0 -> push(1,0); take_batch(1,0); push(2,0); take_batch(2,0);
#ifndef ONEROUND
        if :: restored0 && round == 1 && answered0 == OTHERS0 -> round = 2; answered0 = 0; confirmed = 0; hello(1); hello(2); push(1,0); take_batch(1,0); push(2,0); take_batch(2,0) :: else fi;
#endif
        if :: restored0 && answered0 == OTHERS0 -> rejoin() :: else fi
     :: else fi;
  r = 0;
  do :: r < 2 -> push(0,1); take_batch(0,1); push(0,2); take_batch(0,2); push(1,0); take_batch(1,0); push(1,2); take_batch(1,2); push(2,0); take_batch(2,0); push(2,1); take_batch(2,1); r++
     :: else -> break od; r = 0;
  d_step { m1 = 0; ci = 0; do :: ci < writes -> if :: write_tomb[ci] -> m1 = m1 | (1<<ci) :: else fi; ci++ :: else -> break od; ci = 0;
    assert((site[1].entries & (FULL - m1)) == (site[0].entries & (FULL - m1)));
    assert((site[2].entries & (FULL - m1)) == (site[0].entries & (FULL - m1)));
    ci = 0; do :: ci < writes -> if :: write_tomb[ci] && !((gone >> ci) & 1) -> assert((write_past[ci] & (FULL - m1) & (site[0].entries | site[1].entries | site[2].entries)) == 0) :: else fi; ci++ :: else -> break od; ci = 0; /* I4: an acknowledged delete holds */
    /* I1 at the end: every acknowledged value is alive, superseded, quarantined or died with the only disk */
    ci = 0; do :: ci < writes -> if :: !write_tomb[ci] && !((gone >> ci) & 1) && !((quarantine >> ci) & 1) && !((site[0].entries >> ci) & 1) ->
        cj = 0; okk = 0; do :: cj < writes -> if :: (write_past[cj] & (1<<ci)) -> okk = 1 :: else fi; cj++ :: else -> break od; assert(okk) :: else fi; ci++ :: else -> break od; ci = 0; cj = 0; okk = 0; m1 = 0 }
  fin = 1 }
}

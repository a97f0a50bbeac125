/*
 * link.pml -- one item on its way from one site to another: core/outbox.c,
 * compose.c and exchange.c, through loss, duplicates, delay and restarts.
 *
 * The sender has an item that changes (seq), and one entry for it in its
 * outbox (COL_OUT: owed). A batch has a number that grows within an epoch; it
 * is owed until on_ack() sees an acknowledgement of that very batch. The
 * receiver stores what it took and the cursor in one commit, and acknowledges
 * after that. An item needs a body: it is sent unasked once (was_sent()); a
 * receiver without it acknowledges with ACK_BODIES and wants it. A hello with
 * another epoch makes the sender forget what it sent.
 *
 * Each switch takes one rule away, to show that it is needed:
 *
 *	NOACKNO		on_ack() does not look at the number
 *	NOACKEPOCH	on_ack() does not look at the epoch
 *	NOMONO		is_stale() says no
 *	NOEPOCH		a sender that starts again keeps its epoch
 *	ACKFIRST	acknowledged before it is stored
 *	NOCURSOR	the cursor is not stored
 *	MOVED		an acknowledgement ends an entry that has moved since
 *	NOWANT		ACK_BODIES makes nobody send the body
 *	NOHELLO		the sender never forgets that it sent the body: holds
 *			nevertheless, since what is missing is wanted
 *
 * Checked: what is owed no more is stored at the other end (L1); an item never
 * gets older (L2); once nothing fails any more, it arrives (L3).
 */
#ifndef C
#define C 1	/* Changes of the item after its first. */
#endif
#ifndef R
#define R 1	/* Restarts, of either side. */
#endif
#ifndef D
#define D 3	/* Batches that are sent while things fail. */
#endif

#define ACK_OK 0
#define ACK_STALE 1
#define ACK_BODIES 2

#ifdef NOACKEPOCH
#define OF_THIS_LIFE(k) true
#else
#define OF_THIS_LIFE(k) (a[k].epoch == epoch)
#endif
#ifdef NOACKNO
#define OF_THIS_BATCH(k) true
#else
#define OF_THIS_BATCH(k) (a[k].no == flying)
#endif
#ifdef NOWANT
#define WANTED 0
#else
#define WANTED 1
#endif
#ifdef NOMONO
#define STALE(k) false
#else
#define STALE(k) (b[k].epoch < cur_epoch || (b[k].epoch == cur_epoch && b[k].no <= cur_no))
#endif

/* The sender: stored. */
#define LARGE 2	/* That item's body is not sent unasked. */
byte seq = 1, owed = 1, epoch = 1;
/* Its memory: the entry in the window, the batch on its way, what it sent. */
byte queued = 1, batch_no, flying, sent_seq;
bit wanted;
/* The receiver: stored. */
byte got_epoch, got_no, item, body;
/* Its memory: a cursor, and a round that is not stored. */
byte cur_epoch, cur_no;
bit round; byte round_epoch, round_no, round_item, round_body, round_ack;
byte peer_life, life = 1;	/* What the sender knows of it; its own. */

/* The network: two batches and two acknowledgements, for as long as it likes. */
typedef batch { bit there; byte epoch, no, item, body };
typedef ack { bit there; byte epoch, no, status, life };
batch b[2]; ack a[2];
byte changes, restarts, sends, i;
bit healed;

inline change() {
	d_step { seq++; owed = seq; queued = seq; changes++ }
}

/* compose.c: add_batch() */
inline push(k) {
	d_step {
		batch_no++; flying = batch_no; sends++;
		b[k].there = 1; b[k].epoch = epoch; b[k].no = flying;
		b[k].item = queued; b[k].body = 0;
		if
		:: wanted || (sent_seq != queued && queued != LARGE) ->
			b[k].body = queued; sent_seq = queued; wanted = 0
		:: else
		fi
	}
}

/* exchange.c: landed() */
inline landed() {
#ifdef MOVED
	owed = 0;
#else
	if
	:: owed == b_seq -> owed = 0
	:: else
	fi;
#endif
	if
	:: owed == 0 -> assert(item >= seq)	/* L1 */
	:: else
	fi
}

byte flown, b_seq;	/* What the batch on its way carries. */

inline on_ack(k) {
	d_step {
#ifndef NOHELLO
		if
		:: a[k].life != peer_life -> peer_life = a[k].life; sent_seq = 0
		:: else
		fi;
#endif
		if
		:: flying != 0 && OF_THIS_LIFE(k) && OF_THIS_BATCH(k) ->
			b_seq = flown; flying = 0;
			if
			:: a[k].status == ACK_OK -> landed()
			:: a[k].status == ACK_BODIES -> wanted = WANTED
			:: else
			fi;
			b_seq = 0
		:: else
		fi
	}
}

/* exchange.c: take_batch(), and the round it is in. */
inline take_batch(k) {
	d_step {
		round = 1; round_epoch = b[k].epoch; round_no = b[k].no;
		round_item = 0; round_body = b[k].body; round_ack = ACK_OK;
		if
		:: STALE(k) -> round_ack = ACK_STALE
		:: else ->
			cur_epoch = b[k].epoch; cur_no = b[k].no;
			if
			:: body == b[k].item || b[k].body == b[k].item ->
				round_item = b[k].item
			:: else -> round_ack = ACK_BODIES
			fi
		fi
	}
}

inline answer(k) {
	a[k].there = 1; a[k].epoch = round_epoch; a[k].no = round_no;
	a[k].status = round_ack; a[k].life = life
}

inline commit(k) {
	d_step {
		if
		:: round_body != 0 -> body = round_body
		:: else
		fi;
		if
		:: round_item != 0 ->
			assert(round_item >= item);	/* L2 */
			item = round_item
		:: else
		fi;
#ifndef NOCURSOR
		if
		:: round_ack != ACK_STALE ->
			got_epoch = round_epoch; got_no = round_no
		:: else
		fi;
#endif
#ifndef ACKFIRST
		answer(k);
#endif
		round = 0
	}
}

inline restart_sender() {
	d_step {
		restarts++; batch_no = 0; flying = 0; sent_seq = 0; wanted = 0;
		queued = owed; flown = 0; peer_life = 0;
#ifndef NOEPOCH
		epoch++
#else
		skip
#endif
	}
}

inline restart_receiver() {
	d_step {
		restarts++; round = 0; life++;
		cur_epoch = got_epoch; cur_no = got_no
	}
}

active proctype link() {
	do
	:: atomic { changes < C -> change() }
	:: atomic { flying == 0 && owed != 0 && sends < D ->
		if :: i = 0 :: i = 1 fi; push(i); flown = queued; i = 0 }
	/* It could not be sent, or was not answered: outbox_crashed(). */
	:: atomic { flying != 0 -> flying = 0; sent_seq = 0; wanted = 0 }
	:: atomic { !round ->
		if :: b[0].there -> take_batch(0) :: b[1].there -> take_batch(1) fi;
#ifdef ACKFIRST
		if :: i = 0 :: i = 1 fi; answer(i); i = 0
#endif
		}
	:: atomic { round -> if :: i = 0 :: i = 1 fi; commit(i); i = 0 }
	:: atomic { if :: a[0].there -> on_ack(0) :: a[1].there -> on_ack(1) fi }
	:: atomic { restarts < R -> restart_sender() }
	:: atomic { restarts < R -> restart_receiver() }
	/* A body that came, and whose record did not, may be swept. */
	:: atomic { body != 0 && body != item -> body = 0 }
	:: break
	od;
	/* Nothing fails any more. What is on its way is lost. */
	atomic {
		healed = 1; round = 0; cur_epoch = got_epoch; cur_no = got_no;
		b[0].there = 0; b[1].there = 0; a[0].there = 0; a[1].there = 0;
#ifndef NOHELLO
		if :: flying != 0 -> flying = 0; sent_seq = 0 :: else fi;
#else
		flying = 0;
#endif
		i = 0;
		do
		:: i < 4 && owed != 0 ->
			push(0); flown = queued; take_batch(0); commit(0);
			on_ack(0); i++
		:: else -> break
		od;
		assert(item == seq)	/* L3 */
	}
}

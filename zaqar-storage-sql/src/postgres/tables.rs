//! The data layout of PostgreSQL.
//!
//! ```text
//! heads     number   local, dense, never reused; the high bits of every row id of the queue
//!           incarnation → number;  next, purged: positions;  state: 0 open, 1 moved, 2 closed, 3 reclaimed
//!           epoch of the latest move · frozen_from, frozen_to: positions on their way · away: closed by a move
//! messages  id = number << 35 | position        a small row: what claims and sweeps change
//!           avail    0 claimable · >0 claimed or delayed until then · -1 retired · -2 parked
//!           expires  end of life · negated once retired
//!           claim    the claim that holds it until `avail` · NULL: nobody, or delayed
//!           frozen   on its way to another store · NULL: not, or not seen to be yet (see `moving_parts`)
//! bodies    id as in messages                   the large row: written once, removed once
//! releases  queue, count      counts what became claimable at a low position (see `memory`)
//! store     who the store is, and how often it was opened
//! ```
//!
//! An update in PostgreSQL writes the whole row anew, and a claim is one. So the body stands apart:
//! a claim of a message of 1 KiB writes about a hundred bytes, and the large table is never bloated
//! by anything but deletes.
//!
//! Four partial indexes, each holding only its own:
//!
//! | index | holds | serves |
//! | --- | --- | --- |
//! | `claimable ((id + 0)) WHERE avail = 0` | what can be had now, in order | claim, pop, default listing |
//! | `maturing (queue, avail) WHERE avail > 0` | claimed, delayed | release of what is due; counting claims |
//! | `expiring (queue, expires) WHERE expires > 0` | everything not retired | retiring; counting the living |
//! | `retired (expires) WHERE expires < 0` | expired, out of every other index | gc |
//!
//! `claimable` is an index on an expression that means `id`. The primary key can serve an order by
//! `id` as well, and a planner with old statistics would take it, and walk over everything that is
//! claimed ahead. It cannot serve an order by `id + 0`, so there is nothing to choose.
//!
//! # Locks
//!
//! Whatever changes a head locks it first (`FOR NO KEY UPDATE`), so posts of one queue follow each
//! other and their positions become visible in order. Claims, pops and deletes do not lock the head:
//! they are one statement, see it in their snapshot, and lock message rows: claims pass over rows
//! that others hold (`SKIP LOCKED`), everything else takes rows in the order of their ids. What is
//! frozen is marked in its rows too, for statements whose snapshot is older than the freeze.

//! The data layout of MySQL and MariaDB.
//!
//! ```text
//! heads     number   local, dense, never reused; the high bits of every row id of the queue
//!           incarnation → number;  next, purged: positions;  state: 0 open, 1 moved, 2 closed, 3 reclaimed
//!           epoch of the latest move · frozen_from, frozen_to: positions on their way · away: closed by a move
//!           reclaim  1: `gc` has work here
//!           run      of the server in which it was last posted to (see `durable`)
//! messages  id = number << 35 | position
//!           queue    its number · 0 once retired
//!           avail    0 claimable · >0 claimed or delayed until then · -1 retired · -2 parked
//!           expires  end of life
//!           claim    the claim that holds it until `avail` · zeros: nobody, or delayed
//! releases  queue, count      counts what became claimable at a low position (see `memory`)
//! store     who the store is, and how often it was opened
//! runs      the number of this run of the server, in memory
//! fences    changed by what changes nothing else, for the flush
//! ```
//!
//! InnoDB keeps a row in its primary key and changes it in place, logging what changed: a claim
//! writes some eighty bytes, whatever the body's size. So the body stands in the row.
//!
//! There are no partial indexes. Two indexes have a stretch for each state instead, and whatever
//! changes a row's state moves its entry from one stretch to the other:
//!
//! | index | stretch | serves |
//! | --- | --- | --- |
//! | `claimable (queue, avail, claim, id)` | `avail = 0, claim = 0`, by id | claim, pop, default listing |
//! | | `avail > 0`, by moment | release of what is due; counting claims |
//! | | `avail = e, claim = c`, by id | what claim `c` holds, which ends at `e` |
//! | `expiring (queue, expires, id)` | `queue = n` | retiring; counting the living |
//! | | `queue = 0` | what is retired, by the end of its life: gc |
//!
//! Each statement names its index: a planner with old statistics could take another, and a search
//! that locks waits for every row that it passes.
//!
//! # Locks
//!
//! Whatever changes a head locks it first, so posts of one queue follow each other and their positions
//! become visible in order. Claims, pops and deletes do not lock the head: they read it after they
//! have locked their messages, and a claim that is renewed or released is locked before the head is
//! read. Freezing a part of a queue writes the head and locks the messages and claims then: whoever it
//! waits for is done, whoever waits for it reads what it wrote. Claims pass over rows that others hold (`SKIP LOCKED`), everything
//! else takes rows in the order of their ids. Two that meet all the same from two indexes may
//! deadlock: the server undoes one of them, and it runs again.

//! Pools that are added, and pools of weight 0: what they get of new queues, and how far the coming
//! and going of queues levels an installation by itself.
//!
//! Nothing moves a queue. While as many queues are made as end, and each lives as long as any other
//! on average, what remains of the old distribution falls as `e^-t`, with `t` in mean lives. Queues
//! that never end keep their part of it for ever.

use rand::Rng;
use serde::Serialize;

use crate::installation::Installation;
use crate::options::Options;
use crate::random::{Part, generator};
use crate::text::{Table, percent};

/// Mean lives that are watched.
const LIVES: usize = 4;
/// Looks in a mean life.
const LOOKS: usize = 20;
/// How near to its end a change counts as over.
const NEAR: f64 = 0.05;
/// Standard deviations that a count may be from what is expected.
const SIGMAS: f64 = 5.0;

/// Whether queues come to the pools that are watched, or go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// New pools: what they hold is a part of their fair share.
    Filling,
    /// Pools whose weight became 0: a part of what they held.
    Draining,
}

/// One look.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Look {
    /// When, in mean lives.
    pub lives: f64,
    /// How much the watched pools hold.
    pub held: f64,
    /// What the formula says.
    pub formula: f64,
}

/// A change of the pools.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Case {
    /// The change.
    pub what: &'static str,
    /// Whether the watched pools fill or drain.
    pub direction: Direction,
    /// The part of the queues that never end.
    pub lasting: f64,
    /// The watched pools' part of the weights.
    pub weight_share: f64,
    /// Their part of the queues made since the change.
    pub new_share: f64,
    /// Queues made since the change.
    pub made: u64,
    /// Queues that would have to be moved to be done at once.
    pub to_move: u64,
    /// How far a look may be from the formula.
    pub tolerance: f64,
    /// What was seen.
    pub looks: Vec<Look>,
    /// Mean lives until the rest was below a twentieth; `None`: not while it was watched.
    pub done_lives: Option<f64>,
}

struct Change {
    what: &'static str,
    before: Vec<u32>,
    after: Vec<u32>,
    lasting: f64,
}

/// Adds pools, takes weights away, and lets queues come and go.
///
/// # Errors
/// A queue finds no pool.
pub fn run(options: &Options) -> anyhow::Result<Vec<Case>> {
    let pools = options.pools as usize;
    let (few, many) = (vec![100; pools], vec![100; pools + pools.div_ceil(10)]);
    let drained: Vec<u32> = (0..pools).map(|pool| if pool == 0 { 0 } else { 100 }).collect();
    let change = |what, before: &[u32], after: &[u32], lasting| Change {
        what,
        before: before.to_vec(),
        after: after.to_vec(),
        lasting,
    };
    let changes = [
        change("10 % more pools", &few, &many, 0.0),
        change("10 % more pools, half of the queues never end", &few, &many, 0.5),
        change("from 1 pool to 2", &[100], &[100, 100], 0.0),
        change("a pool's weight becomes 0", &few, &drained, 0.0),
        change("the same, half of the queues never end", &few, &drained, 0.5),
    ];
    (0..).zip(changes).map(|(turn, change)| change.run(options, turn)).collect()
}

impl Change {
    fn direction(&self) -> Direction {
        if self.after.len() > self.before.len() { Direction::Filling } else { Direction::Draining }
    }

    /// Whether a pool is new, or has become one of weight 0.
    fn is_watched(&self, pool: usize) -> bool {
        match self.direction() {
            Direction::Filling => pool >= self.before.len(),
            Direction::Draining => self.after.get(pool).is_some_and(|weight| *weight == 0),
        }
    }

    /// The watched pools' part of the weights.
    fn weight_share(&self) -> f64 {
        let sum = |weights: &mut dyn Iterator<Item = u32>| weights.map(f64::from).sum::<f64>();
        let watched = (0..).zip(&self.after).filter(|(pool, _)| self.is_watched(*pool));
        sum(&mut watched.map(|(_, weight)| *weight)) / sum(&mut self.after.iter().copied())
    }

    fn formula(&self, lives: f64) -> f64 {
        match self.direction() {
            Direction::Filling => (1.0 - self.lasting) * (1.0 - (-lives).exp()),
            Direction::Draining => self.lasting + (1.0 - self.lasting) * (-lives).exp(),
        }
    }

    fn run(self, options: &Options, turn: u32) -> anyhow::Result<Case> {
        let mut random = generator(options.seed, Part::Churn, turn);
        let plain =
            |weights: &[u32]| -> Vec<_> { weights.iter().map(|own| (*own, None)).collect() };
        let before = Installation::new(plain(&self.before))?;
        let after = Installation::new(plain(&self.after))?;
        let mut places = before.place_all(options.queues, &mut random)?;
        let mut held = places.iter().filter(|pool| self.is_watched(**pool)).count() as u64;
        let fair = f64::from(options.queues) * self.weight_share();
        // What has come is a Poisson number at most as large as the whole; what is left is a binomial
        // one, whose variance is a quarter of that at most.
        let (whole, sigma) = match self.direction() {
            Direction::Filling => (fair, 1.0 / fair.sqrt()),
            Direction::Draining => (held as f64, 0.5 / (held as f64).sqrt()),
        };
        // Places were drawn one by one, so the first of them are as good as any.
        let mortal = (f64::from(options.queues) * (1.0 - self.lasting)) as usize;
        let (mut looks, mut made, mut new) = (Vec::new(), 0_u64, 0_u64);
        for look in 1..=LIVES * LOOKS {
            for _ in 0..mortal / LOOKS {
                let pool = after.place(None, &mut random)?;
                let Some(place) = places.get_mut(random.random_range(0..mortal)) else { continue };
                let ended = std::mem::replace(place, pool);
                held -= u64::from(self.is_watched(ended));
                held += u64::from(self.is_watched(pool));
                made += 1;
                new += u64::from(self.is_watched(pool));
            }
            let lives = look as f64 / LOOKS as f64;
            looks.push(Look { lives, held: held as f64 / whole, formula: self.formula(lives) });
        }
        let direction = self.direction();
        let is_done = |look: &&Look| match direction {
            Direction::Filling => look.held >= 1.0 - NEAR,
            Direction::Draining => look.held <= NEAR,
        };
        Ok(Case {
            what: self.what,
            direction,
            lasting: self.lasting,
            weight_share: self.weight_share(),
            new_share: new as f64 / made.max(1) as f64,
            made,
            to_move: whole as u64,
            tolerance: SIGMAS * sigma,
            done_lives: looks.iter().find(is_done).map(|look| look.lives),
            looks,
        })
    }
}

/// What contradicts the formula, or the weights.
#[must_use]
pub fn failures(cases: &[Case]) -> Vec<String> {
    let mut failures = Vec::new();
    for case in cases {
        let Case { weight_share, made, .. } = *case;
        let sigma = (weight_share * (1.0 - weight_share) / made.max(1) as f64).sqrt();
        if (case.new_share - weight_share).abs() > SIGMAS * sigma {
            let (got, due) = (percent(case.new_share), percent(weight_share));
            failures.push(format!("growth, {}: {got} of the new queues, due {due}", case.what));
        }
        for look in
            case.looks.iter().filter(|look| (look.held - look.formula).abs() > case.tolerance)
        {
            let Look { lives, held, formula } = look;
            let told = format!("{held:.3} after {lives:.2} lives, {formula:.3} by the formula");
            failures.push(format!("growth, {}: {told}", case.what));
        }
    }
    failures
}

pub(crate) fn text(cases: &[Case], life_h: f64) -> String {
    let mut headers: Vec<String> =
        ["", "of weights", "of new queues", "queues to move"].map(str::to_owned).to_vec();
    let shown = [0.5, 1.0, 2.0, 3.0, 4.0];
    headers.extend(shown.map(|lives| format!("{lives} lives")));
    headers.push("within 5 %".to_owned());
    let title = format!(
        "Changes of the pools while queues come and go; a mean life is {life_h:.0} h\n  \
         (new pools: held of their fair share; weight 0: left of what they held)"
    );
    let mut table = Table::new(&title, &headers.iter().map(String::as_str).collect::<Vec<_>>());
    for case in cases {
        let mut row = vec![
            case.what.to_owned(),
            percent(case.weight_share),
            percent(case.new_share),
            case.to_move.to_string(),
        ];
        let at = |lives: f64| case.looks.iter().find(|look| look.lives >= lives);
        row.extend(shown.map(|lives| at(lives).map_or(String::new(), |look| percent(look.held))));
        row.push(case.done_lives.map_or("never".to_owned(), |lives| format!("{lives:.2} lives")));
        table.row(row);
    }
    table.to_string()
}

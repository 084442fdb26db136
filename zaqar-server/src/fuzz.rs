//! Hostile input for the tests named `fuzz`: what once was hard for some reader, damaged at random.
//!
//! `PROPTEST_CASES` sets how long they search.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// How many more inputs are tried than a property test tries.
const FACTOR: u32 = 8;

/// How long a test searches.
pub(crate) fn budget() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: usual.cases.saturating_mul(FACTOR), ..usual }
}

/// A change of a text of bytes.
#[derive(Debug, Clone)]
enum Damage {
    /// Bytes are put in.
    Insert(Index, Vec<u8>),
    /// Some bytes are cut out.
    Cut(Index, usize),
    /// A bit is turned.
    Flip(Index, u32),
    /// Some bytes come twice.
    Repeat(Index, usize),
    /// The rest is another text's.
    Graft(Index, Vec<u8>),
}

impl Damage {
    fn apply(self, bytes: &mut Vec<u8>) {
        let place = |at: Index| at.index(bytes.len() + 1);
        match self {
            Self::Insert(at, new) => {
                let at = place(at);
                bytes.splice(at..at, new);
            }
            Self::Cut(at, length) => {
                let at = place(at);
                bytes.drain(at..(at + length).min(bytes.len()));
            }
            Self::Flip(at, bit) => {
                let at = place(at);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << bit;
                }
            }
            Self::Repeat(at, length) => {
                let at = place(at);
                let again = bytes[at..(at + length).min(bytes.len())].to_vec();
                bytes.splice(at..at, again);
            }
            Self::Graft(at, other) => {
                let at = place(at);
                bytes.truncate(at);
                bytes.extend_from_slice(other.get(at..).unwrap_or(&other));
            }
        }
    }
}

/// One of the seeds, as it is or damaged in a few places. `words` are what is put in.
pub(crate) fn damaged(
    seeds: &'static [&'static [u8]],
    words: &'static [&'static [u8]],
) -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        3 => select(words).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 1..5),
    ];
    let damage = prop_oneof![
        (any::<Index>(), word).prop_map(|(at, new)| Damage::Insert(at, new)),
        (any::<Index>(), 1..9_usize).prop_map(|(at, length)| Damage::Cut(at, length)),
        (any::<Index>(), 0..8_u32).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        (any::<Index>(), 1..30_usize).prop_map(|(at, length)| Damage::Repeat(at, length)),
        (any::<Index>(), select(seeds)).prop_map(|(at, seed)| Damage::Graft(at, seed.to_vec())),
    ];
    (select(seeds), vec(damage, 0..4)).prop_map(|(seed, damages)| {
        let mut bytes = seed.to_vec();
        damages.into_iter().for_each(|damage| damage.apply(&mut bytes));
        bytes
    })
}

//! The functions by which the delay between attempts grows.

/// Seconds between two values of the linear function; the others have as many values as there are
/// such steps between the two delays.
const STEP_S: u64 = 5;

/// How the delay grows from the least to the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Backoff {
    /// By the same amount each time.
    #[default]
    Linear,
    /// By an amount that grows by the same amount each time.
    Arithmetic,
    /// By the same factor each time.
    Geometric,
    /// By the same factor each time, computed from below the least.
    Exponential,
}

impl Backoff {
    /// The function of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "linear" => Some(Self::Linear),
            "arithmetic" => Some(Self::Arithmetic),
            "geometric" => Some(Self::Geometric),
            "exponential" => Some(Self::Exponential),
            _ => None,
        }
    }

    /// How many delays there are between `least` and `greatest`, both in seconds.
    pub(crate) fn count(self, least: u64, greatest: u64) -> u64 {
        let span = greatest.saturating_sub(least);
        match self {
            Self::Linear => span.div_ceil(STEP_S),
            _ => span / STEP_S,
        }
    }

    /// The delay in seconds before the try `index`, from 0 to below [`Self::count`].
    pub(crate) fn delay(self, least: u64, greatest: u64, index: u64) -> u64 {
        let count = real(self.count(least, greatest));
        let position = real(index) + 1.0;
        let value = match self {
            Self::Linear => return least.saturating_add(index.saturating_mul(STEP_S)),
            // With a single value there is no growth to compute.
            _ if count < 2.0 => real(least),
            Self::Arithmetic => {
                let growth = 2.0 * real(greatest.saturating_sub(least)) / (count * (count - 1.0));
                real(least) + (position - 1.0) * position * growth / 2.0
            }
            Self::Geometric | Self::Exponential => {
                // Nothing grows from zero by a factor.
                let start = real(least.max(1));
                let factor = (real(greatest) / start).powf(1.0 / (count - 1.0));
                match self {
                    Self::Geometric => start * factor.powf(position - 1.0),
                    _ => start / factor * factor.powf(position),
                }
            }
        };
        whole(value).min(greatest)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a delay of 2^53 seconds needs no precision")]
fn real(seconds: u64) -> f64 {
    seconds as f64
}

/// Cut to whole seconds, as the function is defined.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "cutting is meant, the value is never negative, and the cast saturates"
)]
fn whole(seconds: f64) -> u64 {
    seconds as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(function: Backoff, least: u64, greatest: u64) -> Vec<u64> {
        let count = function.count(least, greatest);
        (0..count).map(|index| function.delay(least, greatest, index)).collect()
    }

    #[test]
    fn the_functions_give_the_delays_that_clients_know() {
        assert_eq!(delays(Backoff::Linear, 5, 30), [5, 10, 15, 20, 25]);
        assert_eq!(delays(Backoff::Arithmetic, 5, 30), [5, 7, 12, 20, 30]);
        assert_eq!(delays(Backoff::Geometric, 5, 30), [5, 7, 12, 19, 30]);
        assert_eq!(delays(Backoff::Exponential, 5, 30), [5, 7, 12, 19, 30]);
        let exponential = [10, 12, 14, 18, 22, 27, 33, 40, 49, 60];
        assert_eq!(delays(Backoff::Exponential, 10, 60), exponential);
        let geometric = [20, 22, 25, 29, 33, 37, 42, 48, 54, 62, 70, 80];
        assert_eq!(delays(Backoff::Geometric, 20, 80), geometric);
        let arithmetic = [30, 30, 32, 34, 37, 41, 46, 51, 57, 64, 72, 80, 90, 100];
        assert_eq!(delays(Backoff::Arithmetic, 30, 100), arithmetic);
    }

    #[test]
    fn a_least_delay_of_zero_is_safe() {
        assert_eq!(delays(Backoff::Linear, 0, 10), [0, 5]);
        assert_eq!(delays(Backoff::Arithmetic, 0, 10), [0, 10]);
        assert_eq!(delays(Backoff::Geometric, 0, 10), [1, 10]);
        assert_eq!(delays(Backoff::Exponential, 0, 10), [1, 10]);
    }

    #[test]
    fn delays_that_leave_no_room_or_no_end_are_safe() {
        for function in
            [Backoff::Linear, Backoff::Arithmetic, Backoff::Geometric, Backoff::Exponential]
        {
            assert!(delays(function, 9, 9).is_empty());
            assert!(delays(function, 9, 3).is_empty());
            assert!(delays(function, 9, 15).iter().all(|delay| (9..=15).contains(delay)));
            let last = function.count(0, 1_000_000) - 1;
            assert!(function.delay(0, 1_000_000, last) > 999_990);
            assert!(function.delay(0, u64::MAX, u64::MAX) > 0);
        }
    }
}

//! The production clock when the backend's clock jumps either way or stands still (G8).

#[cfg(test)]
mod tests {
    use zaqar_core::clock::Discipline;
    use zaqar_core::{Clock as _, DisciplinedClock, Timestamp};

    const HOUR_MS: i64 = 3_600_000;

    fn shifted(from: Timestamp, by_ms: i64) -> Timestamp {
        Timestamp::from_millis(from.as_millis() + by_ms)
    }

    /// A clock that has followed one sample, and what it said then.
    fn followed() -> (DisciplinedClock, Timestamp) {
        let clock = DisciplinedClock::from_system();
        let here = clock.now();
        assert_eq!(clock.discipline(here), Discipline::Followed);
        (clock, here)
    }

    #[test]
    fn a_jump_either_way_is_not_followed_and_removal_waits() {
        for jump_ms in [HOUR_MS, -HOUR_MS] {
            let (clock, here) = followed();
            let outcome = clock.discipline(shifted(here, jump_ms));
            assert!(matches!(outcome, Discipline::Rejected { .. }), "{jump_ms}: {outcome:?}");
            assert!(clock.is_suspect());
            assert!(clock.now() >= here && clock.now() < shifted(here, HOUR_MS / 2));
            let again = clock.now();
            assert_eq!(clock.discipline(again), Discipline::Followed, "once samples agree again");
            assert!(!clock.is_suspect());
        }
    }

    #[test]
    fn an_accepted_jump_back_makes_it_stand_still() {
        let (clock, here) = followed();
        clock.accept_next_sample();
        assert_eq!(clock.discipline(shifted(here, -HOUR_MS)), Discipline::Followed);
        let stands = clock.now();
        assert!(stands >= here, "what was hidden as expired would be shown again");
        assert!((0..1_000).all(|_| clock.now() == stands), "it moves before it has caught up");
    }

    #[test]
    fn a_backend_whose_clock_stands_still_does_not_take_it_back() {
        let (clock, here) = followed();
        let mut before = here;
        for _ in 0..1_000 {
            assert_eq!(clock.discipline(here), Discipline::Followed);
            let now = clock.now();
            assert!(now >= before, "{now:?} after {before:?}");
            before = now;
        }
    }
}

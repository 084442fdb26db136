//! Names in paths and markers.

use std::cmp::Ordering;

use http::StatusCode;
use zaqar_core::limits::QUEUE_NAME_CHARS_MAX;
use zaqar_core::{ProjectId, QueueKey, QueueName};

use super::errors::Failure;

/// 400: the queue's name or the project's id is none.
pub(crate) fn invalid_queue() -> Failure {
    Failure::new(
        StatusCode::BAD_REQUEST,
        "Invalid queue identification",
        "The format of the submitted queue name or project id is not valid.",
    )
}

/// The queue that a path names.
pub(crate) fn queue_key(project: &ProjectId, segment: &[u8]) -> Result<QueueKey, Failure> {
    let name = std::str::from_utf8(segment).map_err(|_| invalid_queue())?;
    let name = QueueName::new(name).map_err(|_| invalid_queue())?;
    Ok(QueueKey::queue(project.clone(), name))
}

/// The last name that is not behind `marker`, which may be any text; `None` if every name is
/// behind it. What follows the one is what follows the other.
pub(crate) fn name_marker(marker: &str) -> Option<QueueName> {
    let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    let legal: String = marker
        .bytes()
        .take(QUEUE_NAME_CHARS_MAX)
        .take_while(|b| is_name(*b))
        .map(char::from)
        .collect();
    let Some(stranger) = marker.as_bytes().get(legal.len()).copied().filter(|b| !is_name(*b))
    else {
        return QueueName::new(legal).ok();
    };
    // Names that go on with a lower byte come before the marker; the last of them, filled up with
    // the highest byte, stands in for it. With no such byte, only the legal part itself does.
    let below = (0..stranger).rev().find(|b| is_name(*b));
    let mut name = legal;
    if let (Some(below), Ordering::Less) = (below, name.len().cmp(&QUEUE_NAME_CHARS_MAX)) {
        name.push(char::from(below));
        name.extend(std::iter::repeat_n('z', QUEUE_NAME_CHARS_MAX - name.len()));
    }
    QueueName::new(name).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_that_no_queue_may_have_are_refused() {
        let project = ProjectId::new("p").unwrap();
        for bad in [&b""[..], b"Nice-Bo@t", b"a\n", "ü".as_bytes(), b"\xfc", &[b'x'; 65]] {
            assert!(queue_key(&project, bad).is_err(), "{bad:?}");
        }
        assert!(queue_key(&project, b"a.B-9_").is_ok());
    }

    proptest! {
        #[test]
        fn a_stand_in_marker_splits_the_names_as_the_marker_does(
            marker in "[-.0-9A-Z_a-z]{0,3}([~ !/:@\\[`{é][a-z]{0,2})?",
            name in "[-.0-9A-Z_a-z]{1,4}",
        ) {
            let behind = name.as_str() > marker.as_str();
            let stand_in = name_marker(&marker);
            prop_assert_eq!(stand_in.is_none_or(|s| name.as_str() > s.as_str()), behind);
        }

        #[test]
        fn long_markers_split_the_names_too(tail in "[a-z~]{0,3}", name in "x{60,64}|x{63}[a-z]") {
            let marker = format!("{}{tail}", "x".repeat(63));
            let behind = name > marker;
            let stand_in = name_marker(&marker);
            prop_assert_eq!(stand_in.is_none_or(|s| name.as_str() > s.as_str()), behind);
        }
    }
}

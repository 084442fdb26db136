//! Names in paths and markers.

use std::cmp::Ordering;

use http::StatusCode;
use zaqar_core::limits::QUEUE_NAME_CHARS_MAX;
use zaqar_core::{ProjectId, QueueKey, QueueKind, QueueName};

use super::errors::Failure;

/// What to say of queues, or of topics.
pub(crate) fn by_kind<T>(kind: QueueKind, queue: T, topic: T) -> T {
    match kind {
        QueueKind::Queue => queue,
        QueueKind::Topic => topic,
    }
}

/// Where a project's queues, or topics, are listed.
pub(crate) fn collection_path(kind: QueueKind) -> &'static str {
    by_kind(kind, "/v2/queues", "/v2/topics")
}

/// Where a queue or topic is.
pub(crate) fn path(key: &QueueKey) -> String {
    format!("{}/{}", collection_path(key.kind), key.name)
}

/// 400: the name or the project's id is none.
pub(crate) fn invalid_name(kind: QueueKind) -> Failure {
    let (title, text) = by_kind(
        kind,
        (
            "Invalid queue identification",
            "The format of the submitted queue name or project id is not valid.",
        ),
        (
            "Invalid topic identification",
            "The format of the submitted topic name or project id is not valid.",
        ),
    );
    Failure::new(StatusCode::BAD_REQUEST, title, text)
}

/// The queue or topic that a path names.
pub(crate) fn queue_key(
    project: &ProjectId,
    kind: QueueKind,
    segment: &[u8],
) -> Result<QueueKey, Failure> {
    let name = std::str::from_utf8(segment).map_err(|_| invalid_name(kind))?;
    let name = QueueName::new(name).map_err(|_| invalid_name(kind))?;
    Ok(QueueKey { project: project.clone(), kind, name })
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
            assert!(queue_key(&project, QueueKind::Queue, bad).is_err(), "{bad:?}");
        }
        let topic = queue_key(&project, QueueKind::Topic, b"a.B-9_").unwrap();
        assert_eq!(path(&topic), "/v2/topics/a.B-9_");
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

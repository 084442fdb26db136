//! Signed requests, ids and query strings of any content.

use http::request::Parts;
use http::{HeaderValue, Request};
use proptest::prelude::*;
use zaqar_core::{
    ClaimId, Incarnation, MessageId, MessageMarker, SubscriptionId, Timestamp, limits,
};

use super::query::Query;
use super::signed;
use crate::fuzz::{budget, damaged};
use crate::signed_url::{Expiry, Grant, UrlSigner};

const NOW_MS: i64 = 1_900_000_000_000;
const PATH: &str = "/v2/queues/q/messages";
const OWN: &str = "/v2/queues/q/messages,/v2/queues/q/claims";
const UNTIL: &str = "2100-01-01T00:00:00";

fn signer() -> UrlSigner {
    UrlSigner::new(["secret"])
}

/// Leave to read and post, for the project `p1`.
fn grant() -> Grant {
    let list = |text: &str| text.split(',').map(str::to_owned).collect();
    Grant::new(list(OWN), list("GET,POST"), "p1", Expiry::parse(UNTIL).unwrap())
}

/// Whether a request with these headers is let in: paths, methods, project, end, signature.
fn is_let_in(method: &str, path: &str, values: &[Vec<u8>; 5]) -> Option<bool> {
    let names = ["url-paths", "url-methods", "x-project-id", "url-expires", "url-signature"];
    let mut request = Request::builder().method(method).uri("/");
    for (name, value) in names.into_iter().zip(values) {
        request = request.header(name, HeaderValue::from_bytes(value).ok()?);
    }
    let now = Timestamp::from_millis(NOW_MS);
    let (parts, ()): (Parts, ()) = request.body(()).ok()?.into_parts();
    Some(signed::check(&signer(), now, &parts, path.as_bytes()).is_ok())
}

const VALUES: &[&[u8]] = &[
    b"/v2/queues/q/messages,/v2/queues/q/claims",
    b"/v2/queues/q/claims,/v2/queues/q/messages",
    b"/v2/queues/q/messages",
    b"/v2/queues/q",
    b"/v2/queues/q/messages\\nGET",
    b"/",
    b"",
    b"GET,POST",
    b"POST,GET",
    b"GET",
    b"get",
    b"GET,POST\\np1",
    b"p1",
    b"p2",
    b"p1\\n2100-01-01T00:00:00",
    b"2100-01-01T00:00:00",
    b"2100-01-01T02:00:00.5+02:00",
    b"2100-01-01 00:00:00",
    b"2000-01-01T00:00:00",
    b"99999-01-01T00:00:00",
    b"21000101T000000Z",
    b"0000000000000000000000000000000000000000000000000000000000000000",
];

const WORDS: &[&[u8]] = &[
    b",",
    b"/",
    b"//",
    b"..",
    b"%2e",
    b"\\n",
    b"GET",
    b"POST",
    b"messages",
    b"claims",
    b"p1",
    b"T",
    b"Z",
    b":",
    b"+01:00",
    b"0",
    b"a",
    b"\xff",
    b" ",
];

const PATHS: [&str; 8] = [
    PATH,
    "/v2/queues/q/messages/000000000100000000000001",
    "/v2/queues/q/claims",
    "/v2/queues/q/messagesx",
    "/v2/queues/q",
    "/v2/queues/other/messages",
    "/v2/queues/q/messages/../../other/messages",
    "/",
];

/// The values of a good request, some of them replaced by others.
fn headers() -> impl Strategy<Value = [Vec<u8>; 5]> {
    let signature = signer().sign(&grant()).unwrap();
    let or = |good: &str| {
        let good = good.as_bytes().to_vec();
        prop_oneof![4 => Just(good), 1 => damaged(VALUES, WORDS)]
    };
    [or(OWN), or("GET,POST"), or("p1"), or(UNTIL), or(&signature)]
}

proptest! {
    #![proptest_config(budget())]

    #[test]
    fn a_signature_opens_what_was_signed_and_nothing_else(
        values in headers(),
        path in prop::sample::select(&PATHS[..]),
        method in prop::sample::select(&["GET", "POST", "DELETE", "get"][..]),
    ) {
        let text = |at: usize| String::from_utf8_lossy(&values[at]).into_owned();
        let list = |at: usize| text(at).split(',').map(str::to_owned).collect::<Vec<_>>();
        let says = Expiry::parse(&text(3)).map(|end| Grant::new(list(0), list(1), text(2), end));
        let is_whole = says.as_ref() == Some(&grant());
        let is_signed = text(4).to_lowercase() == signer().sign(&grant()).unwrap();
        let covers = grant().covers_method(method) && grant().covers_path(path.as_bytes());
        if let Some(found) = is_let_in(method, path, &values) {
            prop_assert_eq!(found, is_whole && is_signed && covers, "{:?}", values);
        }
    }

    #[test]
    fn a_path_covers_itself_and_what_is_below(
        own in "[/a-c.%]{0,12}",
        path in "[/a-c.%]{0,16}",
    ) {
        let grant = Grant::new(vec![own.clone()], vec![], "p", Expiry::parse(UNTIL).unwrap());
        let below = path.starts_with(&format!("{own}/"));
        let expected = !own.is_empty() && (path == own || below);
        prop_assert_eq!(grant.covers_path(path.as_bytes()), expected);
    }

    #[test]
    fn a_moment_that_is_read_is_the_same_once_it_is_written(bytes in damaged(VALUES, WORDS)) {
        if let Some(moment) = Expiry::parse(&String::from_utf8_lossy(&bytes)) {
            prop_assert_eq!(Expiry::parse(&moment.to_string()), Some(moment));
        }
    }

    #[test]
    fn every_place_is_one_id_and_ids_sort_as_their_places(
        places in prop::collection::vec(
            (1..=limits::INCARNATION_MAX, 0..=limits::SEQUENCE_MAX), 2
        ),
    ) {
        let of = |(incarnation, sequence): (u64, u64)| {
            MessageId::new(Incarnation::new(incarnation).unwrap(), sequence).unwrap()
        };
        let (one, other) = (of(places[0]), of(places[1]));
        prop_assert_eq!(one.to_string().parse::<MessageId>(), Ok(one));
        prop_assert_eq!(one.to_string().cmp(&other.to_string()), places[0].cmp(&places[1]));
        let marker = MessageMarker::from(one);
        prop_assert_eq!(marker.to_string().parse::<MessageMarker>(), Ok(marker));
        prop_assert_eq!(MessageId::from(marker), one);
    }

    #[test]
    fn an_id_or_marker_that_is_read_is_written_as_it_was(bytes in damaged(IDS, ID_WORDS)) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let id = text.parse::<MessageId>().ok().map(|id| id.to_string());
        let marker = text.parse::<MessageMarker>().ok().map(|id| id.to_string());
        let subscription = text.parse::<SubscriptionId>().ok().map(|id| id.to_string());
        let claim = text.parse::<ClaimId>().ok().map(|id| id.to_string());
        for written in [id, marker, subscription, claim].into_iter().flatten() {
            prop_assert_eq!(&written, &text);
        }
    }

    #[test]
    fn a_query_string_of_any_content_is_read(bytes in damaged(QUERIES, QUERY_WORDS)) {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let query = Query::parse(&text);
        for name in ["ids", "limit", "echo", "marker"] {
            let items: Vec<&str> = query.list(name).collect();
            prop_assert_eq!(query.last(name), items.last().copied());
            prop_assert_eq!(query.has(name), !items.is_empty());
            prop_assert!(items.iter().all(|item| !item.is_empty() && !item.contains(',')));
            if let Ok(Some(number)) = query.integer(name) {
                let read = items.last().unwrap().trim().parse::<i128>();
                let nearest = read.map(|n| n.clamp(i64::MIN.into(), i64::MAX.into()));
                prop_assert!(nearest.is_err() || nearest == Ok(number.into()));
            }
        }
    }
}

const IDS: &[&[u8]] = &[
    b"000000000100000000000001",
    b"ffffffffffffffffffffffff",
    b"000000000000000000000001",
    b"00000000AA00000000000001",
    b"+00000000100000000000001",
    b"3381af922b9e11e3b19171861300734c",
    b"3381AF922B9E11E3B19171861300734C",
    b"3381af92-2b9e-11e3-b191-71861300734c",
    b"{3381af922b9e11e3b191718613007}",
    b"",
];

const ID_WORDS: &[&[u8]] =
    &[b"0", b"f", b"F", b"g", b"-", b"+", b" ", b"\x00", b"\xc3\xbc", b"{", b"urn:uuid:", b"0x"];

const QUERIES: &[&[u8]] = &[
    b"ids=000000000100000000000001,000000000100000000000002&echo=true&limit=20",
    b"limit=-9223372036854775809&limit=99999999999999999999",
    b"limit=%31%30&echo=%74rue&marker=%ff%fe&ids=%2c%2C,,",
    b"ids=&=x&&&limit&echo==&marker=a=b",
    b"limit=+5&limit=%205&limit=5_0&limit=0x5",
    b"",
];

const QUERY_WORDS: &[&[u8]] = &[
    b"&",
    b"=",
    b",",
    b"%",
    b"%2",
    b"%2C",
    b"%26",
    b"%00",
    b"+",
    b"ids",
    b"limit",
    b"echo",
    b"marker",
    b"true",
    b"-1",
    b"99999999999999999999",
    b"\xff",
    b";",
    b"#",
    b"?",
];

use super::*;

fn grant(paths: &[&str], methods: &[&str], project: &str, expires: &str) -> Grant {
    let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    Grant::new(owned(paths), owned(methods), project, Expiry::parse(expires).unwrap())
}

/// Secret, what is signed, and the signature.
fn vectors() -> [(&'static str, Grant, &'static str); 4] {
    [
        (
            "secret",
            grant(&["/v2/queues/demo/messages"], &["GET"], "p1", "2100-01-01T00:00:00"),
            "3652cb8345628f3fb7964604707161713e46124bf6aa4668e5ab782797bf8b41",
        ),
        (
            "secret",
            grant(
                &["/v2/queues/demo/messages", "/v2/queues/demo/claims"],
                &["POST", "GET"],
                "p1",
                "2100-01-01T00:00:00",
            ),
            "d6ee8e645fcad4af5d7513008fa695c8ac360b2162bc948d671f0770ef042301",
        ),
        (
            "test_key",
            grant(
                &["/v2/queues/q/claims", "/v2/queues/q/messages"],
                &["PUT", "GET"],
                "P",
                "2030-01-02T03:04:05",
            ),
            "1457a00baa7ca888d20b402c9750a3b1686cf20b9421d13555458a8cdfb6415c",
        ),
        (
            "k",
            grant(&["/a"], &["GET"], "None", "2030-01-02T03:04:05+02:00"),
            "1b536374b13bdbbb9d6e7ebdd2c2a14411d21c7e1ac35ff55322b06e24ed1a13",
        ),
    ]
}

#[test]
fn signatures_are_those_that_clients_hold_already() {
    for (secret, grant, signature) in vectors() {
        let signer = UrlSigner::new([secret]);
        assert_eq!(signer.sign(&grant).as_deref(), Some(signature), "{grant:?}");
        assert!(signer.recognises(&grant, signature), "{grant:?}");
    }
}

#[test]
fn any_change_of_the_signature_or_of_what_is_signed_is_seen() {
    let [(secret, good, signature), ..] = vectors();
    let signer = UrlSigner::new([secret]);
    for at in 0..signature.len() {
        let mut other = signature.to_owned();
        let digit = if &signature[at..=at] == "0" { "1" } else { "0" };
        other.replace_range(at..=at, digit);
        assert!(!signer.recognises(&good, &other), "digit {at}");
    }
    for bad in ["", "3652", &signature[1..], &format!("{signature}0"), &"é".repeat(32)] {
        assert!(!signer.recognises(&good, bad), "{bad:?}");
    }
    let (path, expires) = ("/v2/queues/demo/messages", "2100-01-01T00:00:00");
    for other in [
        grant(&["/v2/queues/demp/messages"], &["GET"], "p1", expires),
        grant(&[path, path], &["GET"], "p1", expires),
        grant(&[path], &["get"], "p1", expires),
        grant(&[path], &[], "p1", expires),
        grant(&[path], &["GET"], "p2", expires),
        grant(&[path], &["GET"], "p1", "2100-01-01T00:00:01"),
    ] {
        assert!(!signer.recognises(&other, signature), "{other:?}");
    }
}

#[test]
fn the_first_secret_signs_and_every_one_is_recognised() {
    let [(_, grant, _), ..] = vectors();
    let (old, new) = (UrlSigner::new(["old"]), UrlSigner::new(["new"]));
    let both = UrlSigner::new(["new", "", "old"]);
    assert_eq!(both.sign(&grant), new.sign(&grant));
    for signature in [old.sign(&grant), new.sign(&grant)] {
        assert!(both.recognises(&grant, &signature.unwrap()));
    }
    assert!(!new.recognises(&grant, &old.sign(&grant).unwrap()));
}

#[test]
fn without_a_secret_nothing_is_signed_and_nothing_recognised() {
    let [(_, grant, signature), ..] = vectors();
    for none in [UrlSigner::default(), UrlSigner::new([""])] {
        assert_eq!(none.sign(&grant), None);
        assert!(!none.recognises(&grant, signature));
    }
}

#[test]
fn a_path_covers_itself_and_what_is_below_it() {
    let grant = grant(&["/v2/queues/a.b/messages"], &["GET"], "p", "2100-01-01");
    for path in ["/v2/queues/a.b/messages", "/v2/queues/a.b/messages/7"] {
        assert!(grant.covers_path(path.as_bytes()), "{path}");
    }
    for path in [
        "/v2/queues/axb/messages",
        "/v2/queues/a.b/messagesx",
        "/v2/queues/a.b/claims",
        "/v2/queues/a.b",
        "/x/v2/queues/a.b/messages",
        "",
    ] {
        assert!(!grant.covers_path(path.as_bytes()), "{path}");
    }
    assert!(grant.covers_method("GET"));
    assert!(!grant.covers_method("get") && !grant.covers_method("HEAD"));
}

#[test]
fn an_empty_path_covers_nothing() {
    assert!(!grant(&[""], &["GET"], "p", "2100-01-01").covers_path(b"/v2/queues"));
}

#[test]
fn the_secrets_are_not_shown() {
    let shown = format!("{:?}", UrlSigner::new(["hunter2"]));
    assert_eq!(shown, "UrlSigner { secrets: 1 }");
}

//! The JSON texts that subscribers are sent.

use serde_json::Value;

use crate::channel::Notification;
use crate::confirmation::{Confirmation, ConfirmationKind};

/// A notification, with the body as it was posted. It is the same for every attempt.
pub(crate) fn notification(notification: &Notification) -> String {
    let message = &notification.message;
    let mut text = format!("{{\"ttl\": {}, \"body\": ", message.ttl.as_secs());
    push_ascii(&mut text, message.body.as_str());
    if message.delay.as_secs() > 0 {
        text.push_str(&format!(", \"delay\": {}", message.delay.as_secs()));
    }
    text.push_str(&format!(
        ", \"Message_Type\": \"Notification\", \"queue_name\": \"{}\", \"message_id\": \"{}\", \
         \"subscription_id\": \"{}\"}}",
        notification.queue.name, message.id, notification.subscription.id
    ));
    text
}

/// A confirmation.
pub(crate) fn confirmation(confirmation: &Confirmation) -> String {
    let queue = &confirmation.queue.name;
    let message = match confirmation.kind {
        ConfirmationKind::Subscribe => {
            format!("You have chosen to subscribe to the queue: {queue}")
        }
        ConfirmationKind::Unsubscribe => format!(
            "You have unsubscribed successfully to the queue: {queue}, you can resubscribe it by \
             using confirmed=True."
        ),
    };
    let mut members = vec![
        ("Message_Type", quoted(confirmation.kind.message_type())),
        ("Message", quoted(&message)),
        ("URL-Signature", quoted(&confirmation.signature)),
        ("URL-Methods", quoted(&confirmation.method)),
        ("URL-Paths", quoted(&confirmation.path)),
        ("X-Project-ID", quoted(confirmation.queue.project.as_str())),
        ("URL-Expires", quoted(&confirmation.expires)),
        ("SubscribeBody", "{\"confirmed\": true}".to_owned()),
        ("UnsubscribeBody", "{\"confirmed\": false}".to_owned()),
    ];
    let urls = [
        ("WSGISubscribeURL", &confirmation.url),
        ("WebSocketSubscribeURL", &confirmation.websocket_url),
    ];
    for (name, url) in urls {
        members.extend(url.as_ref().map(|url| (name, quoted(url))));
    }
    members.push(("queue_name", quoted(queue.as_str())));
    let members: Vec<_> =
        members.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
    format!("{{{}}}", members.join(", "))
}

fn quoted(text: &str) -> String {
    let mut escaped = String::new();
    push_ascii(&mut escaped, &Value::from(text).to_string());
    escaped
}

/// Adds JSON text with everything beyond ASCII escaped. That can only be within strings, so the
/// value stays the same.
fn push_ascii(into: &mut String, json: &str) {
    for character in json.chars() {
        if character.is_ascii() {
            into.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                into.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::Notification;
    use crate::webhook::samples;

    #[test]
    fn a_notification_has_the_shape_that_subscribers_know_and_says_what_to_drop_doubles_by() {
        let text = notification(&samples::notification(r#"{"b" : "é😀", "n": 1.0}"#, 0));
        assert_eq!(
            text,
            "{\"ttl\": 60, \"body\": {\"b\" : \"\\u00e9\\ud83d\\ude00\", \"n\": 1.0}, \
             \"Message_Type\": \"Notification\", \"queue_name\": \"q\", \
             \"message_id\": \"000000000100000000000001\", \
             \"subscription_id\": \"000000000100000000000002\"}"
        );
        assert!(serde_json::from_str::<Value>(&text).is_ok());
    }

    #[test]
    fn a_delay_is_told_if_one_was_posted_and_attempts_are_alike() {
        let first: Notification = samples::notification("1", 900);
        let mut second = first.clone();
        second.message.attempts = 7;
        assert!(notification(&first).starts_with("{\"ttl\": 60, \"body\": 1, \"delay\": 900, "));
        assert_eq!(notification(&first), notification(&second));
    }

    #[test]
    fn a_confirmation_holds_all_that_its_answer_needs() {
        let text = confirmation(&samples::confirmation(ConfirmationKind::Subscribe));
        let value: Value = serde_json::from_str(&text).unwrap();
        let keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(
            keys,
            [
                "Message_Type",
                "Message",
                "URL-Signature",
                "URL-Methods",
                "URL-Paths",
                "X-Project-ID",
                "URL-Expires",
                "SubscribeBody",
                "UnsubscribeBody",
                "WSGISubscribeURL",
                "queue_name",
            ]
        );
        assert_eq!(value["Message_Type"], "SubscriptionConfirmation");
        assert_eq!(value["SubscribeBody"]["confirmed"], true);
        assert_eq!(value["X-Project-ID"], "p");
        let text = confirmation(&samples::confirmation(ConfirmationKind::Unsubscribe));
        assert!(text.contains("you can resubscribe it by using confirmed=True."));
    }
}

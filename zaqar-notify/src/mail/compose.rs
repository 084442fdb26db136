//! What mails say.

use lettre::Message;
use lettre::message::{Mailbox, header::ContentType};
use serde_json::Value;
use url::form_urlencoded;

use super::recipient;
use crate::channel::Notification;
use crate::confirmation::{Confirmation, ConfirmationKind};
use crate::json;

/// Longest subject, in characters.
const SUBJECT_CHARS_MAX: usize = 250;

/// One kind of confirmation mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailTemplate {
    /// The subject.
    pub topic: String,
    /// The text, in which `{0}` stands for the queue, `{1}` for the project, `{2}` for the link.
    pub body: String,
    /// The sender.
    pub sender: String,
}

/// What mails say, and who sends them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailTexts {
    /// The sender of every mail; empty: whom each names.
    pub sender: String,
    /// The mail that asks to confirm.
    pub subscribe: MailTemplate,
    /// The mail that says that nothing more will come.
    pub unsubscribe: MailTemplate,
    /// The operator's page that takes the answer.
    pub confirmation_url: String,
}

impl MailTexts {
    pub(super) fn notification(&self, notification: &Notification) -> Option<Message> {
        let subscription = &notification.subscription;
        let option = |name| subscription.options.get(name).and_then(Value::as_str);
        let sender = self.sender(option("from"), &self.subscribe.sender)?;
        let in_query = query(&subscription.subscriber, "subject");
        let subject = in_query.as_deref().or_else(|| option("subject")).unwrap_or_default();
        let id = Some(format!("<{}@zaqar>", notification.id()));
        message(&subscription.subscriber, sender, subject, id, json::notification(notification))
    }

    pub(super) fn confirmation(&self, confirmation: &Confirmation) -> Option<Message> {
        let template = match confirmation.kind {
            ConfirmationKind::Subscribe => &self.subscribe,
            ConfirmationKind::Unsubscribe => &self.unsubscribe,
        };
        let sender = self.sender(None, &template.sender)?;
        let values = [
            confirmation.queue.name.as_str(),
            confirmation.queue.project.as_str(),
            &self.link(confirmation),
        ];
        let body = fill(&template.body, values);
        message(&confirmation.subscription.subscriber, sender, &template.topic, None, body)
    }

    /// The operator's own sender; else the tenant's, if it is one; else the fallback.
    fn sender(&self, tenant: Option<&str>, fallback: &str) -> Option<Mailbox> {
        if !self.sender.is_empty() {
            return self.sender.parse().ok();
        }
        let tenant = tenant.and_then(|sender| sender.parse().ok());
        tenant.or_else(|| fallback.parse().ok())
    }

    fn link(&self, confirmation: &Confirmation) -> String {
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("Signature", &confirmation.signature)
            .append_pair("Methods", &confirmation.method)
            .append_pair("Paths", &confirmation.path)
            .append_pair("Project", confirmation.queue.project.as_str())
            .append_pair("Expires", &confirmation.expires)
            .append_pair("Url", confirmation.url.as_deref().unwrap_or_default())
            .append_pair("Queue", confirmation.queue.name.as_str())
            .finish();
        let joint = if self.confirmation_url.contains('?') { '&' } else { '?' };
        format!("{}{joint}{query}", self.confirmation_url)
    }
}

/// Puts the values in the place of `{0}`, `{1}` and `{2}`; what a value holds stays as it is.
fn fill(template: &str, values: [&str; 3]) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        let found = values.iter().enumerate().find_map(|(index, value)| {
            after.strip_prefix(&format!("{index}}}")).map(|after| (value, after))
        });
        match found {
            Some((value, after)) => {
                text.push_str(value);
                rest = after;
            }
            None => {
                text.push('{');
                rest = after;
            }
        }
    }
    text.push_str(rest);
    text
}

/// The parameter of a `mailto:` URI.
fn query(subscriber: &str, name: &str) -> Option<String> {
    let (_, query) = subscriber.split_once('?')?;
    // In this kind of URI a plus is a plus.
    let query = query.replace('+', "%2B");
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.into_owned())
}

/// A mail to one recipient. Its headers hold no line breaks, whatever the texts hold.
fn message(
    subscriber: &str,
    sender: Mailbox,
    subject: &str,
    id: Option<String>,
    body: String,
) -> Option<Message> {
    let subject: String =
        subject.chars().filter(|c| !c.is_control()).take(SUBJECT_CHARS_MAX).collect();
    let to = Mailbox::new(None, recipient(subscriber)?);
    Message::builder()
        .to(to)
        .from(sender)
        .subject(subject)
        .message_id(id)
        .header(ContentType::TEXT_PLAIN)
        .body(body)
        .ok()
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::webhook::samples;

    pub(crate) fn texts() -> MailTexts {
        let template = |topic: &str| MailTemplate {
            topic: topic.into(),
            body: "Queue {0} of {1}: {2}".into(),
            sender: "Zaqar <no-reply@zaqar.example>".into(),
        };
        MailTexts {
            sender: String::new(),
            subscribe: template("Confirm"),
            unsubscribe: template("Bye"),
            confirmation_url: "https://page.example/confirm".into(),
        }
    }

    fn text(mail: Option<Message>) -> String {
        String::from_utf8(mail.unwrap().formatted()).unwrap()
    }

    fn to(subscriber: &str, options: Value) -> Notification {
        let mut notification = samples::notification("{\"x\": 1}", 0);
        notification.subscription.subscriber = subscriber.into();
        notification.subscription.options = options.as_object().unwrap().clone();
        notification
    }

    #[test]
    fn a_notification_says_the_message_and_names_sender_and_subject() {
        let options = json!({"from": "me@tenant.example", "subject": "Hello"});
        let mail = text(texts().notification(&to("mailto:a@b.example", options.clone())));
        for line in ["To: a@b.example\r\n", "From: me@tenant.example\r\n", "Subject: Hello\r\n"] {
            assert!(mail.contains(line), "{line} is not in {mail}");
        }
        let (_, body) = mail.split_once("\r\n\r\n").unwrap();
        assert!(body.starts_with("{\"ttl\": 60, \"body\": {\"x\": 1}, "), "{body}");
        let mail = text(texts().notification(&to("mailto:a@b.example?subject=x%20+y", options)));
        assert!(mail.contains("Subject: x +y\r\n"), "{mail}");
        let fixed = MailTexts { sender: "op@zaqar.example".into(), ..texts() };
        let mail =
            text(fixed.notification(&to("mailto:a@b.example", json!({"from": "b@c.example"}))));
        assert!(mail.contains("From: op@zaqar.example\r\n"), "{mail}");
    }

    #[test]
    fn no_text_of_a_tenant_makes_a_header() {
        let evil = "x\r\nBcc: victim@c.example\r\n\r\nbody";
        let options = json!({"from": format!("a@b.example{evil}"), "subject": evil});
        let encoded = "mailto:a@b.example?subject=y%0D%0ABcc:%20victim@c.example";
        for subscriber in ["mailto:a@b.example", encoded] {
            let mail = text(texts().notification(&to(subscriber, options.clone())));
            let (head, _) = mail.split_once("\r\n\r\n").unwrap();
            assert!(!head.contains("\r\nBcc"), "{head}");
            assert!(head.contains("From: Zaqar <no-reply@zaqar.example>"), "{head}");
        }
        for subscriber in ["mailto:a@b.example,c@d.example", "mailto:a@b\r\nBcc: c@d", "mailto:?x"]
        {
            assert!(texts().notification(&to(subscriber, json!({}))).is_none(), "{subscriber}");
        }
    }

    #[test]
    fn a_confirmation_fills_the_template_and_encodes_the_link() {
        let mut confirmation = samples::confirmation(ConfirmationKind::Subscribe);
        let mail = texts().confirmation(&confirmation).unwrap();
        assert!(text(Some(mail)).contains("Subject: Confirm\r\n"));
        let link = texts().link(&confirmation);
        let url = url::Url::parse(&link).unwrap();
        let pairs: Vec<_> =
            url.query_pairs().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        assert_eq!(pairs[0], ("Signature".into(), "ab".repeat(32)));
        assert_eq!(pairs[2].1, confirmation.path);
        assert_eq!(pairs[6], ("Queue".into(), "q".into()));
        confirmation.kind = ConfirmationKind::Unsubscribe;
        assert!(text(texts().confirmation(&confirmation)).contains("Subject: Bye\r\n"));
        assert_eq!(fill("{0}{2}{1} {3} {", ["a", "{0}", "c"]), "ac{0} {3} {");
    }
}

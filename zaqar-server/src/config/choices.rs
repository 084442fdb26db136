//! The options whose values are a few fixed texts.

use super::value::choices;

choices! {
    /// How callers are authenticated.
    AuthStrategy {
        /// Not at all: project and roles are believed as sent.
        None = "",
        /// By tokens of the identity service.
        Keystone = "keystone",
    }
}

choices! {
    /// What a client id may be.
    ClientIdCheck {
        /// A UUID.
        Strict = "strict",
        /// Any text of a permitted length.
        Off = "off",
    }
}

choices! {
    /// How mail is sent.
    SmtpMode {
        /// By a command that takes the mail on its standard input.
        ThirdPart = "third_part",
        /// To a mail server.
        SelfLocal = "self_local",
    }
}

choices! {
    /// How the connection to the mail server is secured.
    SmtpTls {
        /// From its first byte on.
        Implicit = "implicit",
        /// By STARTTLS, or not used at all.
        StartTls = "starttls",
        /// Not at all.
        None = "none",
    }
}

choices! {
    /// How log lines are written.
    LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

//! A policy file to begin with: every rule at its default, commented out.

use super::rule::{HELPERS, Rule};

const HEADER: &str = "\
# Who may do what, in the language of oslo.policy. What stands here commented out is the default.
# A rule is \"\" (everyone), \"!\" (nobody), or checks such as role:admin, rule:admin_or_owner and
# project_id:%(project_id)s, put together by and, or, not and parentheses.
# Rules of your own, without a colon in their name, may be added and referred to.
";

/// The file. `operations` says where a rule is asked, such as `GET /v2/queues`.
pub fn sample(operations: impl Fn(Rule) -> Vec<String>) -> String {
    let mut text = HEADER.to_owned();
    for helper in &HELPERS {
        push(&mut text, helper.doc, &[], helper.name, helper.default);
    }
    for rule in Rule::ALL {
        push(&mut text, rule.doc(), &operations(*rule), rule.name(), rule.default_check());
    }
    text
}

fn push(text: &mut String, doc: &str, operations: &[String], name: &str, default: &str) {
    text.push_str(&format!("\n# {doc}\n"));
    for operation in operations {
        text.push_str(&format!("# {operation}\n"));
    }
    text.push_str(&format!("#\"{name}\": \"{default}\"\n"));
}

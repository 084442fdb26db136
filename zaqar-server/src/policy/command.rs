//! `policy check` and `policy sample`.

use std::borrow::Cow;

use clap::{Args, Subcommand};
use http::Method;
use percent_encoding::percent_decode_str;
use zaqar_auth::Identity;
use zaqar_auth::policy::{self, Explanation, Policy, Rule, Target};
use zaqar_core::{ProjectId, QueueKind};

use crate::rest::routes::{self, Guard};
use crate::websocket;

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Explain whether somebody may do something, by the rules in force; exit code 1 if not
    Check(Box<Question>),
    /// Print a policy file with every rule, commented out, at its default
    Sample,
}

/// Who asks, and for what.
#[derive(Debug, Args)]
pub(crate) struct Question {
    /// The rule, such as messages:create, or one of the policy file's own
    #[arg(long, value_name = "NAME", group = "what", required_unless_present_any = ["path", "action"])]
    rule: Option<String>,
    /// A path of the API, such as /v2/queues/orders/messages; needs --method
    #[arg(long, value_name = "PATH", group = "what", requires = "method")]
    path: Option<String>,
    /// The method on --path
    #[arg(long, value_name = "METHOD", requires = "path")]
    method: Option<String>,
    /// An action over WebSocket, such as message_post
    #[arg(long, value_name = "NAME", group = "what")]
    action: Option<String>,
    /// The caller's project
    #[arg(long, value_name = "ID")]
    project: String,
    /// A role of the caller; may be given several times
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    role: Vec<String>,
    /// The caller's user
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// The domain of the caller's user
    #[arg(long, value_name = "ID")]
    user_domain: Option<String>,
    /// The domain of the caller's project
    #[arg(long, value_name = "ID")]
    project_domain: Option<String>,
    /// What the caller's roles hold for beside the project, such as all
    #[arg(long, value_name = "SCOPE")]
    system_scope: Option<String>,
    /// The project that it is about, with --rule; the caller's if not given
    #[arg(long, value_name = "ID", conflicts_with_all = ["path", "action"])]
    target_project: Option<String>,
    /// The queue that it is about; --path names it itself
    #[arg(long, value_name = "NAME", conflicts_with_all = ["path", "topic"])]
    queue: Option<String>,
    /// The topic that it is about; --path names it itself
    #[arg(long, value_name = "NAME", conflicts_with_all = ["path", "action"])]
    topic: Option<String>,
}

/// What a question comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) text: String,
    pub(crate) allowed: bool,
}

impl From<Explanation> for Verdict {
    fn from(explanation: Explanation) -> Self {
        Self { allowed: explanation.holds(), text: explanation.to_string() }
    }
}

/// Every rule with what it guards, as a file to begin with.
pub(crate) fn sample() -> String {
    policy::sample(guarded)
}

/// Where the rule is asked. None of the pools' and flavors' is: they have names, so that a policy
/// file of another Zaqar is understood, but no routes yet.
pub(crate) fn guarded(rule: Rule) -> Vec<String> {
    let routes = routes::guards(true).filter(|(.., guard)| *guard == Guard::Rule(rule));
    let routes = routes.map(|(method, path, _)| format!("{method} {path}"));
    let actions = websocket::guards().filter(|(_, guard)| *guard == rule);
    let actions = actions.map(|(action, _)| format!("{action} over WebSocket"));
    routes.chain(actions).collect()
}

/// Explains a decision, or says what is wrong with the question.
pub(crate) fn check(policy: &Policy, question: &Question) -> Result<Verdict, String> {
    let caller = question.caller()?;
    if let (Some(path), Some(method)) = (&question.path, &question.method) {
        return by_path(policy, &caller, method, path);
    }
    let target_project = question.target_project.as_deref().map(|id| project("target-project", id));
    let target_project = target_project.transpose()?;
    let mut target = Target::of_project(target_project.as_ref().unwrap_or(&caller.project));
    target.queue = question.queue.as_deref();
    target.topic = question.topic.as_deref();
    let rule = match (&question.action, &question.rule) {
        (Some(action), _) => websocket::guards()
            .find(|(name, _)| name == action)
            .map(|(_, rule)| rule.name())
            .ok_or_else(|| format!("there is no action {action} that a rule guards"))?,
        (None, rule) => rule.as_deref().unwrap_or_default(),
    };
    if target_project.is_none() && question.action.is_none() && is_of_service(rule) {
        target.project = None;
    }
    let explained = policy.explain(rule, &caller, &target);
    explained.map(Verdict::from).ok_or_else(|| format!("there is no rule {rule}"))
}

/// Whether the rule guards routes that are about the whole service.
fn is_of_service(rule: &str) -> bool {
    let mut routes = routes::guards(true)
        .filter(|(.., guard)| matches!(guard, Guard::Rule(guard) if guard.name() == rule));
    routes.any(|(_, path, _)| !routes::guards(false).any(|(_, open, _)| open == path))
}

fn by_path(
    policy: &Policy,
    caller: &Identity,
    method: &str,
    path: &str,
) -> Result<Verdict, String> {
    let path = path.split('?').next().unwrap_or_default();
    let decoded: Cow<'_, [u8]> = percent_decode_str(path).into();
    let matched = routes::find(&decoded, true).ok_or_else(|| format!("nothing is at {path}"))?;
    let upper = method.to_ascii_uppercase();
    let endpoint = upper.parse::<Method>().ok().and_then(|method| matched.route.endpoint(&method));
    let Some(endpoint) = endpoint else {
        let served = matched.route.allow();
        return Err(format!("{path} has no method {upper}; it has {served}"));
    };
    let Guard::Rule(rule) = endpoint.guard else {
        let text = format!("allowed: {upper} {path} is for everyone, and no rule is asked\n");
        return Ok(Verdict { text, allowed: true });
    };
    let name = matched.name.map(|(kind, name)| (kind, String::from_utf8_lossy(name)));
    let name: Option<(QueueKind, &str)> = name.as_ref().map(|(kind, name)| (*kind, name.as_ref()));
    let target = matched.route.target(&caller.project, name);
    let explained = policy.explain(rule.name(), caller, &target);
    explained.map(Verdict::from).ok_or_else(|| format!("there is no rule {}", rule.name()))
}

impl Question {
    fn caller(&self) -> Result<Identity, String> {
        let mut caller = Identity::of_project(project("project", &self.project)?);
        caller.user.clone_from(&self.user);
        caller.user_domain.clone_from(&self.user_domain);
        caller.project_domain.clone_from(&self.project_domain);
        caller.system_scope.clone_from(&self.system_scope);
        caller.roles.clone_from(&self.role);
        Ok(caller)
    }
}

fn project(flag: &str, id: &str) -> Result<ProjectId, String> {
    ProjectId::new(id).map_err(|error| format!("flag --{flag}: {error}"))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        question: Question,
    }

    fn ask(policy: &Policy, line: &str) -> Result<bool, String> {
        let line = Line::try_parse_from(format!("x {line}").split_whitespace());
        let question = line.map_err(|error| error.to_string())?.question;
        check(policy, &question).map(|verdict| verdict.allowed)
    }

    #[test]
    fn a_question_is_asked_by_rule_by_path_or_by_action() {
        let file = "\"messages:get\": rule:admin_or_owner\n\
                    \"queues:get\": \"'q':%(queue_name)s\"\n\
                    \"topics:get\": \"'t':%(topic_name)s\"\n\
                    \"health:get\": rule:admin_or_owner\n\
                    ours: user_id:u and system_scope:all\n";
        let policy = Policy::from_text(file, "p.yaml").unwrap();
        for (line, allowed) in [
            ("--project p --rule messages:get", true),
            ("--project p --rule messages:get --target-project o", false),
            ("--project p --rule messages:get --target-project o --role admin", true),
            ("--project p --rule queues:get --queue q", true),
            ("--project p --rule queues:get --topic q", false),
            ("--project p --rule topics:get --topic t", true),
            ("--project p --rule health:get", false),
            ("--project p --rule health:get --target-project p", true),
            ("--project p --rule ours --user u --system-scope all", true),
            ("--project p --rule ours --user u", false),
            ("--project p --action queue_get --queue q", true),
            ("--project p --action queue_get", false),
            ("--project p --method GET --path /v2/queues/q", true),
            ("--project p --method get --path /v2/queues/%71", true),
            ("--project p --method GET --path /v2/queues/p", false),
            ("--project p --method GET --path /v2/topics/t?x=1", true),
            ("--project p --method GET --path /v2/health", false),
            ("--project p --method GET --path /v2/health --role x,admin", true),
            ("--project p --method GET --path /", true),
            ("--project p --method GET --path /v2/", true),
        ] {
            assert_eq!(ask(&policy, line), Ok(allowed), "{line}");
        }
    }

    #[test]
    fn a_question_that_cannot_be_answered_is_refused() {
        let policy = Policy::default();
        for line in [
            "--project p",
            "--rule queues:get",
            "--project p --rule queues:got",
            "--project p --rule queues:get --action queue_get",
            "--project p --path /v2/queues",
            "--project p --method GET",
            "--project p --method GET --path /v2/nothing",
            "--project p --method PUT --path /v2/queues",
            "--project p --action authenticate",
            "--project p --action nothing",
        ] {
            assert!(ask(&policy, line).is_err(), "{line}");
        }
    }
}

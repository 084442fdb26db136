//! Rules at work: the defaults, files over them, and whatever anybody may write.

use proptest::prelude::*;
use zaqar_core::ProjectId;

use super::*;
use crate::Identity;

fn caller(roles: &[&str]) -> Identity {
    let mut identity = Identity::of_project(ProjectId::new("p1").unwrap());
    identity.roles = roles.iter().map(|role| (*role).to_owned()).collect();
    identity.user = Some("u1".to_owned());
    identity
}

fn policy(text: &str) -> Policy {
    Policy::from_text(text, "p.yaml").unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refused(text: &str) -> String {
    Policy::from_text(text, "p.yaml").expect_err(text).to_string()
}

/// Whether somebody with these roles may post to something of a project.
fn posts(policy: &Policy, roles: &[&str], project: &str) -> bool {
    let project = ProjectId::new(project).unwrap();
    let target = Target::of_project(&project).queue("q");
    policy.allows(Rule::MessagesCreate, &caller(roles), &target)
}

#[test]
fn every_default_is_a_rule_and_says_who_gets_in() {
    let policy = Policy::default();
    let (admin, member) = (caller(&["Admin"]), caller(&["member"]));
    for rule in Rule::ALL {
        Check::parse(rule.default_check()).unwrap();
        assert_eq!(Rule::named(rule.name()), Some(*rule));
        assert!(!rule.doc().is_empty());
        let target = Target::default();
        assert!(policy.allows(*rule, &admin, &target), "{}", rule.name());
        // A rule that asks others lets in whom these let in.
        let default = rule.default_check();
        let everyone = default.is_empty() || default.contains("rule:");
        assert_eq!(policy.allows(*rule, &member, &target), everyone, "{}", rule.name());
    }
    assert_eq!(Policy::from_text("", "p.yaml").unwrap(), policy);
    assert_eq!(Policy::from_text(&sample(|_| vec!["x".into()]), "p.yaml").unwrap(), policy);
}

#[test]
fn the_sample_without_its_comments_is_the_default_too() {
    let sample = sample(|_| Vec::new()).replace("\n#\"", "\n\"");
    let policy = policy(&sample);
    let default = Policy::default();
    let mut names = Rule::ALL.iter().map(|rule| rule.name()).collect::<Vec<_>>();
    names.extend(["context_is_admin", "admin_or_owner"]);
    for identity in [caller(&["admin"]), caller(&[])] {
        for name in &names {
            let target = Target::of_project(&identity.project);
            let decided = |policy: &Policy| policy.explain(name, &identity, &target).unwrap();
            assert!(decided(&policy).to_string().contains("of the policy file"), "{name}");
            assert_eq!(decided(&policy).holds(), decided(&default).holds(), "{name}");
        }
    }
}

#[test]
fn a_file_replaces_the_rules_it_names_and_no_others() {
    let strict = policy("\"messages:create\": \"role:producer\"\n\"health:get\": \"!\"\n");
    assert!(posts(&strict, &["Producer"], "p1"));
    assert!(!posts(&strict, &["admin"], "p1"));
    assert!(!posts(&strict, &[], "p1"));
    let target = Target::default();
    assert!(!strict.allows(Rule::HealthGet, &caller(&["admin"]), &target));
    assert!(strict.allows(Rule::MessagesGet, &caller(&[]), &target));
    assert!(!strict.allows(Rule::PoolsGet, &caller(&[]), &target));
}

#[test]
fn the_target_is_the_project_of_the_resource() {
    let owners = policy("\"messages:create\": \"rule:admin_or_owner\"\n");
    assert!(posts(&owners, &[], "p1"));
    assert!(!posts(&owners, &[], "p2"));
    assert!(posts(&owners, &["admin"], "p2"));
    // What belongs to nobody has no owner.
    assert!(!owners.allows(Rule::MessagesCreate, &caller(&[]), &Target::default()));
}

#[test]
fn who_is_admin_is_what_the_file_says() {
    let file = "context_is_admin: role:boss\n\"messages:create\": \"is_admin:True\"\n";
    let bosses = policy(file);
    assert!(posts(&bosses, &["boss"], "p2"));
    assert!(!posts(&bosses, &["admin"], "p2"));
    let others = policy("\"messages:create\": \"is_admin:False\"\n");
    assert!(!posts(&others, &["admin"], "p1"));
    assert!(posts(&others, &["member"], "p1"));
}

#[test]
fn facts_of_caller_and_target_are_compared_exactly() {
    for (rule, holds) in [
        ("user_id:u1", true),
        ("user_id:U1", false),
        ("user_id:u", false),
        ("project_id:p1", true),
        ("user_domain_id:default", false),
        ("not user_domain_id:default", true),
        ("system_scope:all", false),
        ("'q':%(queue_name)s", true),
        ("'q':%(topic_name)s", false),
        ("'p1':%(project_id)s and role:member", true),
        ("True:%(queue_name)s", false),
        ("role:%(queue_name)s", false),
        ("role:member and not role:admin", true),
        ("@", true),
        ("!", false),
    ] {
        let policy = policy(&format!("\"messages:create\": \"{rule}\"\n"));
        assert_eq!(posts(&policy, &["member"], "p1"), holds, "{rule}");
    }
}

#[test]
fn lists_of_lists_are_alternatives_of_checks_that_must_all_hold() {
    for (rule, shown) in [
        ("[]", "@"),
        ("[[\"role:a\", \"role:b\"], \"role:c\"]", "role:a and role:b or role:c"),
        ("[[\"role:a\"]]", "role:a"),
    ] {
        let policy = policy(&format!("{{\"messages:create\": {rule}}}"));
        let target = Target::default();
        let explained = policy.explain("messages:create", &caller(&[]), &target).unwrap();
        assert!(explained.to_string().contains(&format!("  {shown}")), "{rule}: {explained}");
    }
    assert!(refused("{\"messages:create\": [[\"role:a or role:b\"]]}").contains("one check"));
    assert!(refused("{\"messages:create\": [[]]}").contains("must hold checks"));
    assert!(refused("{\"messages:create\": [[[\"@\"]]]}").contains("must hold checks"));
}

#[test]
fn a_file_that_is_not_in_order_is_refused_by_line_rule_and_character() {
    for (text, parts) in [
        ("a: [", &["line ", "YAML"][..]),
        ("- a\n", &["line 1", "map"]),
        ("role:admin", &["line 1", "map"]),
        ("\n\"queue:get\": \"\"\n", &["line 2", "\"queue:get\""]),
        ("\"queues:get\":\n", &["line 1", "missing"]),
        ("\"queues:get\": ~\n", &["line 1", "missing"]),
        ("\"queues:get\": !\n", &["line 1", "quotes"]),
        ("\"queues:get\": {a: b}\n", &["line 1", "text"]),
        ("a: &x role:b\nb: *x\n", &["line 2", "aliases"]),
        ("a: role:b\na: role:c\n", &["line 2", "twice"]),
        ("a: role:b\n---\nb: role:c\n", &["one document"]),
        ("\n\"queues:get\": role:a and\n", &["line 2", "\"queues:get\"", "character 11"]),
        ("\"queues:get\": true\n", &["line 1", "\"queues:get\"", "character 1"]),
        (
            "\"queues:get\": role:a or rule:b\n",
            &["\"queues:get\"", "character 11", "no rule \"b\""],
        ),
        ("\"queues:get\": https://example.org/%(name)s\n", &["not supported"]),
    ] {
        let error = refused(text);
        for part in [&["p.yaml"], parts].concat() {
            assert!(error.contains(part), "{text}: {part:?} not in {error}");
        }
    }
}

#[test]
fn rules_in_a_circle_are_refused() {
    for text in [
        "a: rule:a\n",
        "a: rule:b\nb: rule:c\nc: not rule:a\n",
        "context_is_admin: is_admin:True\n",
        "context_is_admin: rule:admin_or_owner\n",
    ] {
        assert!(refused(text).contains("circle"), "{text}: {}", refused(text));
    }
    let diamond = "a: rule:b and rule:c\nb: rule:d\nc: rule:d\nd: role:e\n";
    assert_eq!(policy(diamond).unused(), ["a"]);
    let chain = |rules: usize| -> String {
        let links = (0..rules).map(|n| format!("r{n}: rule:r{}\n", n + 1));
        links.chain([format!("r{rules}: role:x\n")]).collect()
    };
    policy(&chain(31));
    assert!(refused(&chain(32)).contains("refer to one another"));
}

#[test]
fn rules_that_nobody_asks_are_told() {
    let text = "default: role:admin\nours: role:x\n\"queues:get\": rule:ours\n";
    assert_eq!(policy(text).unused(), ["default"]);
    assert_eq!(Policy::default().unused(), Vec::<&str>::new());
}

#[test]
fn an_explanation_shows_what_was_looked_at_and_what_was_found() {
    let policy =
        policy("\n\"messages:create\": rule:writers or rule:admin_or_owner\nwriters: role:w\n");
    let project = ProjectId::new("p2").unwrap();
    let identity = caller(&["member"]);
    let explain = |name: &str| policy.explain(name, &identity, &Target::of_project(&project));
    let expected = "\
denied by rule messages:create (line 2 of the policy file)
  no   rule:writers or rule:admin_or_owner
    no   rule:writers
      no   role:w    (the caller has the roles member)
    no   rule:admin_or_owner
      no   is_admin:True or project_id:%(project_id)s
        no   is_admin:True
          no   role:admin    (the caller has the roles member)
        no   project_id:%(project_id)s    (the caller's is \"p1\", compared with \"p2\")
";
    assert_eq!(explain("messages:create").unwrap().to_string(), expected);
    let allowed = explain("queues:get").unwrap();
    assert!(allowed.holds());
    assert_eq!(allowed.to_string(), "allowed by rule queues:get (the default)\n  yes  @\n");
    assert_eq!(explain("queues:got"), None);
}

/// Texts that look like rules.
fn rules() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("@".to_owned()),
        Just("!".to_owned()),
        Just("is_admin:True".to_owned()),
        Just("rule:context_is_admin".to_owned()),
        Just("project_id:%(project_id)s".to_owned()),
        Just("'a':%(queue_name)s".to_owned()),
        "role:[a-z()%üß]{1,6}",
    ];
    leaf.prop_recursive(6, 40, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|rule| format!("not {rule}")),
            inner.clone().prop_map(|rule| format!("({rule})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} and {b}")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("{a}  OR {b}")),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_is_written_is_a_rule_or_an_error_within_it(text in "\\PC{0,60}") {
        if let Err(error) = Check::parse(&text) {
            prop_assert!(error.character <= text.chars().count() + 1);
        }
    }

    #[test]
    fn a_rule_that_was_written_out_reads_the_same(text in prop_oneof![
        rules(),
        "(role:[a-c]|and|or|not|\\(|\\)|@|!| ){0,24}",
    ]) {
        if let Ok(check) = Check::parse(&text) {
            let written = check.to_string();
            prop_assert_eq!(Check::parse(&written), Ok(check), "{}", written);
        }
    }

    #[test]
    fn whatever_a_file_holds_is_a_policy_or_an_error(text in "[\\PC\n]{0,80}") {
        // Reading it must end, and not panic; what it comes to is the other tests' matter.
        if let Err(error) = Policy::from_text(&text, "p.yaml") {
            prop_assert!(error.to_string().starts_with("policy file p.yaml, line "));
        }
    }

    #[test]
    fn an_explanation_decides_as_the_policy_does(text in rules(), admin in any::<bool>()) {
        let file = format!("\"messages:create\": \"{text}\"\n");
        let Ok(policy) = Policy::from_text(&file, "p.yaml") else { return Ok(()) };
        let identity = caller(if admin { &["admin"] } else { &["a"] });
        let target = Target::of_project(&identity.project);
        let explained = policy.explain("messages:create", &identity, &target).unwrap();
        let allowed = policy.allows(Rule::MessagesCreate, &identity, &target);
        prop_assert_eq!(explained.holds(), allowed);
    }
}

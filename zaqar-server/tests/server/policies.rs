//! Policies as an operator meets them: the sample, the file, the explanation.

use crate::support::program::command;

/// Exit code, standard output and standard error of a command.
async fn output(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = command(arguments).output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn a_decision_is_explained_by_the_file_that_the_configuration_names() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.yaml");
    let rules = "writers: role:producer\n\"messages:create\": rule:writers\nspare: \"!\"\n";
    std::fs::write(&file, rules).unwrap();
    let set = format!("oslo_policy.policy_file={}", file.display());
    let asked = ["--set", &set, "policy", "check", "--project", "p1", "--method", "post"];
    let asked = [&asked[..], &["--path", "/v2/queues/q/messages?x=1", "--role"]].concat();

    let (code, text, warning) = output(&[&asked[..], &["reader,Producer"]].concat()).await;
    let expected = "\
allowed by rule messages:create (line 2 of the policy file)
  yes  rule:writers
    yes  role:producer    (the caller has the roles reader, Producer)
";
    assert_eq!((code, text.as_str()), (Some(0), expected), "{warning}");
    assert!(warning.contains("spare"), "{warning}");

    let (code, text, _) = output(&[&asked[..], &["reader"]].concat()).await;
    assert_eq!((code, text.lines().count()), (Some(1), 3), "{text}");
    assert!(text.starts_with("denied by rule messages:create"), "{text}");
}

#[tokio::test]
async fn the_sample_is_a_file_that_changes_nothing() {
    let (code, sample, _) = output(&["policy", "sample"]).await;
    assert_eq!(code, Some(0));
    for line in [
        "# POST /v2/queues/{queue}/messages",
        "# message_post over WebSocket",
        "#\"messages:create\": \"\"",
        "#\"health:get\": \"role:admin\"",
        "#\"pools:create\": \"role:admin\"",
    ] {
        assert!(sample.lines().any(|found| found == line), "{line} is not in:\n{sample}");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.yaml");
    std::fs::write(&file, sample).unwrap();
    let set = format!("oslo_policy.policy_file={}", file.display());
    let (code, ..) = output(&["--set", &set, "config", "check"]).await;
    assert_eq!(code, Some(0));
}

#[tokio::test]
async fn a_file_that_is_not_in_order_stops_every_command_that_needs_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.yaml");
    std::fs::write(&file, "\n\"queues:get\": role:a or\n").unwrap();
    for (path, words) in [
        (file.clone(), &["policy.yaml, line 2, rule \"queues:get\", character 10"][..]),
        (folder.path().join("missing.yaml"), &["missing.yaml"]),
    ] {
        let set = format!("oslo_policy.policy_file={}", path.display());
        let uri = format!("sqlite:{}", folder.path().join("z.db").display());
        for further in [
            &["config", "check"][..],
            &["policy", "check", "--rule", "queues:get", "--project", "p"],
            &["--storage", &uri, "--port", "0", "--admin-port", "0"],
        ] {
            let (code, _, error) = output(&[&["--set", &set], further].concat()).await;
            assert_eq!(code, Some(2), "{further:?}: {error}");
            assert!(error.contains("option oslo_policy.policy_file"), "{error}");
            assert!(words.iter().all(|word| error.contains(word)), "{further:?}: {error}");
        }
    }
}

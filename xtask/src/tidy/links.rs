//! Links between the repository's documents.

use super::tree::{Finding, Tree};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files().iter().filter(|file| file.path.ends_with(".md")) {
        let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (line, target) in targets(&file.text) {
            let path = target.split(['#', '?']).next().unwrap_or_default();
            if path.is_empty() || is_elsewhere(path) {
                continue;
            }
            if !resolve(folder, path).is_some_and(|path| tree.has(&path)) {
                findings.push(file.finding(line, format!("`{target}` leads nowhere")));
            }
        }
    }
    findings
}

/// Whether a link leads out of the repository.
fn is_elsewhere(target: &str) -> bool {
    target.split_once(':').is_some_and(|(scheme, _)| scheme.chars().all(char::is_alphanumeric))
}

/// The targets of all links with their lines, except in code.
fn targets(text: &str) -> Vec<(usize, &str)> {
    let mut targets = Vec::new();
    let mut fence = None;
    for (index, line) in text.lines().enumerate() {
        let start = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| start.starts_with(mark));
        match (fence, mark) {
            (None, Some(_)) => fence = mark,
            (Some(_), Some(_)) if fence == mark => fence = None,
            (None, None) => targets.extend(line_targets(line).map(|target| (index + 1, target))),
            _ => {}
        }
    }
    targets
}

fn line_targets(line: &str) -> impl Iterator<Item = &str> {
    let inline = line.match_indices("](").filter_map(|(at, _)| {
        let in_code = line.get(..at)?.matches('`').count() % 2 == 1;
        let target = line.get(at + 2..)?.split(')').next()?;
        (!in_code).then_some(target)
    });
    let definition = line
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("]:"))
        .filter(|(name, _)| !name.starts_with('^'))
        .map(|(_, target)| target);
    inline.chain(definition).filter_map(|target| target.split_whitespace().next())
}

/// The path from the root of what `target` means in `folder`; `None` if that is outside.
fn resolve(folder: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    if target.starts_with('/') {
        return None;
    }
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::super::tree::samples::{lines, trees};
    use super::*;

    #[test]
    fn a_link_to_a_missing_file_is_found() {
        let tree = trees(&[("README.md", "a [b](docs/b.md)\n[c]: docs/c.md\n"), ("docs/c.md", "")]);
        assert_eq!(lines(&check(&tree)), [1]);
    }

    #[test]
    fn a_link_out_of_the_repository_by_path_is_found() {
        let tree = trees(&[("docs/a.md", "[b](../../b.md)\n[c](/etc/passwd)\n")]);
        assert_eq!(lines(&check(&tree)), [1, 2]);
    }

    #[test]
    fn links_that_lead_somewhere_pass() {
        let text = "[a](../README.md#start) [b](b.md) [c](#here) [d](https://example.org/x)\n\
                    [e](../docs/) `[f](nowhere.md)`\n```text\n[g](nowhere.md)\n```\n";
        let tree = trees(&[("README.md", ""), ("docs/a.md", text), ("docs/b.md", "")]);
        assert_eq!(check(&tree), []);
    }
}

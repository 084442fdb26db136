//! A file that names a path of its author's machine works, or makes sense, only there.

use super::tree::{Finding, Tree};

// In halves, so that this file passes its own rule.
const ANYWHERE: [&str; 4] = [
    concat!(".lib", "rary"),
    concat!("shared", "/design"),
    concat!("shared", "/spec"),
    concat!("bash", "_jobs"),
];
const ABSOLUTE: [&str; 4] =
    [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/"), concat!("/wo", "rk/")];
/// Users that nobody is: a test or an example may show their folders.
const SAMPLE_USERS: [&str; 4] = ["alice", "bob", "u", "user"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    // The checkout's own place, too, whatever it is; a place such as "/x" says too little.
    let root = Some(tree.root()).filter(|root| root.matches('/').count() > 1);
    let mut findings = Vec::new();
    for file in tree.files() {
        for (index, line) in file.text.lines().enumerate() {
            let named = ANYWHERE.iter().copied().chain(root).find(|path| line.contains(path));
            let named =
                named.or_else(|| ABSOLUTE.iter().copied().find(|path| has_absolute(line, path)));
            if let Some(path) = named {
                findings.push(file.finding(index + 1, format!("names `{path}`")));
            }
        }
    }
    findings
}

/// Whether a path in `line` begins with `path`, which is not just some folder deeper down.
fn has_absolute(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line.get(..at).and_then(|s| s.chars().next_back());
        let after = line.get(at + path.len()..).unwrap_or_default();
        let folder = after.split(|c: char| !(c.is_alphanumeric() || "._-".contains(c))).next();
        !before.is_some_and(|c| c.is_alphanumeric() || "._-~}/".contains(c))
            && !folder.is_some_and(|folder| SAMPLE_USERS.contains(&folder))
    })
}

#[cfg(test)]
mod tests {
    use super::super::tree::samples::{lines, tree};
    use super::*;

    fn home(rest: &str) -> String {
        format!("{}{rest}", ABSOLUTE[0])
    }

    #[test]
    fn a_home_folder_is_found() {
        let text = format!("fine\ncd {}\nopen(\"{}\")\n", home("ann/zaqar"), home("ann"));
        assert_eq!(lines(&check(&tree("README.md", &text))), [2, 3]);
    }

    #[test]
    fn the_checkout_itself_is_found() {
        let tree = tree("docs/a.md", "see /srv/builds/checkout/docs");
        assert_eq!(lines(&check(&tree)), [1]);
    }

    #[test]
    fn a_folder_beside_the_checkout_is_found() {
        let text = format!("as {} says", ANYWHERE[1]);
        assert_eq!(lines(&check(&tree("src/a.rs", &text))), [1]);
    }

    #[test]
    fn routes_deeper_folders_and_sample_users_pass() {
        let text = format!("GET /v2/queues\n/var{}\n{}\n", home("x"), home("user/.config"));
        assert!(check(&tree("README.md", &text)).is_empty());
    }
}

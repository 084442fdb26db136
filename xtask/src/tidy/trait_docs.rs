//! What a driver's author must know stands at the operation, under headings that are always the same.

use super::source::{bracketed, has_word, is_word, line_at};
use super::tree::{Finding, SourceFile, Tree};

const HOME: &str = "zaqar-core/src/";
const HEADINGS: [&str; 4] = ["Guarantees", "Errors", "Cancellation", "Conformance"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.rust().filter(|file| file.path.starts_with(HOME)).flat_map(in_file).collect()
}

fn in_file(file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, _) in file.code.match_indices("pub trait ") {
        let Some(rest) = file.code.get(at + "pub trait ".len()..) else { continue };
        let name: String = rest.chars().take_while(|c| is_word(*c)).collect();
        if !name.ends_with("Controller") {
            continue;
        }
        let Some(open) = rest.find('{').map(|brace| at + "pub trait ".len() + brace) else {
            continue;
        };
        let body = bracketed(&file.code, open, ('{', '}')).unwrap_or_default();
        let first_line = line_at(&file.code, open);
        for (index, line) in body.lines().enumerate() {
            if has_word(line, "fn") {
                findings.extend(operation(file, &name, first_line + index));
            }
        }
    }
    findings
}

/// Looks at the comment above the operation that begins on `line`.
fn operation(file: &SourceFile, trait_name: &str, line: usize) -> Option<Finding> {
    let lines: Vec<&str> = file.text.lines().take(line).map(str::trim).collect();
    let (signature, above) = lines.split_last()?;
    let name = signature.split("fn ").nth(1)?.split(|c| !is_word(c)).next()?;
    let docs: Vec<&str> = above
        .iter()
        .rev()
        .take_while(|line| line.starts_with("///") || line.starts_with("#["))
        .map(|line| line.trim_start_matches('/').trim())
        .collect();
    let missing: Vec<String> = HEADINGS
        .iter()
        .map(|heading| format!("# {heading}"))
        .filter(|heading| !docs.contains(&heading.as_str()))
        .collect();
    let message = format!("`{trait_name}::{name}` does not document {}", missing.join(", "));
    (!missing.is_empty()).then(|| file.finding(line, message))
}

#[cfg(test)]
mod tests {
    use super::super::tree::samples::{lines, tree};
    use super::*;

    const DOCUMENTED: &str = "\
pub trait ClaimController: Send {
    /// Claims.
    ///
    /// # Guarantees
    /// G5.
    /// # Errors
    /// None.
    /// # Cancellation
    /// Safe.
    /// # Conformance
    /// claim.*
    async fn claim_create(&self) -> Result<()>;
";

    #[test]
    fn an_operation_without_a_heading_is_found() {
        let text = format!("{DOCUMENTED}\n    /// # Errors\n    async fn b(&self);\n}}\n");
        let findings = check(&tree("zaqar-core/src/claim.rs", &text));
        assert_eq!(lines(&findings), [15]);
        let message =
            "`ClaimController::b` does not document # Guarantees, # Cancellation, # Conformance";
        assert_eq!(findings[0].message, message);
    }

    #[test]
    fn a_documented_operation_and_other_traits_pass() {
        let text = format!("{DOCUMENTED}}}\npub trait Clock {{\n    fn now(&self);\n}}\n");
        assert!(check(&tree("zaqar-core/src/claim.rs", &text)).is_empty());
        assert!(
            check(&tree("zaqar-engine/src/a.rs", "pub trait XController { fn a(); }")).is_empty()
        );
    }
}

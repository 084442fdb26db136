//! Judges a recorded history again, and explains its first finding:
//!
//! ```sh
//! cargo run -p zaqar-conformance --example explain -- FILE.history.jsonl [PICTURE.svg]
//! ```
//!
//! It exits with 1 if a promise was broken, with 2 if nothing could be shown either way.

use std::process::ExitCode;

use anyhow::Context as _;
use zaqar_conformance::loss::explain::examine;
use zaqar_conformance::loss::history::History;
use zaqar_conformance::loss::verdict::Conclusion;

fn main() -> anyhow::Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().context("name the file of a history: *.history.jsonl")?;
    let text = std::fs::read_to_string(&file).with_context(|| format!("{file} cannot be read"))?;
    let history = History::from_lines(&text).with_context(|| format!("{file} is no history"))?;
    let (verdict, exhibit) = examine(&history);
    println!("{verdict}");
    if let Some(exhibit) = exhibit {
        println!("\n{}", exhibit.explanation);
        if let Some(picture) = arguments.next() {
            std::fs::write(&picture, &exhibit.picture)
                .with_context(|| format!("{picture} cannot be written"))?;
        }
    }
    Ok(match verdict.conclusion() {
        Conclusion::Clean => ExitCode::SUCCESS,
        Conclusion::Broken => ExitCode::from(1),
        Conclusion::Inconclusive(reason) => {
            println!("inconclusive: {reason}");
            ExitCode::from(2)
        }
    })
}

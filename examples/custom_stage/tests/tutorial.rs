//! The tutorial shows this crate as it is.

const TUTORIAL: &str = include_str!("../../../docs/write-a-stage.md");
const FILES: [(&str, &str); 5] = [
    ("Cargo.toml", include_str!("../Cargo.toml")),
    ("src/lib.rs", include_str!("../src/lib.rs")),
    ("src/main.rs", include_str!("../src/main.rs")),
    ("tests/server.rs", include_str!("server.rs")),
    ("zaqar-server.toml", include_str!("../zaqar-server.toml")),
];

/// The code blocks of these languages.
fn blocks() -> Vec<(usize, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, line) in TUTORIAL.lines().enumerate() {
        match (&mut open, line) {
            (None, "```rust" | "```toml") => open = Some((index + 2, String::new())),
            (Some(_), "```") => blocks.extend(open.take()),
            (Some((_, text)), line) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, _) => {}
        }
    }
    assert!(open.is_none(), "a code block has no end");
    blocks
}

#[test]
fn every_code_block_of_the_tutorial_is_in_the_crate_word_for_word() {
    let blocks = blocks();
    assert!(blocks.len() >= 5, "{} blocks", blocks.len());
    for (line, block) in blocks {
        let holds = FILES.iter().any(|(_, text)| text.contains(&block));
        assert!(holds, "docs/write-a-stage.md, line {line}: no file of the crate has\n{block}");
    }
    for (name, _) in FILES {
        let path = format!("examples/custom_stage/{name}");
        assert!(TUTORIAL.contains(&path), "{path} is not mentioned");
    }
}

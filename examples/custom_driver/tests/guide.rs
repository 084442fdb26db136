//! The guide shows this crate, and what the suite says of it, as they are.

use std::fs;
use std::path::Path;

const GUIDE: &str = include_str!("../../../docs/driver-guide.md");

/// The blocks in that language, each with the line on which it begins.
fn blocks(language: &str) -> Vec<(usize, String)> {
    let fence = format!("```{language}");
    let mut blocks = Vec::new();
    let mut lines = GUIDE.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        if line == fence {
            let block = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```");
            blocks.push((index + 2, block.map(|line| format!("{line}\n")).collect()));
        }
    }
    blocks
}

/// The texts of all files of that extension in the crate.
fn files(folder: &Path, extension: &str) -> std::io::Result<Vec<String>> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            texts.extend(files(&path, extension)?);
        } else if path.extension().is_some_and(|of| of == extension) {
            texts.push(fs::read_to_string(path)?);
        }
    }
    Ok(texts)
}

#[test]
fn every_code_block_and_every_verdict_of_the_guide_is_in_the_crate() -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (language, extension, at_least) in [("rust", "rs", 6), ("text", "txt", 4)] {
        let (blocks, files) = (blocks(language), files(folder, extension)?);
        assert!(blocks.len() >= at_least, "{} blocks of {language}", blocks.len());
        for (line, block) in blocks {
            let holds = files.iter().any(|text| text.contains(&block));
            assert!(holds, "docs/driver-guide.md, line {line}: no file of the crate has\n{block}");
        }
    }
    Ok(())
}

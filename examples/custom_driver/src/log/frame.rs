//! The format of the log: frames, one for each write, of lines, one for each operation.
//!
//! ```text
//! mark (4 bytes) | length of the lines (u32, little endian) | CRC-32C of length and lines | lines
//! ```
//!
//! What is written at once is one frame, because a crash may leave any part of what was not flushed
//! yet: only the last write can be torn, so only the last frame can be.

use crc::{CRC_32_ISCSI, Crc};

const MARK: &[u8; 4] = b"ZLF1";
const HEADER: usize = 12;
const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// A frame of `lines`, which end with a line feed each.
pub(super) fn framed(lines: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(lines.len()).ok()?.to_le_bytes();
    let mut frame = Vec::with_capacity(HEADER + lines.len());
    frame.extend_from_slice(MARK);
    frame.extend_from_slice(&length);
    frame.extend_from_slice(&checksum(&length, lines).to_le_bytes());
    frame.extend_from_slice(lines);
    Some(frame)
}

fn checksum(length: &[u8], lines: &[u8]) -> u32 {
    let mut digest = CRC.digest();
    digest.update(length);
    digest.update(lines);
    digest.finalize()
}

/// The lines of the frame at the start of `bytes`, and what comes after it; `None` if there is no
/// whole frame.
fn split_frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (header, rest) = bytes.split_at_checked(HEADER)?;
    let (mark, header) = header.split_at_checked(MARK.len())?;
    let (length, sum) = header.split_at_checked(4)?;
    let count = u32::from_le_bytes(length.try_into().ok()?);
    let (lines, after) = rest.split_at_checked(usize::try_from(count).ok()?)?;
    let sound = mark == MARK && checksum(length, lines).to_le_bytes() == *sum;
    sound.then_some((lines, after))
}

/// What reading a log found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'b> {
    /// The lines of each frame. The last `torn` bytes of the log are what a write left that was
    /// under way when the process or the machine stopped; nobody was answered for it.
    Sound { frames: Vec<&'b [u8]>, torn: usize },
    /// The bytes at that place are no frame, and one follows: this is no torn write.
    Damaged { at: usize },
}

/// Reads all frames of a log.
pub(super) fn read(log: &[u8]) -> Found<'_> {
    let mut frames = Vec::new();
    let mut rest = log;
    while let Some((lines, after)) = split_frame(rest) {
        frames.push(lines);
        rest = after;
    }
    if holds_a_frame(rest) {
        return Found::Damaged { at: log.len() - rest.len() };
    }
    Found::Sound { frames, torn: rest.len() }
}

/// Whether any whole frame is somewhere in `bytes`, whatever its neighbours say of their lengths.
fn holds_a_frame(bytes: &[u8]) -> bool {
    let marks = bytes.windows(MARK.len()).enumerate().filter(|(_, window)| window == MARK);
    marks.filter_map(|(at, _)| bytes.get(at..)).any(|from| split_frame(from).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> Vec<u8> {
        [&b"a\n"[..], b"bb\nb\n", b"c\n"]
            .into_iter()
            .flat_map(|lines| framed(lines).unwrap())
            .collect()
    }

    #[test]
    fn frames_are_read_as_they_were_written() {
        let frames = vec![&b"a\n"[..], b"bb\nb\n", b"c\n"];
        assert_eq!(read(&log()), Found::Sound { frames, torn: 0 });
        assert_eq!(read(b""), Found::Sound { frames: Vec::new(), torn: 0 });
    }

    #[test]
    fn whatever_is_missing_of_the_last_frame_only_that_frame_is_cut() {
        let log = log();
        let last = HEADER + 2;
        for missing in 1..last {
            let cut = &log[..log.len() - missing];
            let frames = vec![&b"a\n"[..], b"bb\nb\n"];
            assert_eq!(read(cut), Found::Sound { frames, torn: last - missing });
        }
    }

    #[test]
    fn a_last_frame_of_which_blocks_are_zeros_is_torn() {
        let mut log = log();
        let from = log.len() - HEADER - 2;
        log[from..].fill(0);
        assert!(matches!(read(&log), Found::Sound { torn, .. } if torn == HEADER + 2));
    }

    #[test]
    fn any_altered_byte_before_the_last_frame_is_damage() {
        let whole = log();
        for at in 0..whole.len() - HEADER - 2 {
            let mut log = whole.clone();
            log[at] ^= 0x10;
            assert!(matches!(read(&log), Found::Damaged { .. }), "byte {at}");
        }
    }
}

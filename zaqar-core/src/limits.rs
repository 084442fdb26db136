//! Every bound of the domain in one place.
//!
//! These are the hard limits of the *model*: what a driver must be able to hold. What an operator
//! may tighten (page sizes, body sizes, time-to-live maxima) is configuration of the engine.

/// Longest project id, in characters.
pub const PROJECT_ID_CHARS_MAX: usize = 256;
/// Longest queue or topic name, in characters.
pub const QUEUE_NAME_CHARS_MAX: usize = 64;
/// Longest client id, in characters.
pub const CLIENT_ID_CHARS_MAX: usize = 256;
/// Longest pool or flavor name, in characters.
pub const RESOURCE_NAME_CHARS_MAX: usize = 64;
/// Longest idempotency key, in bytes.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
/// Largest incarnation number (40 bits: ten hexadecimal digits in an id).
pub const INCARNATION_MAX: u64 = (1 << 40) - 1;
/// Largest position in a queue (56 bits: fourteen hexadecimal digits in an id).
pub const SEQUENCE_MAX: u64 = (1 << 56) - 1;
/// Longest time-to-live, in seconds: to the end of year 9999 from the epoch.
pub const TTL_S_MAX: u64 = 253_402_300_799;
/// Most items that one page, claim, pop or bulk call may ask a driver for.
pub const PAGE_LIMIT_MAX: u32 = 1_000;
/// Items in a page when the caller names no limit.
pub const PAGE_LIMIT_DEFAULT: u32 = 10;
/// Most messages in one post.
pub const MESSAGES_PER_POST_MAX: usize = 1_000;
/// Most rows that one atomic step of a driver may touch (K in the documents): what is due in
/// greater number is done in further steps, so that no caller waits behind a long one.
pub const ROWS_PER_STEP_MAX: u32 = 1_000;

//! The reference driver.

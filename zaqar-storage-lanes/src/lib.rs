//! Group commit for storage drivers: what waits for one queue goes into one step.

//! Zaqar storage in Redis and Valkey.

//! Zaqar storage in MongoDB.

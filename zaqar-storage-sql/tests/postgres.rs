//! What is peculiar to PostgreSQL.

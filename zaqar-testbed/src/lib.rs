//! Real database servers for tests: install, start, kill, restart, fail over.

//! What bounds a lane.

/// Operations of one project that may wait in all lanes together.
const WAITING_PER_PARTY_MAX: usize = 4_096;
/// Rows that one batch may touch.
const BATCH_ROWS_MAX: usize = 1_000;
/// Bytes that one batch may carry.
const BATCH_BYTES_MAX: usize = 8 << 20;

/// What an operation adds to its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Weight {
    /// Rows that it touches.
    pub rows: usize,
    /// Bytes that it carries.
    pub bytes: usize,
}

impl Weight {
    /// So many rows, carrying so many bytes.
    #[must_use]
    pub fn new(rows: usize, bytes: usize) -> Self {
        Self { rows, bytes }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            rows: self.rows.saturating_add(other.rows),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

/// Bounds of [`Lanes`](crate::Lanes).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LaneLimits {
    /// Operations of one project that may wait in all lanes together; one more is refused with
    /// `Overloaded`.
    pub waiting_max: usize,
    /// What one batch may weigh. A single operation is always taken, whatever it weighs.
    pub batch_max: Weight,
}

impl LaneLimits {
    /// 4,096 operations waiting, 1,000 rows and 8 MiB a batch.
    #[must_use]
    pub fn new() -> Self {
        let batch_max = Weight::new(BATCH_ROWS_MAX, BATCH_BYTES_MAX);
        Self { waiting_max: WAITING_PER_PARTY_MAX, batch_max }
    }

    /// Sets how many operations of one project may wait.
    #[must_use]
    pub fn waiting_max(mut self, operations: usize) -> Self {
        self.waiting_max = operations;
        self
    }

    /// Sets what one batch may weigh.
    #[must_use]
    pub fn batch_max(mut self, weight: Weight) -> Self {
        self.batch_max = weight;
        self
    }

    pub(crate) fn fits(&self, weight: Weight) -> bool {
        weight.rows <= self.batch_max.rows && weight.bytes <= self.batch_max.bytes
    }
}

impl Default for LaneLimits {
    fn default() -> Self {
        Self::new()
    }
}

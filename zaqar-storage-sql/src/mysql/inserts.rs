//! Rows with bodies, inserted by the hundred: prepared statements of a few fixed sizes, so that a
//! connection knows them all before long.

use sqlx::AssertSqlSafe;

use super::step::Step;

/// Rows of one statement, when there are more than [`EACH_MAX`].
const SIZES: [usize; 4] = [512, 256, 128, 64];
/// Up to here there is a statement for each number of rows.
const EACH_MAX: usize = 32;

/// A value of a row.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bound<'p> {
    Int(i64),
    Bytes(Option<&'p [u8]>),
}

impl<'p> Bound<'p> {
    /// A text, kept byte for byte.
    pub(crate) fn text(text: &'p str) -> Self {
        Self::Bytes(Some(text.as_bytes()))
    }

    /// A text that may be missing.
    pub(crate) fn opt(text: Option<&'p str>) -> Self {
        Self::Bytes(text.map(str::as_bytes))
    }

    fn len(&self) -> usize {
        match self {
            Self::Int(_) => 8,
            Self::Bytes(bytes) => bytes.map_or(1, |bytes| bytes.len().saturating_add(9)),
        }
    }
}

/// Inserts `rows` of `N` columns into what `table` names with its columns: `"t (a, b)"`. No
/// statement carries more than `bytes_max`, unless a single row does.
pub(crate) async fn insert<const N: usize>(
    step: &mut Step<'_>,
    table: &'static str,
    rows: &[[Bound<'_>; N]],
    bytes_max: usize,
) -> Result<(), sqlx::Error> {
    let mut left = rows;
    while !left.is_empty() {
        let (now, later) = left.split_at_checked(portion(left, bytes_max)).unwrap_or((left, &[]));
        let mut statement = sqlx::query(AssertSqlSafe(text::<N>(table, now.len())));
        for value in now.iter().flatten() {
            statement = match value {
                Bound::Int(value) => statement.bind(value),
                Bound::Bytes(bytes) => statement.bind(bytes),
            };
        }
        step.execute_prepared(statement).await?;
        left = later;
    }
    Ok(())
}

/// How many of the rows go into the next statement.
fn portion<const N: usize>(rows: &[[Bound<'_>; N]], bytes_max: usize) -> usize {
    let mut bytes = 0_usize;
    let fits = |row: &&[Bound<'_>; N]| {
        bytes = row.iter().fold(bytes, |bytes, value| bytes.saturating_add(value.len()));
        bytes <= bytes_max
    };
    let most = rows.iter().take_while(fits).count().max(1);
    SIZES.into_iter().find(|size| *size <= most).unwrap_or(most.min(EACH_MAX))
}

fn text<const N: usize>(table: &str, rows: usize) -> String {
    let row = format!("({})", vec!["?"; N].join(","));
    format!("INSERT INTO {table} VALUES {}", vec![row; rows].join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_go_in_few_sizes_and_within_the_bytes() {
        let row = |text: &'static str| [Bound::Int(1), Bound::text(text)];
        assert_eq!(portion(&vec![row("a"); 1_000], 1 << 20), 512);
        assert_eq!(portion(&vec![row("a"); 63], 1 << 20), 32);
        assert_eq!(portion(&[row("a"); 7], 1 << 20), 7);
        assert_eq!(portion(&[row("aaaa"); 7], 50), 2);
        assert_eq!(portion(&[row("aaaa"); 7], 1), 1);
        assert_eq!(text::<2>("t (a, b)", 2), "INSERT INTO t (a, b) VALUES (?,?),(?,?)");
    }
}

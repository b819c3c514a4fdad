//! Columns for people.

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};

/// Rows under their headings, without borders: easy to read, and to cut with awk.
pub(crate) fn table(headings: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled).set_header(headings).add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 3));
    }
    trim(&table.to_string())
}

fn trim(text: &str) -> String {
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// Names and their values, one pair a line.
pub(crate) fn pairs(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    pairs.iter().map(|(name, value)| format!("{name:width$}   {value}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_tail() {
        let rows = [vec!["demo".to_owned(), "alice".to_owned()], vec!["a/long/name".to_owned(), "-".to_owned()]];
        assert_eq!(table(&["NAME", "LEADER"], rows), "NAME          LEADER\ndemo          alice\na/long/name   -");
    }

    #[test]
    fn no_rows_leave_the_headings() {
        assert_eq!(table(&["NAME", "LEADER"], []), "NAME   LEADER");
    }

    #[test]
    fn pairs_are_aligned() {
        assert_eq!(pairs(&[("ROLE", "active".into()), ("TENURE", "7".into())]), "ROLE     active\nTENURE   7");
    }
}

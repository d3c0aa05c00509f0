//! Markdown tables with aligned columns.

use std::fmt;

/// A table. The first column is text, the others are figures.
#[derive(Clone, Debug)]
pub struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Creates a table without rows.
    pub fn new<S: Into<String>>(header: impl IntoIterator<Item = S>) -> Self {
        Self { header: header.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Adds a row. Missing cells are empty.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        let mut cells: Vec<String> = cells.into_iter().map(Into::into).collect();
        cells.resize(self.header.len(), String::new());
        self.rows.push(cells);
    }

    fn widths(&self) -> Vec<usize> {
        let width = |column: usize| {
            let cells = std::iter::once(&self.header).chain(&self.rows).map(|row| &row[column]);
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(2)
        };
        (0..self.header.len()).map(width).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        let line = |f: &mut fmt::Formatter<'_>, cells: &[String]| {
            for (column, (cell, &width)) in cells.iter().zip(&widths).enumerate() {
                match column {
                    0 => write!(f, "| {cell:<width$} ")?,
                    _ => write!(f, "| {cell:>width$} ")?,
                }
            }
            writeln!(f, "|")
        };
        line(f, &self.header)?;
        for (column, &width) in widths.iter().enumerate() {
            match column {
                0 => write!(f, "| {:-<width$} ", "")?,
                _ => write!(f, "| {:->1$}: ", "", width - 1)?,
            }
        }
        writeln!(f, "|")?;
        self.rows.iter().try_for_each(|row| line(f, row))
    }
}

/// Formats a figure with about three significant digits.
pub fn figure(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => with_spaces(value),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Formats nanoseconds in a suitable unit.
pub fn duration(nanos: f64) -> String {
    match nanos {
        _ if nanos >= 1e9 => format!("{} s", figure(nanos / 1e9)),
        _ if nanos >= 1e6 => format!("{} ms", figure(nanos / 1e6)),
        _ if nanos >= 1e3 => format!("{} µs", figure(nanos / 1e3)),
        _ => format!("{nanos:.0} ns"),
    }
}

/// Formats a whole number with spaces between thousands.
pub fn with_spaces(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) && !text.ends_with('-') {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_missing_cells_are_empty() {
        let mut table = Table::new(["limiter", "ns"]);
        table.row(["a", "12.5"]);
        table.row(["b"]);
        let expected = "\
| limiter |   ns |
| ------- | ---: |
| a       | 12.5 |
| b       |      |
";
        assert_eq!(table.to_string(), expected);
    }

    #[test]
    fn figures_have_about_three_significant_digits() {
        assert_eq!([0.5, 12.345, 123.4, 1_234_567.0].map(figure), ["0.50", "12.3", "123", "1 234 567"]);
    }

    #[test]
    fn durations_have_a_suitable_unit() {
        assert_eq!([25.0, 2_500.0, 7e6, 1.5e9].map(duration), ["25 ns", "2.50 µs", "7.00 ms", "1.50 s"]);
    }
}

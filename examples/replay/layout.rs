//! How a report lays out its tables and its remarks about lines.

use std::fmt;
use std::io::{self, Write};
use std::ops::RangeInclusive;

use comfy_table::{CellAlignment, LineStyle, Row, Table, TableStyle};
use indicatif::HumanCount;

use super::lines::LeftOut;
use super::wording::{count, printable};

/// Creates a table. `figures` are the columns of numbers.
pub(crate) fn table(header: impl Into<Row>, figures: RangeInclusive<usize>) -> Table {
    let rule = LineStyle::none().fill('─');
    let mut table = Table::new();
    table.load_style(TableStyle::new().header_separator(rule)).set_header(header);
    for column in figures {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

pub(crate) fn write_table(out: &mut impl Write, table: &Table) -> io::Result<()> {
    writeln!(out)?;
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Writes which lines were left out, and why. `kind` is an adjective for them, `of` the number of
/// all lines, and `verb` says what became of them.
pub(crate) fn write_left_out(
    out: &mut impl Write,
    left_out: &LeftOut<impl fmt::Display>,
    kind: &str,
    of: u64,
    verb: &str,
) -> io::Result<()> {
    const REASON: usize = 130;
    const SAMPLE: usize = 90;

    if left_out.count == 0 {
        return Ok(());
    }
    let lines = count(left_out.count, &format!("{kind} line"));
    writeln!(out, "\n{lines} of {} {verb}:", HumanCount(of))?;
    for (number, wrong) in &left_out.first {
        writeln!(out, "  line {number}: {}", printable(&wrong.to_string(), REASON))?;
    }
    match left_out.count - left_out.first.len() as u64 {
        0 => {}
        more => writeln!(out, "  and {} more", HumanCount(more))?,
    }
    let first = left_out.first.first().map_or(0, |(number, _)| *number);
    writeln!(out, "Line {first} is: {}", printable(&left_out.sample, SAMPLE))
}

//! How a report lays out its tables and its remarks about lines.

use std::fmt;
use std::io::{self, Write};
use std::ops::RangeInclusive;

use comfy_table::{CellAlignment, LineStyle, Row, Table, TableStyle};
use indicatif::HumanCount;

use super::lines::MalformedLines;
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

/// Writes which lines were left out, and why. Each reason has up to `most` characters.
pub(crate) fn write_malformed(
    out: &mut impl Write,
    malformed: &MalformedLines<impl fmt::Display>,
    most: usize,
) -> io::Result<()> {
    if malformed.count == 0 {
        return Ok(());
    }
    writeln!(out, "\n{} left out:", count(malformed.count, "malformed line"))?;
    for (number, wrong) in &malformed.first {
        writeln!(out, "  line {number}: {}", printable(&wrong.to_string(), most))?;
    }
    match malformed.count - malformed.first.len() as u64 {
        0 => Ok(()),
        more => writeln!(out, "  and {} more", HumanCount(more)),
    }
}

//! The lines of a log: any bytes, lines of any length. Some are late, some malformed.

use std::io::{self, BufRead, Read};
use std::time::Duration;

use limited::Timestamp;

/// Reads the lines of an input one at a time, into one buffer.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    input: R,
    buffer: Vec<u8>,
    number: u64,
    bytes_read: u64,
}

/// The line without the line break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    /// The line number. The first is 1.
    pub(crate) number: u64,
    pub(crate) bytes: &'a [u8],
    /// The number of bytes read so far, this line included.
    pub(crate) bytes_read: u64,
}

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("the log is compressed; decompress it first, as in `{0} | … -`")]
    Gzip(&'static str),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Lines with an earlier time than a line before them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Late {
    pub(crate) lines: u64,
    pub(crate) at_most: Duration,
    latest: Timestamp,
}

/// Lines that cannot be parsed, and why.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MalformedLines<E> {
    pub(crate) count: u64,
    /// The first of them, with their line numbers.
    pub(crate) first: Vec<(u64, E)>,
}

impl<R: BufRead> Lines<R> {
    /// The longest line that is kept; servers write far shorter ones. The rest of a longer line is
    /// dropped, so that no input fills the memory.
    const LONGEST: u64 = 1 << 20;

    /// Rejects a compressed input. `decompress` is the command that decompresses such a log.
    pub(crate) fn new(mut input: R, decompress: &'static str) -> Result<Self, Unreadable> {
        const GZIP: &[u8] = &[0x1f, 0x8b];

        if input.fill_buf()?.starts_with(GZIP) {
            return Err(Unreadable::Gzip(decompress));
        }
        Ok(Self { input, buffer: Vec::new(), number: 0, bytes_read: 0 })
    }

    pub(crate) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.buffer.clear();
        let mut read = (&mut self.input).take(Self::LONGEST).read_until(b'\n', &mut self.buffer)?;
        if read == 0 {
            return Ok(None);
        }
        if !self.buffer.ends_with(b"\n") {
            read += self.input.skip_until(b'\n')?;
        }
        self.number += 1;
        self.bytes_read += read as u64;
        Ok(Some(Line {
            number: self.number,
            bytes: self.buffer.trim_ascii_end(),
            bytes_read: self.bytes_read,
        }))
    }
}

impl Late {
    /// Adds the time of the next line.
    pub(crate) fn add(&mut self, time: Timestamp) {
        self.latest = self.latest.max(time);
        let late = self.latest.saturating_since(time);
        self.lines += u64::from(!late.is_zero());
        self.at_most = self.at_most.max(late);
    }
}

impl<E> MalformedLines<E> {
    const SHOWN: usize = 5;

    pub(crate) fn add(&mut self, number: u64, wrong: E) {
        self.count += 1;
        if self.first.len() < Self::SHOWN {
            self.first.push((number, wrong));
        }
    }
}

impl<E> Default for MalformedLines<E> {
    fn default() -> Self {
        Self { count: 0, first: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &[u8]) -> Vec<(u64, Vec<u8>)> {
        let mut lines = Lines::new(input, "").unwrap();
        let mut all = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            all.push((line.number, line.bytes.to_vec()));
        }
        assert_eq!(lines.bytes_read, input.len() as u64);
        all
    }

    #[test]
    fn every_line_ending_is_read() {
        let expected: [(u64, Vec<u8>); 4] =
            [(1, b"a b".into()), (2, b"".into()), (3, b"\xff\0".into()), (4, b"c".into())];
        assert_eq!(lines(b"a b\r\n\n\xff\0\nc"), expected);
        assert_eq!(lines(b"a b\n\r\n\xff\0 \r\nc\n"), expected);
        assert_eq!(lines(b""), []);
    }

    #[test]
    fn enormous_line_is_cut_and_the_next_is_complete() {
        let longest = usize::try_from(Lines::<&[u8]>::LONGEST).unwrap();
        for length in [longest - 1, longest, longest + 1, 3 * longest] {
            let mut input = vec![b'x'; length];
            input.extend(b"\nnext");
            let kept = length.min(longest);
            assert_eq!(lines(&input), [(1, vec![b'x'; kept]), (2, b"next".into())]);
        }
    }
}

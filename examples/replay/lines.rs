//! The lines of a log: any bytes, lines of any length. Some are late, some malformed.

use std::fmt;
use std::io::{self, BufRead, Chain, Cursor, Read};
use std::time::Duration;

use limited::Timestamp;

use super::encoding::{HEAD, Kind};

/// Reads the lines of an input one at a time, into one buffer.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    input: Chain<Cursor<Vec<u8>>, R>,
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
    #[error(
        "the log is compressed with {format}; decompress it first, as in `{command} {name}.{suffix} | … -`"
    )]
    Compressed { format: &'static str, command: &'static str, suffix: &'static str, name: &'static str },
    #[error("the log is in {encoding}; convert it first, as in `iconv -f {encoding} -t UTF-8 {name} | … -`")]
    Wide { encoding: &'static str, name: &'static str },
    #[error(
        "this is a file of systemd-journald; export it first, as in `journalctl --file … -o short-iso | … -`"
    )]
    Journal,
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

/// Lines that are left out, and why.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LeftOut<E> {
    pub(crate) count: u64,
    /// The first of them, with their line numbers.
    pub(crate) first: Vec<(u64, E)>,
    /// The start of the very first of them.
    pub(crate) sample: String,
}

impl<R: BufRead> Lines<R> {
    /// The longest line that is kept; servers write far shorter ones. The rest of a longer line is
    /// dropped, so that no input fills the memory.
    const LONGEST: u64 = 1 << 20;

    /// Rejects an input that is not text. `name` is the usual name of such a log.
    pub(crate) fn new(mut input: R, name: &'static str) -> Result<Self, Unreadable> {
        const UTF_8_MARK: &[u8] = b"\xef\xbb\xbf";

        // A pipe may deliver less at a time than the recognition needs.
        let mut head = Vec::new();
        (&mut input).take(HEAD).read_to_end(&mut head)?;
        match Kind::of(&head) {
            Some(Kind::Compressed(format, command, suffix)) => {
                return Err(Unreadable::Compressed { format, command, suffix, name });
            }
            Some(Kind::Wide(encoding)) => return Err(Unreadable::Wide { encoding, name }),
            Some(Kind::Journal) => return Err(Unreadable::Journal),
            None => {}
        }
        let mark = if head.starts_with(UTF_8_MARK) { UTF_8_MARK.len() as u64 } else { 0 };
        let mut head = Cursor::new(head);
        head.set_position(mark);
        Ok(Self { input: head.chain(input), buffer: Vec::new(), number: 0, bytes_read: mark })
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

impl<E: fmt::Display> LeftOut<E> {
    /// Returns the first of them with the reason; `None` if there is none.
    pub(crate) fn first_reason(&self) -> Option<String> {
        self.first.first().map(|(number, wrong)| format!("line {number}: {wrong}"))
    }
}

impl<E> LeftOut<E> {
    const SHOWN: usize = 5;
    const SAMPLE: usize = 200;

    pub(crate) fn add(&mut self, number: u64, line: &str, wrong: E) {
        if self.count == 0 {
            self.sample = line.chars().take(Self::SAMPLE).collect();
        }
        self.count += 1;
        if self.first.len() < Self::SHOWN {
            self.first.push((number, wrong));
        }
    }
}

impl<E> Default for LeftOut<E> {
    fn default() -> Self {
        Self { count: 0, first: Vec::new(), sample: String::new() }
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
    fn mark_of_utf_8_is_not_part_of_the_first_line() {
        assert_eq!(lines(b"\xef\xbb\xbfa\n\xef\xbb\xbfb"), [(1, b"a".into()), (2, b"\xef\xbb\xbfb".into())]);
    }

    #[test]
    fn input_that_comes_byte_by_byte_is_recognised_too() {
        /// Delivers one byte at a time, as a pipe may.
        struct Slow<'a>(&'a [u8]);

        impl Read for Slow<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let most = buffer.len().min(1);
                self.0.read(&mut buffer[..most])
            }
        }

        let new = |input| Lines::new(io::BufReader::with_capacity(1, Slow(input)), "access.log");
        let error = new(b"BZh91AY").map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("`bunzip2 -c access.log.bz2 | … -`"), "{error}");
        let error = new(b"1\x009\x002\0\n\0").map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("`iconv -f UTF-16LE -t UTF-8 access.log | … -`"), "{error}");
        assert_eq!(new(b"text").unwrap().next().unwrap().unwrap().bytes, b"text");
    }

    #[test]
    fn first_line_left_out_is_kept_with_its_reason() {
        let mut left_out = LeftOut::default();
        assert_eq!(left_out.first_reason(), None);
        for number in 3..12 {
            left_out.add(number, &format!("{number}{}", "x".repeat(300)), "odd");
        }
        assert_eq!((left_out.count, left_out.first.len()), (9, 5));
        assert_eq!(left_out.first_reason().as_deref(), Some("line 3: odd"));
        assert!(left_out.sample.starts_with("3xxx") && left_out.sample.len() == 200);
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

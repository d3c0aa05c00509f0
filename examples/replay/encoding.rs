//! Inputs that are not plain text: compressed logs, UTF-16, the journal's own files.

/// How many bytes [`Kind::of`] needs.
pub(crate) const HEAD: u64 = 512;

/// What an input is, if it is not text in UTF-8 or another extension of ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The name of the format, the command that decompresses it, and the suffix of its files.
    Compressed(&'static str, &'static str, &'static str),
    /// The name for `iconv`.
    Wide(&'static str),
    /// A file of `systemd-journald`.
    Journal,
}

/// The first bytes of compressed files, as each format documents them.
const COMPRESSED: [(&[u8], Kind); 10] = [
    (&[0x1f, 0x8b], Kind::Compressed("gzip", "gunzip -c", "gz")),
    (&[0x1f, 0x9d], Kind::Compressed("compress", "uncompress -c", "Z")),
    (b"BZh", Kind::Compressed("bzip2", "bunzip2 -c", "bz2")),
    (&[0xfd, b'7', b'z', b'X', b'Z', 0], Kind::Compressed("xz", "xz -dc", "xz")),
    (&[0x5d, 0, 0], Kind::Compressed("lzma", "xz -dc", "lzma")),
    (&[0x28, 0xb5, 0x2f, 0xfd], Kind::Compressed("zstd", "zstd -dc", "zst")),
    (&[0x04, 0x22, 0x4d, 0x18], Kind::Compressed("lz4", "lz4 -dc", "lz4")),
    (b"LZIP", Kind::Compressed("lzip", "lzip -dc", "lz")),
    (b"PK\x03\x04", Kind::Compressed("zip", "unzip -p", "zip")),
    (&[b'7', b'z', 0xbc, 0xaf, 0x27, 0x1c], Kind::Compressed("7z", "7z x -so", "7z")),
];

/// Byte order marks. UTF-32 comes first, because its mark begins like that of UTF-16.
const MARKS: [(&[u8], &str); 4] = [
    (&[0xff, 0xfe, 0, 0], "UTF-32LE"),
    (&[0, 0, 0xfe, 0xff], "UTF-32BE"),
    (&[0xff, 0xfe], "UTF-16LE"),
    (&[0xfe, 0xff], "UTF-16BE"),
];

impl Kind {
    /// Returns the kind of an input by its first bytes. `None`: it may be text.
    pub(crate) fn of(head: &[u8]) -> Option<Self> {
        const JOURNAL: &[u8] = b"LPKSHHRH";

        if head.starts_with(JOURNAL) {
            return Some(Self::Journal);
        }
        let compressed = COMPRESSED.into_iter().find(|(magic, _)| head.starts_with(magic));
        compressed.map(|(_, kind)| kind).or_else(|| wide(head).map(Self::Wide))
    }
}

/// Returns the encoding if every character takes more than one byte.
fn wide(head: &[u8]) -> Option<&'static str> {
    if let Some((mark, name)) = MARKS.into_iter().find(|(mark, _)| head.starts_with(mark)) {
        // A damaged text may begin like a mark of two bytes, but it has hardly any zeros.
        let zeros = head.iter().filter(|byte| **byte == 0).count();
        return (mark.len() == 4 || zeros * 4 >= head.len()).then_some(name);
    }
    // Without a mark: what is ASCII has a zero in every second byte.
    let zeros = |offset: usize| head.iter().skip(offset).step_by(2).filter(|byte| **byte == 0).count();
    let pairs = head.len() / 2;
    match (zeros(0), zeros(1)) {
        _ if pairs < 2 => None,
        (0, low) if low > pairs * 3 / 4 => Some("UTF-16LE"),
        (high, 0) if high > pairs * 3 / 4 => Some("UTF-16BE"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "192.0.2.1 - - [09/Jun/2026:14:00:07 +0200] \"GET /é HTTP/1.1\" 200 512\n";

    fn encoded(mark: bool, bytes: impl Fn(u16) -> [u8; 2]) -> Vec<u8> {
        let mark = mark.then_some(0xfeff);
        mark.into_iter().chain(LINE.encode_utf16()).flat_map(bytes).collect()
    }

    #[test]
    fn compressed_input_is_recognised() {
        for (magic, kind) in COMPRESSED {
            assert_eq!(Kind::of(&[magic, b"rest"].concat()), Some(kind));
        }
        assert_eq!(Kind::of(b"LPKSHHRH\0\0"), Some(Kind::Journal));
    }

    #[test]
    fn utf_16_is_recognised_with_and_without_a_mark() {
        for mark in [true, false] {
            assert_eq!(Kind::of(&encoded(mark, u16::to_le_bytes)), Some(Kind::Wide("UTF-16LE")));
            assert_eq!(Kind::of(&encoded(mark, u16::to_be_bytes)), Some(Kind::Wide("UTF-16BE")));
        }
        assert_eq!(Kind::of(&[0xff, 0xfe, 0, 0, b'1', 0, 0, 0]), Some(Kind::Wide("UTF-32LE")));
    }

    #[test]
    fn text_and_damaged_text_are_text() {
        for text in
            [LINE.as_bytes(), b"", b"B", b"\x1f", b"\xff\xfe damaged\n", b"\0\0\0\0", b"\xef\xbb\xbf1"]
        {
            assert_eq!(Kind::of(text), None, "{text:?}");
        }
        assert_eq!(Kind::of(&b"\xff\xfe\0\n".repeat(9)), Some(Kind::Wide("UTF-16LE")));
    }
}

//! Texts from elsewhere in messages.

use std::fmt::{self, Write};

/// Displays a text from a configuration or a table on one line, for messages of errors.
///
/// Line breaks, control characters, invisible characters and backslashes are escaped as in a string
/// literal, and quotes are not. So a text can neither imitate another line of a log, nor control a
/// terminal.
///
/// ```
/// use limited_core::Escaped;
///
/// assert_eq!(Escaped("it's 100/min").to_string(), "it's 100/min");
/// assert_eq!(Escaped("10\nERROR \u{1b}[2J").to_string(), r"10\nERROR \u{1b}[2J");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            '"' | '\'' => f.write_char(character),
            _ => character.escape_debug().try_for_each(|escaped| f.write_char(escaped)),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_stays_on_its_line_and_keeps_its_letters() {
        for (text, escaped) in [
            ("München, 東京 `x`", "München, 東京 `x`"),
            ("a\r\nb\tc\0", r"a\r\nb\tc\0"),
            (r"a\nb", r"a\\nb"),
            // A mark that reverses the direction of the text, and a line separator.
            ("a\u{202e}b\u{2028}", r"a\u{202e}b\u{2028}"),
        ] {
            assert_eq!(Escaped(text).to_string(), escaped);
        }
    }

    proptest! {
        #[test]
        fn no_control_character_is_displayed(text in "\\PC{0,8}|(?s).{0,16}") {
            prop_assert!(!Escaped(&text).to_string().contains(char::is_control));
        }

        #[test]
        fn different_texts_are_displayed_differently(one in "[\\\\n\n\u{7f}u{}7f]{0,6}", other in "[\\\\n\n\u{7f}u{}7f]{0,6}") {
            prop_assert_eq!(one == other, Escaped(&one).to_string() == Escaped(&other).to_string());
        }
    }
}

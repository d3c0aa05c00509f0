//! Settings with names: enums that a configuration file or a command line can choose from.

use std::fmt;

use crate::{Escaped, debug_error};

/// A text that is not the name of any value of a setting.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown {setting} `{}`; expected {}", Escaped(.text), listed(.expected))]
pub struct UnknownName {
    setting: &'static str,
    text: String,
    expected: &'static [&'static str],
}

impl UnknownName {
    #[doc(hidden)]
    pub fn new(setting: &'static str, text: &str, expected: &'static [&'static str]) -> Self {
        Self { setting, text: text.to_owned(), expected }
    }

    /// Returns what the text should have named, such as `algorithm`.
    pub const fn setting(&self) -> &'static str {
        self.setting
    }

    /// Returns the text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the names of all values.
    pub const fn expected(&self) -> &'static [&'static str] {
        self.expected
    }
}

impl fmt::Debug for UnknownName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_error(f, "UnknownName", self)
    }
}

/// Returns `a, b or c`.
fn listed(names: &[&str]) -> String {
    match names {
        [all_but_last @ .., last] if !all_but_last.is_empty() => {
            format!("{} or {last}", all_but_last.join(", "))
        }
        _ => names.concat(),
    }
}

/// Gives the values of an enum names: implements `name`, [`Display`](fmt::Display) and
/// [`FromStr`](std::str::FromStr), and with the feature `serde` also `Serialize` and `Deserialize`.
#[doc(hidden)]
#[macro_export]
macro_rules! named_setting {
    ($type:ty, $setting:literal { $($variant:ident => $name:literal),+ $(,)? }) => {
        impl $type {
            /// Returns the name of this value, as a text or a file contains it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }

        impl ::std::fmt::Display for $type {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl ::std::str::FromStr for $type {
            type Err = $crate::UnknownName;

            /// Returns the value of this name.
            fn from_str(text: &str) -> ::std::result::Result<Self, $crate::UnknownName> {
                match text {
                    $($name => Ok(Self::$variant),)+
                    _ => Err($crate::UnknownName::new($setting, text, &[$($name),+])),
                }
            }
        }

        $crate::serde_as_text!($type);
    };
}

/// Implements `Serialize` by `Display`, and `Deserialize` by `FromStr`, if the feature `serde` of
/// this crate is enabled. The features of the calling crate make no difference.
#[cfg(feature = "serde")]
#[doc(hidden)]
#[macro_export]
macro_rules! serde_as_text {
    ($type:ty) => {
        impl $crate::__serde::Serialize for $type {
            fn serialize<S: $crate::__serde::Serializer>(
                &self,
                serializer: S,
            ) -> ::std::result::Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> $crate::__serde::Deserialize<'de> for $type {
            fn deserialize<D: $crate::__serde::Deserializer<'de>>(
                deserializer: D,
            ) -> ::std::result::Result<Self, D::Error> {
                let text =
                    <::std::borrow::Cow<'_, str> as $crate::__serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(<D::Error as $crate::__serde::de::Error>::custom)
            }
        }
    };
}

#[cfg(not(feature = "serde"))]
#[doc(hidden)]
#[macro_export]
macro_rules! serde_as_text {
    ($type:ty) => {};
}

#[cfg(test)]
#[expect(unreachable_pub, reason = "the macro is for public types")]
mod tests {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Fruit {
        RedApple,
        Pear,
    }

    crate::named_setting!(Fruit, "fruit" { RedApple => "red-apple", Pear => "pear" });

    #[test]
    fn name_parses_to_its_value() {
        for fruit in [Fruit::RedApple, Fruit::Pear] {
            assert_eq!(fruit.to_string(), fruit.name());
            assert_eq!(fruit.name().parse(), Ok(fruit));
        }
        assert_eq!(format!("{:>5}", Fruit::Pear), " pear");
    }

    #[test]
    fn error_shows_the_text_on_one_line() {
        let error = "pear\nERROR".parse::<Fruit>().unwrap_err();
        assert_eq!(error.to_string(), r"unknown fruit `pear\nERROR`; expected red-apple or pear");
        assert_eq!(error.text(), "pear\nERROR");
    }

    #[test]
    fn error_lists_the_expected_names() {
        let error = "RedApple".parse::<Fruit>().unwrap_err();
        assert_eq!(error.to_string(), "unknown fruit `RedApple`; expected red-apple or pear");
        assert_eq!(format!("{error:?}"), format!("UnknownName: {error}"));
        assert_eq!((error.setting(), error.text()), ("fruit", "RedApple"));
        assert_eq!(super::listed(&["a", "b", "c"]), "a, b or c");
        assert_eq!(super::listed(&["a"]), "a");
    }
}

//! `Debug` of errors, which `main`, `unwrap` and `expect` print.

use std::error::Error;
use std::fmt;

/// Writes an error on one line: its name, its message, and the message of each source.
///
/// For the [`Debug`](fmt::Debug) of an error, so that `fn main() -> Result<(), E>` prints what
/// happened and what to do. The name is that of the variant, or of the type if there is one kind.
///
/// ```
/// use std::fmt;
/// use limited_core::debug_error;
///
/// #[derive(thiserror::Error)]
/// enum PoolError {
///     #[error("no connection to the pool; check its address")]
///     NoConnection(#[source] std::io::Error),
/// }
///
/// impl fmt::Debug for PoolError {
///     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
///         match self {
///             Self::NoConnection(_) => debug_error(f, "NoConnection", self),
///         }
///     }
/// }
///
/// let error = PoolError::NoConnection(std::io::Error::other("connection reset"));
/// assert_eq!(
///     format!("{error:?}"),
///     "NoConnection: no connection to the pool; check its address; caused by: connection reset"
/// );
/// ```
pub fn debug_error(f: &mut fmt::Formatter<'_>, name: &str, error: &(dyn Error + 'static)) -> fmt::Result {
    let message = error.to_string();
    write!(f, "{name}: {message}")?;
    debug_sources(f, message, error.source())
}

/// Writes the message of a source, and of each source below it. Skips one that the message before
/// it already contains at its end.
///
/// For an error whose type parameters need not be errors; otherwise use [`debug_error`].
pub fn debug_sources(
    f: &mut fmt::Formatter<'_>,
    mut previous: String,
    source: Option<&(dyn Error + 'static)>,
) -> fmt::Result {
    for source in std::iter::successors(source, |&error| error.source()) {
        let message = source.to_string();
        if !previous.ends_with(&message) {
            write!(f, "; caused by: {message}")?;
        }
        previous = message;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(thiserror::Error)]
    #[error("{message}")]
    struct Chained {
        message: &'static str,
        #[source]
        source: Option<Box<Chained>>,
    }

    impl fmt::Debug for Chained {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            debug_error(f, "Chained", self)
        }
    }

    fn chain(messages: &[&'static str]) -> Chained {
        let (message, rest) = messages.split_first().unwrap();
        Chained { message, source: (!rest.is_empty()).then(|| Box::new(chain(rest))) }
    }

    #[test]
    fn every_source_is_named_once() {
        let debug = |messages| format!("{:?}", chain(messages));
        assert_eq!(debug(&["the disk is full"]), "Chained: the disk is full");
        assert_eq!(
            debug(&["no table", "no response", "connection reset"]),
            "Chained: no table; caused by: no response; caused by: connection reset"
        );
        assert_eq!(
            debug(&["no table: no response", "no response", "connection reset"]),
            "Chained: no table: no response; caused by: connection reset"
        );
        assert_eq!(format!("{:#?}", chain(&["a", "b"])), "Chained: a; caused by: b");
    }
}

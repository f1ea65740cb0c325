//! The error of the serde codecs: a text, which becomes the `problem` of an [`Error`](crate::Error).

use std::fmt::{self, Display};

use serde::{de, ser};

#[derive(Debug)]
pub(super) struct Problem(pub(super) String);

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Problem {}

impl ser::Error for Problem {
    fn custom<T: Display>(message: T) -> Problem {
        Problem(message.to_string())
    }
}

impl de::Error for Problem {
    fn custom<T: Display>(message: T) -> Problem {
        Problem(message.to_string())
    }
}

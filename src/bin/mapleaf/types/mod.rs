//! The types that tables have, known at run time: between stored bytes and JSON, or words of the command line.

mod decode;
mod encode;
mod of_std;

pub(crate) use decode::{Role, Type};

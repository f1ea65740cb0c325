//! The types that tables have, known at run time: between stored bytes and JSON, or words of the command line. The
//! encodings are the library's; which of them a table has, and what it looks like in JSON, is decided here.

mod as_text;
mod from_json;
mod pair;
mod role;
mod scalar;
mod shape;
mod stored_type;
mod to_json;

pub(crate) use role::Role;
pub(crate) use stored_type::{Type, split_at_commas};

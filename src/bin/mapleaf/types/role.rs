//! Keys and values are encoded differently.

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Key,
    Value,
}

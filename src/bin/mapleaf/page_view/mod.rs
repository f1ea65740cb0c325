//! A page taken apart: for people, and for programs.

mod json;
mod kind;
mod text;

pub(crate) use json::page_json;
pub(crate) use text::PageText;

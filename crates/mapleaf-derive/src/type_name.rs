//! The name of a type: its own and its shape, as an expression.
//!
//! | type | name |
//! |---|---|
//! | `struct Visit { page: String, day: u32 }` | `Visit{page:str,day:u32}` |
//! | `struct UserId(u64);` | `UserId(u64)` |
//! | `struct Marker;` | `Marker()` |
//! | `enum Event { Login(String), Logout }` | `Event[0:Login(str),1:Logout]` |
//!
//! Type parameters are in the name by the fields that have them.

use proc_macro2::TokenStream;
use quote::quote;
use syn::Member;

use crate::model::{Fields, Kind, Model, Shape, Variant, plain};

/// An expression of type `String`. `trait_` is the one whose `type_name` the fields' types have.
pub(crate) fn type_name(model: &Model, trait_: &TokenStream) -> TokenStream {
    let mut pieces = Pieces { pieces: Vec::new(), text: model.name.clone(), trait_: trait_.clone() };
    match &model.shape {
        Shape::Struct(fields) if fields.kind == Kind::Unit => pieces.text.push_str("()"),
        Shape::Struct(fields) => pieces.push_fields(fields),
        Shape::Enum(variants) => {
            pieces.text.push('[');
            let mut variants: Vec<&Variant> = variants.iter().collect();
            variants.sort_by_key(|variant| variant.tag); // their order in the source means nothing to a file
            for (index, variant) in variants.iter().enumerate() {
                let comma = if index > 0 { "," } else { "" };
                pieces.text.push_str(&format!("{comma}{}:{}", variant.tag, plain(&variant.ident)));
                pieces.push_fields(&variant.fields);
            }
            pieces.text.push(']');
        }
    }
    pieces.finish()
}

/// Strings to be joined: texts, and names of types.
struct Pieces {
    pieces: Vec<TokenStream>,
    /// The text after the last of them.
    text: String,
    trait_: TokenStream,
}

impl Pieces {
    fn push_fields(&mut self, fields: &Fields) {
        let (open, close) = match fields.kind {
            Kind::Named => ('{', '}'),
            Kind::Tuple => ('(', ')'),
            Kind::Unit => return,
        };
        self.text.push(open);
        for (index, field) in fields.stored.iter().enumerate() {
            if index > 0 {
                self.text.push(',');
            }
            if let Member::Named(name) = &field.member {
                self.text.push_str(&format!("{}:", plain(name)));
            }
            self.end_text();
            let (type_, trait_) = (&field.type_, &self.trait_);
            self.pieces.push(quote!(&*<#type_ as #trait_>::type_name()));
        }
        self.text.push(close);
    }

    fn end_text(&mut self) {
        let text = std::mem::take(&mut self.text);
        self.pieces.push(quote!(#text));
    }

    fn finish(mut self) -> TokenStream {
        self.end_text();
        let pieces = &self.pieces;
        quote!([#(#pieces),*].concat())
    }
}

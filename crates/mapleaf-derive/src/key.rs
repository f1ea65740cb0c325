//! `#[derive(Key)]`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Ident, Type, WherePredicate, parse_quote};

use crate::model::{Field, Fields, Model, Shape};
use crate::type_name::type_name;

/// mapleaf implements its traits for tuples of at most that many elements; the same holds for those that stand for
/// fields.
pub(crate) const MAX_TUPLE: usize = 12;

pub(crate) fn expand(model: &Model) -> TokenStream {
    let ident = &model.ident;
    let name = type_name(model, &quote!(::mapleaf::Key));
    let generics = model.generics_where(condition);
    let (_, type_generics, _) = model.generics.split_for_impl();
    let (impl_generics, _, conditions) = generics.split_for_impl();
    let (read, encode) = match &model.shape {
        Shape::Struct(fields) => {
            let (path, pattern) = (quote!(Self), pattern(fields));
            let (read, encode) = (read(&path, fields), encode(fields));
            (quote!(::core::result::Result::Ok(#read)), quote! { let Self #pattern = self; #encode })
        }
        Shape::Enum(variants) => {
            let read_arms = variants.iter().map(|variant| {
                let (ident, tag) = (&variant.ident, variant.tag);
                let read = read(&quote!(Self::#ident), &variant.fields);
                quote!(#tag => ::core::result::Result::Ok(#read),)
            });
            let encode_arms = variants.iter().map(|variant| {
                let (ident, tag, pattern) = (&variant.ident, variant.tag, pattern(&variant.fields));
                let encode = encode(&variant.fields);
                quote!(Self::#ident #pattern => { encoder.push(&[#tag]); #encode })
            });
            let read = quote! {
                match <u8 as ::mapleaf::Key>::read(reader, ::mapleaf::KeyPosition::Inner)? {
                    #(#read_arms)*
                    other => ::core::result::Result::Err(
                        ::mapleaf::derive_support::no_such_variant(<Self as ::mapleaf::Key>::type_name(), other)
                    ),
                }
            };
            (read, quote!(match self { #(#encode_arms)* }))
        }
    };
    let (decode, as_bytes) = match &model.shape {
        Shape::Struct(fields) => of_one_field(fields),
        Shape::Enum(_) => Default::default(),
    };
    let forms = match &model.shape {
        Shape::Struct(fields) => tuple_forms(model, &fields.stored),
        Shape::Enum(_) => TokenStream::new(),
    };
    quote! {
        #[automatically_derived]
        impl #impl_generics ::mapleaf::Key for #ident #type_generics #conditions {
            type Owned = Self;

            fn type_name() -> ::std::borrow::Cow<'static, str> {
                ::std::borrow::Cow::Owned(#name)
            }

            #[allow(unused_variables)]
            fn read(
                reader: &mut ::mapleaf::KeyReader<'_>,
                place: ::mapleaf::KeyPosition,
            ) -> ::mapleaf::Result<Self> {
                #read
            }

            #decode
        }

        #[automatically_derived]
        impl #impl_generics ::mapleaf::EncodeKey<#ident #type_generics> for #ident #type_generics #conditions {
            #[allow(unused_variables)]
            fn encode_key_into(&self, encoder: &mut ::mapleaf::Encoder, place: ::mapleaf::KeyPosition) {
                #encode
            }

            #as_bytes
        }

        #forms
    }
}

/// A struct of one field passes on what its field can do without a copy.
fn of_one_field(fields: &Fields) -> (TokenStream, TokenStream) {
    let [Field { member, type_, .. }] = &fields.stored[..] else { return Default::default() };
    let phantom = &fields.phantom;
    let decode = quote! {
        #[inline]
        fn decode(bytes: ::mapleaf::KeyBytes) -> ::mapleaf::Result<Self> {
            ::core::result::Result::Ok(Self {
                #member: <#type_ as ::mapleaf::Key>::decode(bytes)?,
                #(#phantom: ::core::marker::PhantomData,)*
            })
        }
    };
    let as_bytes = quote! {
        #[inline]
        fn as_key_bytes(&self) -> ::core::option::Option<&[u8]> {
            <#type_ as ::mapleaf::EncodeKey<#type_>>::as_key_bytes(&self.#member)
        }
    };
    (decode, as_bytes)
}

/// A value of `path`, read field by field.
fn read(path: &TokenStream, fields: &Fields) -> TokenStream {
    let count = fields.stored.len();
    let stored = fields.stored.iter().enumerate().map(|(index, Field { member, type_, .. })| {
        let place = place(index, count);
        quote!(#member: <#type_ as ::mapleaf::Key>::read(reader, #place)?,)
    });
    let phantom = &fields.phantom;
    quote!(#path { #(#stored)* #(#phantom: ::core::marker::PhantomData,)* })
}

/// Takes the fields apart: each into its variable.
pub(crate) fn pattern(fields: &Fields) -> TokenStream {
    let stored = fields.stored.iter().map(|Field { member, variable, .. }| quote!(#member: #variable,));
    let phantom = &fields.phantom;
    quote!({ #(#stored)* #(#phantom: _,)* })
}

/// Encodes the fields, which are in their variables.
fn encode(fields: &Fields) -> TokenStream {
    let count = fields.stored.len();
    let statements = fields.stored.iter().enumerate().map(|(index, Field { variable, type_, .. })| {
        let place = place(index, count);
        quote!(<#type_ as ::mapleaf::EncodeKey<#type_>>::encode_key_into(#variable, encoder, #place);)
    });
    quote!(#(#statements)*)
}

fn place(index: usize, count: usize) -> TokenStream {
    if index + 1 == count { quote!(place) } else { quote!(::mapleaf::KeyPosition::Inner) }
}

/// Tuples of what stands for all fields stand for the key, and tuples of what stands for the first of them are
/// prefixes and ends of ranges.
fn tuple_forms(model: &Model, fields: &[Field]) -> TokenStream {
    if fields.is_empty() || fields.len() > MAX_TUPLE {
        return TokenStream::new();
    }
    (1..=fields.len()).map(|count| tuple_form(model, fields, count)).collect()
}

fn tuple_form(model: &Model, fields: &[Field], count: usize) -> TokenStream {
    let ident = &model.ident;
    let (_, type_generics, _) = model.generics.split_for_impl();
    let given: Vec<Ident> = (0..count).map(|index| format_ident!("__Given{index}")).collect();
    let mut generics = model.generics_where(condition);
    for (given, Field { type_, .. }) in given.iter().zip(fields) {
        generics.params.push(parse_quote!(#given: ::mapleaf::EncodeKey<#type_>));
    }
    let (impl_generics, _, conditions) = generics.split_for_impl();
    let key = quote!(#ident #type_generics);
    let encode = |place: &dyn Fn(usize) -> TokenStream| -> TokenStream {
        let statements = fields[..count].iter().zip(&given).enumerate().map(|(index, (field, given))| {
            let (type_, member, place) = (&field.type_, syn::Index::from(index), place(index));
            quote!(<#given as ::mapleaf::EncodeKey<#type_>>::encode_key_into(&self.#member, encoder, #place);)
        });
        quote!(#(#statements)*)
    };
    if count == fields.len() {
        let encode = encode(&|index| place(index, count));
        return quote! {
            #[automatically_derived]
            impl #impl_generics ::mapleaf::EncodeKey<#key> for (#(#given,)*) #conditions {
                fn encode_key_into(&self, encoder: &mut ::mapleaf::Encoder, place: ::mapleaf::KeyPosition) {
                    #encode
                }
            }
        };
    }
    let encode = encode(&|_| quote!(::mapleaf::KeyPosition::Inner));
    quote! {
        #[automatically_derived]
        impl #impl_generics ::mapleaf::KeyPrefix<#key> for (#(#given,)*) #conditions {
            fn encode_prefix(&self) -> ::mapleaf::Encoded<'_> {
                ::mapleaf::derive_support::encoded(|encoder| { #encode })
            }
        }

        #[automatically_derived]
        impl #impl_generics ::mapleaf::KeyBound<#key> for (#(#given,)*) #conditions {
            fn encode_bound(&self) -> ::mapleaf::EncodedBound<'_> {
                ::mapleaf::EncodedBound::Prefix(::mapleaf::KeyPrefix::<#key>::encode_prefix(self))
            }

            fn encode_inner_bound(&self) -> ::mapleaf::Encoded<'_> {
                ::mapleaf::KeyPrefix::<#key>::encode_prefix(self)
            }
        }
    }
}

/// What must hold for a field's type that depends on a parameter.
fn condition(type_: &Type) -> WherePredicate {
    parse_quote!(#type_: ::mapleaf::Key<Owned = #type_> + ::mapleaf::EncodeKey<#type_>)
}

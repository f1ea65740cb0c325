//! `#[derive(Value)]`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Ident, Index, Type, WherePredicate, parse_quote};

use crate::key::{MAX_TUPLE, pattern};
use crate::model::{Field, Fields, Model, Shape};
use crate::type_name::type_name;

pub(crate) fn expand(model: &Model) -> TokenStream {
    let ident = &model.ident;
    let name = type_name(model, &quote!(::mapleaf::Value));
    let generics = model.generics_where(condition);
    let (_, type_generics, _) = model.generics.split_for_impl();
    let (impl_generics, _, conditions) = generics.split_for_impl();
    let (size, decode, encode) = match &model.shape {
        Shape::Struct(fields) => of_struct(fields),
        Shape::Enum(_) => of_enum(model),
    };
    let (as_bytes, tuple_form) = match &model.shape {
        Shape::Struct(fields) => (of_one_field(fields), tuple_form(model, &fields.stored)),
        Shape::Enum(_) => Default::default(),
    };
    quote! {
        #[automatically_derived]
        impl #impl_generics ::mapleaf::Value for #ident #type_generics #conditions {
            type Ref<'__a> = Self;
            type Owned = Self;
            const FIXED_SIZE: ::core::option::Option<usize> = #size;

            fn type_name() -> ::std::borrow::Cow<'static, str> {
                ::std::borrow::Cow::Owned(#name)
            }

            fn decode(bytes: &[u8]) -> ::mapleaf::Result<Self> {
                #[allow(unused_mut)]
                let mut rest = bytes;
                #decode
            }

            fn into_owned(value: Self) -> Self {
                value
            }
        }

        #[automatically_derived]
        impl #impl_generics ::mapleaf::EncodeValue<#ident #type_generics> for #ident #type_generics #conditions {
            #[allow(unused_variables)]
            fn encode_value_into(&self, encoder: &mut ::mapleaf::Encoder) -> ::mapleaf::Result<()> {
                #encode
            }

            #as_bytes
        }

        #tuple_form
    }
}

/// A struct of one field passes on the bytes that its field already contains.
fn of_one_field(fields: &Fields) -> TokenStream {
    let [Field { member, type_, .. }] = &fields.stored[..] else { return TokenStream::new() };
    quote! {
        #[inline]
        fn as_value_bytes(&self) -> ::core::option::Option<&[u8]> {
            <#type_ as ::mapleaf::EncodeValue<#type_>>::as_value_bytes(&self.#member)
        }
    }
}

/// The size, how to decode, and how to encode.
fn of_struct(fields: &Fields) -> (TokenStream, TokenStream, TokenStream) {
    let types = fields.stored.iter().map(|field| &field.type_);
    let size =
        quote!(::mapleaf::derive_support::sum_of_sizes(&[#(<#types as ::mapleaf::Value>::FIXED_SIZE),*]));
    let (pattern, decode, encode) = (pattern(fields), decode(&quote!(Self), fields), encode(fields));
    (size, decode, quote! { let Self #pattern = self; #encode })
}

fn of_enum(model: &Model) -> (TokenStream, TokenStream, TokenStream) {
    let Shape::Enum(variants) = &model.shape else { return Default::default() };
    let size = match variants.iter().all(|variant| variant.fields.stored.is_empty()) {
        true => quote!(::core::option::Option::Some(1)),
        false => quote!(::core::option::Option::None),
    };
    let decode_arms = variants.iter().map(|variant| {
        let (ident, tag) = (&variant.ident, variant.tag);
        let decode = decode(&quote!(Self::#ident), &variant.fields);
        quote!(#tag => { #decode })
    });
    let decode = quote! {
        match ::mapleaf::derive_support::take_tag(&mut rest, <Self as ::mapleaf::Value>::type_name)? {
            #(#decode_arms)*
            other => ::core::result::Result::Err(
                ::mapleaf::derive_support::no_such_variant(<Self as ::mapleaf::Value>::type_name(), other)
            ),
        }
    };
    let encode_arms = variants.iter().map(|variant| {
        let (ident, tag, pattern) = (&variant.ident, variant.tag, pattern(&variant.fields));
        let encode = encode(&variant.fields);
        quote!(Self::#ident #pattern => { encoder.push(&[#tag]); #encode })
    });
    (size, decode, quote!(match self { #(#encode_arms)* }))
}

/// A value of `path`, decoded field by field from `rest`, which it must use up.
fn decode(path: &TokenStream, fields: &Fields) -> TokenStream {
    let phantom = &fields.phantom;
    let Some((last, before)) = fields.stored.split_last() else {
        return quote! {
            ::mapleaf::derive_support::expect_no_more(rest, <Self as ::mapleaf::Value>::type_name)?;
            ::core::result::Result::Ok(#path { #(#phantom: ::core::marker::PhantomData,)* })
        };
    };
    let element = |Field { member, type_, .. }: &Field, bytes: TokenStream| {
        let value = quote!(<#type_ as ::mapleaf::Value>);
        quote!(#member: #value::into_owned(#value::decode(#bytes)?),)
    };
    let before = before.iter().map(|field| {
        let type_ = &field.type_;
        element(field, quote!(::mapleaf::derive_support::take_element::<#type_>(&mut rest)?))
    });
    let last = element(last, quote!(rest));
    quote!(::core::result::Result::Ok(#path { #(#before)* #last #(#phantom: ::core::marker::PhantomData,)* }))
}

/// Encodes the fields, which are in their variables.
fn encode(fields: &Fields) -> TokenStream {
    let Some((last, before)) = fields.stored.split_last() else {
        return quote!(::core::result::Result::Ok(()));
    };
    let before = before.iter().map(|Field { variable, type_, .. }| {
        quote!(::mapleaf::derive_support::push_element::<#type_>(encoder, #variable)?;)
    });
    let Field { variable, type_, .. } = last;
    quote! {
        #(#before)*
        <#type_ as ::mapleaf::EncodeValue<#type_>>::encode_value_into(#variable, encoder)
    }
}

/// A tuple of what stands for the fields stands for the value.
fn tuple_form(model: &Model, fields: &[Field]) -> TokenStream {
    let Some((last, before)) = fields.split_last().filter(|_| fields.len() <= MAX_TUPLE) else {
        return TokenStream::new();
    };
    let ident = &model.ident;
    let (_, type_generics, _) = model.generics.split_for_impl();
    let given: Vec<Ident> = (0..fields.len()).map(|index| format_ident!("__Given{index}")).collect();
    let mut generics = model.generics_where(condition);
    for (given, Field { type_, .. }) in given.iter().zip(fields) {
        generics.params.push(parse_quote!(#given: ::mapleaf::EncodeValue<#type_>));
    }
    let (impl_generics, _, conditions) = generics.split_for_impl();
    let statements = before.iter().enumerate().map(|(index, Field { type_, .. })| {
        let index = Index::from(index);
        quote!(::mapleaf::derive_support::push_element::<#type_>(encoder, &self.#index)?;)
    });
    let (last_type, last_index) = (&last.type_, Index::from(before.len()));
    quote! {
        #[automatically_derived]
        impl #impl_generics ::mapleaf::EncodeValue<#ident #type_generics> for (#(#given,)*) #conditions {
            fn encode_value_into(&self, encoder: &mut ::mapleaf::Encoder) -> ::mapleaf::Result<()> {
                #(#statements)*
                ::mapleaf::EncodeValue::<#last_type>::encode_value_into(&self.#last_index, encoder)
            }
        }
    }
}

/// What must hold for a field's type that depends on a parameter.
fn condition(type_: &Type) -> WherePredicate {
    parse_quote!(#type_: ::mapleaf::Value<Owned = #type_> + ::mapleaf::EncodeValue<#type_>)
}

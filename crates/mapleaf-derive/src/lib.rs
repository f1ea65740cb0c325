//! Derives `Key` and `Value` of [mapleaf](https://docs.rs/mapleaf) for structs and enums. mapleaf's feature `derive`
//! has these macros as `mapleaf::Key`, `mapleaf::Value` and `mapleaf::Element`.
//!
//! Invariants of what is generated:
//! - A key's bytes sort as its fields do, one after the other: all but the last are encoded in `KeyPosition::Inner`.
//!   Variants sort by their tag, one byte before the fields.
//! - The name of a type contains its shape, down to the types of the library. So types of the same name have the same
//!   encoding, and a table does not open with a type whose fields have changed.

mod key;
mod model;
mod type_name;
mod value;

use proc_macro::TokenStream;
use quote::quote;
use syn::{DeriveInput, parse_macro_input};

use crate::model::Model;

/// Makes a struct or an enum a type of keys: implements mapleaf's `Key` and `EncodeKey`.
///
/// Keys are ordered by the first field that differs, as by a derived `Ord`; variants of an enum by their tag, which is
/// their position unless an attribute gives another. Each field's type must be a type of keys that is returned as
/// itself: `String`, not `str`. A field of type `PhantomData` is not stored.
///
/// ```
/// use mapleaf::{Db, Key, Table};
///
/// #[derive(Key, Clone, PartialEq, Debug)]
/// struct Visit {
///     page: String,
///     day: u32,
/// }
///
/// const VISITS: Table<Visit, u64> = Table::new("visits");
///
/// let db = Db::in_memory()?;
/// db.update(|tx| {
///     let mut visits = tx.table(&VISITS)?;
///     visits.insert(Visit { page: "home".into(), day: 1 }, 7)?;
///     visits.insert(("home", 2), 9)?; // what stands for the fields stands for the key
///     Ok(())
/// })?;
///
/// let rx = db.read()?;
/// let visits = rx.table(&VISITS)?;
/// let (first, count) = visits.first()?.unwrap();
/// assert_eq!((first, count), (Visit { page: "home".into(), day: 1 }, 7));
/// assert_eq!(visits.get(("home", 2))?, Some(9));
/// assert_eq!(visits.prefix(("home",)).count(), 2); // the first fields are a prefix
/// # Ok::<(), mapleaf::Error>(())
/// ```
///
/// # The type's name
///
/// The name that is stored with a table is the type's own, without its path, and its shape: `Visit{page:str,day:u32}`
/// here. So the type can move to another module, and a table does not open with a type whose fields have changed. If
/// the type is renamed, `#[mapleaf(name = "Visit")]` keeps the old name. mapleaf's docs/VALUES.md has a table of what
/// happens to each change.
///
/// # Enums
///
/// ```
/// use mapleaf::{Db, Key, Table};
///
/// #[derive(Key, Clone, PartialEq, Debug)]
/// enum Subject {
///     User(u64),
///     #[mapleaf(tag = 7)]
///     Host { name: String },
///     Everything, // 8, the next one
/// }
///
/// const NOTES: Table<Subject, str> = Table::new("notes");
///
/// let db = Db::in_memory()?;
/// db.update(|tx| {
///     let mut notes = tx.table(&NOTES)?;
///     notes.insert(Subject::Everything, "last")?;
///     notes.insert(Subject::Host { name: "a".into() }, "second")?;
///     notes.insert(Subject::User(9), "first")
/// })?;
/// assert_eq!(db.read()?.table(&NOTES)?.first()?, Some((Subject::User(9), "first")));
/// # Ok::<(), mapleaf::Error>(())
/// ```
///
/// # What cannot be derived
///
/// Unions, types with lifetimes, and types that contain themselves, such as a tree of vectors: a hostile file could
/// nest them deeper than the stack is. The macro sees one type at a time. Where two types contain each other, it cannot
/// notice it, and the program overflows its stack when it opens the table for the first time. Fields whose type is no
/// key:
///
/// ```compile_fail
/// #[derive(mapleaf::Key)]
/// struct Place {
///     file: std::path::PathBuf, // `PathBuf` is not a type of keys
/// }
/// ```
#[proc_macro_derive(Key, attributes(mapleaf))]
pub fn derive_key(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    Model::read(input).map_or_else(|error| error.to_compile_error(), |model| key::expand(&model)).into()
}

/// Makes a struct or an enum a type of values: implements mapleaf's `Value` and `EncodeValue`.
///
/// Each field's type must be a type of values whose owned form is itself: `String`, not `str`. A value is read into the
/// type itself, which copies text and bytes; a tuple of the same fields reads them in place. The encoding is that of
/// the tuple; an enum has a byte before it, the tag of the variant. A tuple of what stands for the fields can be given
/// for a struct: `("pen", 3)` for an `Item` below.
///
/// The type's name, the attributes and the limits are those of `Key`.
///
/// ```
/// use mapleaf::{Db, Element, Table, Value};
///
/// #[derive(Value, Element, Clone, PartialEq, Debug)]
/// struct Item {
///     name: String,
///     price: u32,
/// }
///
/// #[derive(Value, Clone, PartialEq, Debug)]
/// enum Order {
///     Open { items: Vec<Item> },
///     Cancelled,
/// }
///
/// const ORDERS: Table<u64, Order> = Table::new("orders");
///
/// let open = Order::Open { items: vec![Item { name: "pen".into(), price: 3 }] };
/// let db = Db::in_memory()?;
/// db.update(|tx| {
///     let mut orders = tx.table(&ORDERS)?;
///     orders.insert(1, &open)?;
///     orders.insert(2, Order::Cancelled).map(drop)
/// })?;
/// let rx = db.read()?;
/// assert_eq!(rx.table(&ORDERS)?.get(1)?, Some(open));
/// let types = rx.tables()?;
/// assert_eq!(types[0].value_type, "Order[0:Open{items:vec<Item{name:str,price:u32}>},1:Cancelled]");
/// # Ok::<(), mapleaf::Error>(())
/// ```
///
/// ```compile_fail
/// #[derive(mapleaf::Value)]
/// struct Named<'a> {
///     name: &'a str, // borrowed: `String` can be derived
/// }
/// ```
#[proc_macro_derive(Value, attributes(mapleaf))]
pub fn derive_value(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    Model::read(input).map_or_else(|error| error.to_compile_error(), |model| value::expand(&model)).into()
}

/// Makes a type of keys or values an element of stored vectors and arrays: implements mapleaf's `Element`.
///
/// ```
/// use mapleaf::{Element, Table, Value};
///
/// #[derive(Value, Element)]
/// struct Celsius(f32);
///
/// const READINGS: Table<u64, Vec<Celsius>> = Table::new("readings");
/// ```
#[proc_macro_derive(Element)]
pub fn derive_element(input: TokenStream) -> TokenStream {
    let DeriveInput { ident, generics, .. } = parse_macro_input!(input as DeriveInput);
    let (impl_generics, type_generics, conditions) = generics.split_for_impl();
    quote! {
        #[automatically_derived]
        impl #impl_generics ::mapleaf::Element for #ident #type_generics #conditions {}
    }
    .into()
}

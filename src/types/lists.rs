//! The types that several traits are implemented for, listed once: text and byte strings, pointers, and tuples.

/// Calls `$implement!([generics] |name: given| bytes => stands_for)` for each type that may be given, with each of
/// the types of keys and values that it stands for; `bytes` are its bytes, with `name` for a reference to it.
macro_rules! for_text_and_bytes {
    ($implement:ident) => {
        for_text_and_bytes! { @text $implement
            |text: str| text.as_bytes();
            |text: String| text.as_bytes();
            |text: KeyStr| text.as_bytes();
        }
        for_text_and_bytes! { @bytes $implement
            [] |bytes: [u8]| bytes;
            [] |bytes: Vec<u8>| bytes;
            [] |bytes: KeyBytes| bytes;
            [const N: usize] |bytes: [u8; N]| bytes;
        }
    };
    (@text $implement:ident $(|$name:ident: $given:ty| $bytes:expr;)*) => {$(
        $implement!([] |$name: $given| $bytes => str);
        $implement!([] |$name: $given| $bytes => String);
        $implement!([] |$name: $given| $bytes => Box<str>);
        $implement!([] |$name: $given| $bytes => Arc<str>);
        $implement!([] |$name: $given| $bytes => Cow<'_, str>);
    )*};
    (@bytes $implement:ident $($generics:tt |$name:ident: $given:ty| $bytes:expr;)*) => {$(
        $implement!($generics |$name: $given| $bytes => [u8]);
        $implement!($generics |$name: $given| $bytes => Vec<u8>);
        $implement!($generics |$name: $given| $bytes => Box<[u8]>);
        $implement!($generics |$name: $given| $bytes => Arc<[u8]>);
        $implement!($generics |$name: $given| $bytes => Cow<'_, [u8]>);
    )*};
}

/// Calls `$implement!(pointer, Q: bounds)` for each pointer that stands for what its referent `Q` stands for.
macro_rules! for_pointers {
    ($implement:ident) => {
        $implement!(&Q, Q: ?Sized);
        $implement!(Box<Q>, Q: ?Sized);
        $implement!(Arc<Q>, Q: ?Sized);
        $implement!(Cow<'_, Q>, Q: ToOwned + ?Sized);
    };
}

/// Calls `$implement!(elements ; last)` for tuples of one to twelve elements. An element is the parameter for its
/// type of key or value, the one for what is given for it, and its index; the last stands apart.
macro_rules! for_tuples {
    ($implement:ident) => {
        for_tuples! { @ $implement [] (A QA 0) (B QB 1) (C QC 2) (D QD 3) (E QE 4) (F QF 5) (G QG 6) (H QH 7) (I QI 8)
            (J QJ 9) (K QK 10) (L QL 11) }
    };
    (@ $implement:ident [$($before:tt)*]) => {};
    (@ $implement:ident [$($before:tt)*] ($key:ident $given:ident $index:tt) $($rest:tt)*) => {
        $implement!($($before)* ; $key $given $index);
        for_tuples!(@ $implement [$($before)* $key $given $index,] $($rest)*);
    };
}

pub(super) use {for_pointers, for_text_and_bytes, for_tuples};

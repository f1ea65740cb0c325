//! The types that several traits are implemented for, listed once: text and byte strings, and tuples.

/// Calls `$implement!([generics] |name: given| bytes => stands_for)` for each type that may be given, with each of the
/// two types of keys and values that it stands for; `bytes` are its bytes, with `name` for a reference to it.
macro_rules! for_text_and_bytes {
    ($implement:ident) => {
        for_text_and_bytes! { @ $implement
            [] |text: str| text.as_bytes() => str, String;
            [] |text: String| text.as_bytes() => str, String;
            [] |text: Box<str>| text.as_bytes() => str, String;
            [] |text: Cow<'_, str>| text.as_bytes() => str, String;
            [] |text: KeyStr| text.as_bytes() => str, String;
            [] |bytes: [u8]| bytes => [u8], Vec<u8>;
            [] |bytes: Vec<u8>| bytes => [u8], Vec<u8>;
            [] |bytes: Box<[u8]>| bytes => [u8], Vec<u8>;
            [] |bytes: Cow<'_, [u8]>| bytes => [u8], Vec<u8>;
            [] |bytes: KeyBytes| bytes => [u8], Vec<u8>;
            [const N: usize] |bytes: [u8; N]| bytes => [u8], Vec<u8>;
        }
    };
    (@ $implement:ident $($generics:tt |$name:ident: $given:ty| $bytes:expr => $unsized:ty, $sized:ty;)*) => {$(
        $implement!($generics |$name: $given| $bytes => $unsized);
        $implement!($generics |$name: $given| $bytes => $sized);
    )*};
}

/// Calls `$implement!(elements ; last)` for tuples of one to eight elements. An element is the parameter for its type
/// of key or value, the one for what is given for it, and its index; the last stands apart.
macro_rules! for_tuples {
    ($implement:ident) => {
        $implement!(; A QA 0);
        $implement!(A QA 0, ; B QB 1);
        $implement!(A QA 0, B QB 1, ; C QC 2);
        $implement!(A QA 0, B QB 1, C QC 2, ; D QD 3);
        $implement!(A QA 0, B QB 1, C QC 2, D QD 3, ; E QE 4);
        $implement!(A QA 0, B QB 1, C QC 2, D QD 3, E QE 4, ; F QF 5);
        $implement!(A QA 0, B QB 1, C QC 2, D QD 3, E QE 4, F QF 5, ; G QG 6);
        $implement!(A QA 0, B QB 1, C QC 2, D QD 3, E QE 4, F QF 5, G QG 6, ; H QH 7);
    };
}

pub(super) use {for_text_and_bytes, for_tuples};

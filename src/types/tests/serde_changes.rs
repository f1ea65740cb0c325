//! What becomes of stored values when their type changes: the table in docs/VALUES.md, cell by cell.

use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::*;

/// What a stored value is, read as the changed type.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Outcome {
    Kept,
    Refused,
    Wrong,
}
use Outcome::{Kept, Refused, Wrong};

impl Outcome {
    fn of<T: PartialEq>(read: crate::Result<T>, expected: &T) -> Outcome {
        match read {
            Ok(value) if value == *expected => Kept,
            Ok(_) => Wrong,
            Err(_) => Refused,
        }
    }
}

/// One row of the table: a change, and what becomes of samples of stored values.
struct Row {
    change: &'static str,
    compact: Vec<Outcome>,
    named: Vec<Outcome>,
}

impl Row {
    fn new(change: &'static str) -> Row {
        Row { change, compact: Vec::new(), named: Vec::new() }
    }

    /// Adds a sample: what was stored, and what it should be as the changed type.
    fn sample<Old, New>(mut self, old: Old, new: New) -> Row
    where
        Old: Serialize + DeserializeOwned,
        New: Serialize + DeserializeOwned + PartialEq + Debug,
    {
        let compact = value_bytes::<Serde<Old>>(Serde(&old));
        self.compact.push(Outcome::of(Serde::<New>::decode(&compact), &new));
        let named = value_bytes::<MessagePack<Old>>(MessagePack(&old));
        self.named.push(Outcome::of(MessagePack::<New>::decode(&named), &new));
        self
    }

    fn line(&self) -> String {
        let cell = |outcomes: &[Outcome]| match (outcomes.contains(&Kept), outcomes.contains(&Wrong)) {
            (true, false) if !outcomes.contains(&Refused) => "kept",
            (false, false) => "an error",
            (false, true) if outcomes.contains(&Refused) => "an error, or a wrong value",
            (false, true) => "a wrong value",
            (true, _) => "depends on the value",
        };
        format!("| {} | {} | {} |", self.change, cell(&self.compact), cell(&self.named))
    }
}

/// A struct or enum that can be stored.
macro_rules! stored {
    ($(#[$attribute:meta])* $kind:ident $name:ident $($rest:tt)*) => {
        #[derive(Serialize, Deserialize, PartialEq, Debug)]
        $(#[$attribute])*
        $kind $name $($rest)*
    };
}

stored!(
    struct Point {
        x: u16,
        y: u16,
    }
);
stored!(
    struct Tagged {
        x: u16,
        tags: Vec<u8>,
    }
);
stored!(
    enum Shape {
        Dot,
        Circle(u16),
        Square { side: u16 },
    }
);

fn fields() -> Vec<Row> {
    stored!(
        struct Defaulted {
            x: u16,
            y: u16,
            #[serde(default)]
            z: u16,
        }
    );
    stored!(
        struct FirstDefaulted {
            #[serde(default)]
            z: u8,
            x: u16,
            tags: Vec<u8>,
        }
    );
    stored!(
        struct Optional {
            x: u16,
            y: u16,
            z: Option<u16>,
        }
    );
    stored!(
        struct FirstOptional {
            z: Option<u8>,
            x: u16,
            tags: Vec<u8>,
        }
    );
    stored!(
        struct Needed {
            x: u16,
            y: u16,
            z: u16,
        }
    );
    stored!(
        struct FirstNeeded {
            z: u8,
            x: u16,
            tags: Vec<u8>,
        }
    );
    stored!(
        struct Removed {
            x: u16,
        }
    );
    stored!(
        struct FirstRemoved {
            tags: Vec<u8>,
        }
    );
    stored!(
        struct Reordered {
            y: u16,
            x: u16,
        }
    );
    stored!(
        struct TagsFirst {
            tags: Vec<u8>,
            x: u16,
        }
    );
    stored!(
        struct Renamed {
            #[serde(alias = "x")]
            column: u16,
            y: u16,
        }
    );
    stored!(
        struct RenamedOnly {
            column: u16,
            y: u16,
        }
    );
    let point = || Point { x: 1, y: 2 };
    // Of these bytes, 3 2 9 9, other types make something too.
    let tagged = || Tagged { x: 3, tags: vec![9, 9] };
    vec![
        Row::new("a field is added, with `#[serde(default)]`")
            .sample(point(), Defaulted { x: 1, y: 2, z: 0 })
            .sample(Tagged { x: 3, tags: vec![1, 9] }, FirstDefaulted { z: 0, x: 3, tags: vec![1, 9] }),
        Row::new("a field is added that is an `Option`")
            .sample(point(), Optional { x: 1, y: 2, z: None })
            .sample(Tagged { x: 0, tags: vec![0] }, FirstOptional { z: None, x: 0, tags: vec![0] }),
        Row::new("any other field is added")
            .sample(point(), Needed { x: 1, y: 2, z: 0 })
            .sample(Tagged { x: 3, tags: vec![1, 9] }, FirstNeeded { z: 0, x: 3, tags: vec![1, 9] }),
        Row::new("a field is removed")
            .sample(point(), Removed { x: 1 })
            .sample(Tagged { x: 3, tags: vec![9, 9] }, FirstRemoved { tags: vec![9, 9] }),
        Row::new("fields are reordered")
            .sample(point(), Reordered { y: 2, x: 1 })
            .sample(tagged(), TagsFirst { tags: vec![9, 9], x: 3 }),
        Row::new("a field is renamed, with `#[serde(alias)]`").sample(point(), Renamed { column: 1, y: 2 }),
        Row::new("a field is renamed without").sample(point(), RenamedOnly { column: 1, y: 2 }),
    ]
}

fn numbers() -> Vec<Row> {
    vec![
        Row::new("an integer of 16 bits or more becomes a wider one of the same sign")
            .sample(u16::MAX, u32::from(u16::MAX))
            .sample(u32::MAX, u64::from(u32::MAX))
            .sample(usize::MAX, usize::MAX as u64)
            .sample(i16::MIN, i32::from(i16::MIN))
            .sample(i32::MAX, i64::from(i32::MAX)),
        Row::new("it becomes a narrower one, and the number fits")
            .sample(1000u64, 1000u16)
            .sample(-1i64, -1i16),
        Row::new("it becomes a narrower one, and the number does not fit")
            .sample(1u64 << 40, 0u32)
            .sample(70_000, 0i16),
        Row::new("`u8` or `i8` becomes a wider integer")
            .sample(5u8, 5u16)
            .sample(200u8, 200u16)
            .sample(-5i8, -5i16),
        Row::new("an unsigned integer becomes a signed one").sample(7u32, 7i64).sample(1000u16, 1000i32),
        Row::new("an integer becomes a float")
            .sample(7u32, 7f64)
            .sample((7u32, [1u8, 1, 1, 1, 1, 1, 0].to_vec()), (7f64, [1u8, 1, 1, 1, 1, 1, 0].to_vec())),
        Row::new("`f32` becomes `f64`")
            .sample(0.5f32, 0.5f64)
            .sample((0.5f32, [1u8, 1, 1, 0].to_vec()), (0.5f64, [1u8, 1, 1, 0].to_vec())),
    ]
}

fn others() -> Vec<Row> {
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Wrapper(u16);
    stored!(
        struct WithWrapper {
            x: Wrapper,
            y: u16,
        }
    );
    stored!(
        enum Longer {
            Dot,
            Circle(u16),
            Square { side: u16 },
            Line,
        }
    );
    stored!(
        enum Other {
            Line,
            Dot,
            Circle(u16),
            Square { side: u16 },
        }
    );
    stored!(
        enum RenamedVariant {
            #[serde(alias = "Dot")]
            Spot,
            Circle(u16),
            Square {
                side: u16,
            },
        }
    );
    stored!(
        enum RenamedOnly {
            Spot,
            Circle(u16),
            Square { side: u16 },
        }
    );
    stored!(
        enum Shorter {
            Circle(u16),
            Square { side: u16 },
        }
    );
    stored!(
        struct Renamed {
            x: u16,
            y: u16,
        }
    );
    vec![
        Row::new("the type is renamed").sample(Point { x: 1, y: 2 }, Renamed { x: 1, y: 2 }),
        Row::new("`T` becomes `struct New(T)`")
            .sample(Point { x: 1, y: 2 }, WithWrapper { x: Wrapper(1), y: 2 }),
        Row::new("`T` becomes `Option<T>`")
            .sample(7u16, Some(7u16))
            .sample(0u16, Some(0u16))
            .sample("a".to_owned(), Some("a".to_owned()))
            .sample(Tagged { x: 1, tags: vec![] }, Some(Tagged { x: 1, tags: vec![] })),
        Row::new("a variant is added at the end")
            .sample(Shape::Circle(7), Longer::Circle(7))
            .sample(Shape::Square { side: 7 }, Longer::Square { side: 7 }),
        Row::new("a variant is added elsewhere, or variants are reordered")
            .sample(Shape::Dot, Other::Dot)
            .sample(Shape::Circle(7), Other::Circle(7)),
        Row::new("a variant is removed, and another is stored")
            .sample(Shape::Circle(7), Shorter::Circle(7))
            .sample(Shape::Square { side: 7 }, Shorter::Square { side: 7 }),
        Row::new("a variant is renamed, with `#[serde(alias)]`").sample(Shape::Dot, RenamedVariant::Spot),
        Row::new("a variant is renamed without").sample(Shape::Dot, RenamedOnly::Spot),
    ]
}

#[test]
fn the_table_in_the_guide_is_true() {
    let guide = include_str!("../../../docs/VALUES.md");
    let rows: Vec<String> = [fields(), numbers(), others()].iter().flatten().map(Row::line).collect();
    let found: Vec<&str> = guide
        .lines()
        .skip_while(|line| !line.starts_with("| change | `Serde<T>` |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect();
    assert_eq!(found.join("\n"), rows.join("\n"), "the table should be:\n{}\n", rows.join("\n"));
}

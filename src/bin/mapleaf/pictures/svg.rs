//! Pictures as SVG: rectangles, text, and little else.

use std::fmt::{Display, Write};

/// Red, green, blue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Color(pub(crate) u8, pub(crate) u8, pub(crate) u8);

impl Display for Color {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "#{:02x}{:02x}{:02x}", self.0, self.1, self.2)
    }
}

pub(crate) const INK: Color = Color(0x22, 0x26, 0x2b);
pub(crate) const PALE_INK: Color = Color(0x6b, 0x72, 0x7a);

/// Where a text is fastened.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// A picture, as it is drawn. Units are pixels.
pub(crate) struct Svg {
    body: String,
}

impl Svg {
    pub(crate) fn new() -> Svg {
        Svg { body: String::new() }
    }

    fn add(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.body.write_fmt(element);
        self.body.push('\n');
    }

    pub(crate) fn rectangle(&mut self, x: f64, y: f64, width: f64, height: f64, color: Color) {
        let (x, y, width, height) = (Rounded(x), Rounded(y), Rounded(width), Rounded(height));
        self.add(format_args!(r#"<rect x="{x}" y="{y}" width="{width}" height="{height}" fill="{color}"/>"#));
    }

    /// Squares of one color, of the same size: a short way to write many of them.
    pub(crate) fn squares(&mut self, corners: &[(usize, usize)], side: usize, color: Color) {
        let mut path = String::new();
        for (x, y) in corners {
            let _ = write!(path, "M{x} {y}h{side}v{side}h-{side}z");
        }
        self.add(format_args!(r#"<path fill="{color}" d="{path}"/>"#));
    }

    pub(crate) fn text(&mut self, x: f64, y: f64, size: u32, anchor: Anchor, color: Color, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let (x, y, text) = (Rounded(x), Rounded(y), escape(text));
        self.add(format_args!(
            r#"<text x="{x}" y="{y}" font-size="{size}" text-anchor="{anchor}" fill="{color}">{text}</text>"#
        ));
    }

    /// The whole file. `title` is what screen readers read.
    pub(crate) fn finish(self, width: f64, height: f64, title: &str) -> String {
        let (width, height) = (Rounded(width), Rounded(height));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\">\n<title>{}</title>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{}</svg>\n",
            escape(title),
            self.body
        )
    }
}

/// One decimal digit at most: more make files larger, and no picture better.
struct Rounded(f64);

impl Display for Rounded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        ((self.0 * 10.0).round() / 10.0).fmt(f)
    }
}

/// Text in which nothing is markup. Characters that XML does not have are replaced.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            _ if character.is_control() || matches!(character, '\u{fffe}' | '\u{ffff}') => {
                escaped.push('\u{fffd}')
            }
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tables_are_no_markup() {
        let mut svg = Svg::new();
        svg.text(1.25, 2.0, 10, Anchor::Start, INK, "<script>\u{1}&\"");
        let picture = svg.finish(10.0, 10.0, "a<b");
        assert!(picture.contains("&lt;script&gt;\u{fffd}&amp;&quot;</text>"), "{picture}");
        assert!(picture.contains("<title>a&lt;b</title>") && picture.contains("x=\"1.3\""), "{picture}");
    }
}

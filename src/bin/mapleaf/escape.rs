//! Bytes as text, and back: with backslashes for what is not printable, or as hexadecimal digits.

/// Printable text as it is; `\t`, `\n`, `\r`, `\\`, and `\xNN` for bytes that are neither.
pub(crate) fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                '\t' => text.push_str("\\t"),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                _ if character.is_control() => {
                    let mut buffer = [0; 4];
                    character.encode_utf8(&mut buffer).bytes().for_each(|byte| push_byte(&mut text, byte));
                }
                _ => text.push(character),
            }
        }
        chunk.invalid().iter().for_each(|&byte| push_byte(&mut text, byte));
    }
    text
}

fn push_byte(text: &mut String, byte: u8) {
    text.push_str("\\x");
    push_hex(text, byte);
}

pub(crate) fn push_hex(text: &mut String, byte: u8) {
    for digit in [byte >> 4, byte & 15] {
        text.push(char::from_digit(u32::from(digit), 16).unwrap_or_default());
    }
}

/// The reverse of [`escape`].
pub(crate) fn unescape(text: &[u8]) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'\\' {
            bytes.push(first);
            continue;
        }
        let (byte, length) = match rest {
            [b'\\', ..] => (b'\\', 1),
            [b't', ..] => (b'\t', 1),
            [b'n', ..] => (b'\n', 1),
            [b'r', ..] => (b'\r', 1),
            [b'x', high, low, ..] => (hex_byte(*high, *low)?, 3),
            _ => return Err("a backslash without \\, t, n, r or xNN after it".to_owned()),
        };
        bytes.push(byte);
        rest = &rest[length..];
    }
    Ok(bytes)
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    bytes.iter().for_each(|&byte| push_hex(&mut text, byte));
    text
}

pub(crate) fn from_hex(text: &[u8]) -> Result<Vec<u8>, String> {
    if !text.len().is_multiple_of(2) {
        return Err(format!("{} hexadecimal digits, an odd number", text.len()));
    }
    text.chunks_exact(2).map(|pair| hex_byte(pair[0], pair[1])).collect()
}

pub(crate) fn hex_byte(high: u8, low: u8) -> Result<u8, String> {
    let digit = |byte: u8| {
        let digit = char::from(byte).to_digit(16).map(|digit| digit as u8);
        digit.ok_or_else(|| format!("{:?} is not a hexadecimal digit", char::from(byte)))
    };
    Ok(digit(high)? << 4 | digit(low)?)
}

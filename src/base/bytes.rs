//! Little-endian integers at given offsets of a byte slice, and variable-length integers.
//!
//! Fixed-size reads and writes panic when the offset is out of bounds, so callers pass offsets that they have proved
//! (header fields of a page of known size). An offset from the file goes through `slice.get(..)` first.

macro_rules! little_endian {
    ($get:ident, $put:ident, $int:ty, $bytes:literal) => {
        #[inline]
        pub(crate) fn $get(bytes: &[u8], at: usize) -> $int {
            <$int>::from_le_bytes(bytes[at..at + $bytes].try_into().expect("length is fixed"))
        }

        #[inline]
        pub(crate) fn $put(bytes: &mut [u8], at: usize, value: $int) {
            bytes[at..at + $bytes].copy_from_slice(&value.to_le_bytes());
        }
    };
}

little_endian!(get_u16, put_u16, u16, 2);
little_endian!(get_u32, put_u32, u32, 4);
little_endian!(get_u64, put_u64, u64, 8);

/// Whether two slices have the same bytes. For short ones, where a call of the C library's comparison would cost
/// several times as much.
#[inline(always)]
pub(crate) fn are_equal(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    match left.len() {
        0 => true,
        1..4 => left.iter().zip(right).all(|(left, right)| left == right),
        4..8 => have_equal_ends::<4>(left, right),
        8..16 => have_equal_ends::<8>(left, right),
        16..=32 => have_equal_ends::<16>(left, right),
        _ => left == right,
    }
}

/// Whether the first `N` bytes are the same, and the last `N`, which may overlap and are all that there are.
#[inline(always)]
fn have_equal_ends<const N: usize>(left: &[u8], right: &[u8]) -> bool {
    left.first_chunk::<N>() == right.first_chunk() && left.last_chunk::<N>() == right.last_chunk()
}

/// Appends `value` in LEB128: seven bits a byte, least significant first (DWARF 5, section 7.6).
pub(crate) fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// How many bytes [`push_varint`] appends for `value`.
#[inline]
pub(crate) fn varint_len(value: u64) -> usize {
    let bits = u64::BITS - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// Takes one LEB128 integer from the front of `input`. Returns `None` if it is truncated or does not fit in 64 bits.
pub(crate) fn take_varint(input: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = input.split_first()?;
        *input = rest;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return None;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varint_round_trip_at_the_edges() {
        for value in [0, 1, 127, 128, 16383, 16384, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut bytes = Vec::new();
            push_varint(&mut bytes, value);
            assert_eq!(varint_len(value), bytes.len());
            let mut input = &bytes[..];
            assert_eq!(take_varint(&mut input), Some(value));
            assert!(input.is_empty());
            assert_eq!(take_varint(&mut &bytes[..bytes.len() - 1]), None, "cut short");
        }
    }

    #[test]
    fn varint_too_long_is_refused() {
        assert_eq!(take_varint(&mut &[0xff; 10][..]), None);
        assert_eq!(take_varint(&mut &[0x80; 11][..]), None);
    }
}

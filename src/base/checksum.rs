//! The checksum of pages and meta pages: CRC-32 (IEEE 802.3), by `crc32fast`.

/// CRC-32 of `bytes`.
pub(crate) fn checksum(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// CRC-32 of several pieces, as if they were one slice.
pub(crate) fn checksum_of_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

//! Buffers that are to be stored consecutively, cut where the file has its boundaries.

/// Cuts `buffers`, which are to be stored consecutively from `offset` on, at each multiple of `unit` bytes in the file.
/// Returns where each piece begins, and its parts.
pub(crate) fn pieces<'a>(
    mut offset: u64,
    buffers: &[&'a [u8]],
    unit: usize,
) -> impl Iterator<Item = (u64, Vec<&'a [u8]>)> {
    let (mut buffers, mut rest) = (buffers.iter(), &[][..]);
    std::iter::from_fn(move || {
        let (start, mut piece) = (offset, Vec::new());
        let mut room = unit - (offset % unit as u64) as usize;
        while room > 0 {
            if rest.is_empty() {
                match buffers.next() {
                    Some(buffer) => rest = buffer,
                    None => break,
                }
            }
            let (now, later) = rest.split_at(rest.len().min(room));
            piece.push(now);
            room -= now.len();
            offset += now.len() as u64;
            rest = later;
        }
        (offset > start).then_some((start, piece))
    })
}

//! Records of a file: length, checksum of the length, data, checksum of the data.

/// Bytes before the data: the length and its checksum.
const HEAD: usize = 12;
/// Bytes after the data.
const TAIL: usize = 4;

/// Wraps `data` into a record.
pub(super) fn encode(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(HEAD + data.len() + TAIL);
    record.extend(length);
    record.extend(masked_checksum(&length).to_le_bytes());
    record.extend(data);
    record.extend(masked_checksum(data).to_le_bytes());
    record
}

/// The data of the first record and the length of the record; `None` if there is no whole one.
pub(super) fn decode(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let length = bytes.get(..8)?;
    let checksum = bytes.get(8..HEAD)?;
    let count = usize::try_from(u64::from_le_bytes(length.try_into().ok()?)).ok()?;
    let end = HEAD.checked_add(count)?;
    let data = bytes.get(HEAD..end)?;
    let data_checksum = bytes.get(end..end.checked_add(TAIL)?)?;
    (checksum == masked_checksum(length).to_le_bytes()
        && data_checksum == masked_checksum(data).to_le_bytes())
    .then_some((data, end + TAIL))
}

/// CRC-32C, rotated and shifted, so that checksums of data with checksums in it stay useful.
///
/// # Source
/// TensorFlow `crc32c::Mask`.
fn masked_checksum(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_and_notices_every_flipped_bit() {
        let record = encode(b"some data");
        assert_eq!(decode(&record), Some((&b"some data"[..], record.len())));
        assert_eq!(record.len(), HEAD + 9 + TAIL);
        for cut in 0..record.len() {
            assert_eq!(decode(&record[..cut]), None);
        }
        for bit in 0..record.len() * 8 {
            let mut damaged = record.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&damaged), None, "bit {bit}");
        }
    }
}

//! The one field of a photograph's metadata that changes its pixels: which way up the camera was held.

/// The tag of the orientation.
const ORIENTATION: u16 = 0x0112;

/// The orientation in EXIF metadata, from 1 (upright) to 8; 1 if they don't say, or are damaged.
///
/// The metadata are a TIFF file (CIPA DC-008, "Exchangeable image file format for digital still cameras", 4.6.2): a byte
/// order, the place of a directory, and in it entries of 12 bytes: tag, type, count and value.
pub(super) fn orientation(tiff: &[u8]) -> u8 {
    find(tiff).filter(|value| (1..=8).contains(value)).unwrap_or(1) as u8
}

fn find(tiff: &[u8]) -> Option<u32> {
    let little_endian = match tiff.get(..4)? {
        b"II\x2a\x00" => true,
        b"MM\x00\x2a" => false,
        _ => return None,
    };
    let u16_at = |at: usize| {
        let bytes = tiff.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if little_endian {
            u16::from_le_bytes(bytes)
        } else {
            u16::from_be_bytes(bytes)
        })
    };
    let u32_at = |at: usize| {
        let bytes = tiff.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if little_endian {
            u32::from_le_bytes(bytes)
        } else {
            u32::from_be_bytes(bytes)
        })
    };
    let directory = u32_at(4)? as usize;
    for entry in 0..usize::from(u16_at(directory)?) {
        let entry = directory.checked_add(2 + 12 * entry)?;
        if u16_at(entry)? == ORIENTATION {
            let value = entry.checked_add(8)?;
            return match u16_at(entry + 2)? {
                // The standard has it as a 16-bit number; some programs write it as another.
                1 => tiff.get(value).map(|&byte| byte.into()),
                3 => u16_at(value).map(u32::from),
                4 => u32_at(value),
                _ => None,
            };
        }
    }
    None
}

#[cfg(test)]
pub(in crate::data) mod tests {
    use super::*;

    /// Metadata with an orientation and another field before it.
    pub(in crate::data) fn metadata(orientation: u8) -> Vec<u8> {
        let mut tiff = b"MM\x00\x2a\x00\x00\x00\x08\x00\x02".to_vec();
        tiff.extend([0x01, 0x00, 0, 4, 0, 0, 0, 1, 0, 0, 0, 20]);
        tiff.extend([0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0]);
        tiff.extend([0; 4]);
        tiff
    }

    #[test]
    fn is_read_in_both_byte_orders_and_types() {
        assert_eq!(orientation(&metadata(6)), 6);
        let entry = |kind: u8, value: [u8; 4]| {
            let mut tiff = b"II\x2a\x00\x08\x00\x00\x00\x01\x00".to_vec();
            tiff.extend([0x12, 0x01, kind, 0, 1, 0, 0, 0]);
            tiff.extend(value);
            orientation(&tiff)
        };
        assert_eq!(entry(3, [8, 0, 0, 0]), 8);
        assert_eq!(entry(4, [3, 0, 0, 0]), 3);
        assert_eq!(entry(1, [5, 0, 0, 0]), 5);
        // A text, and values that are no orientation.
        assert_eq!(
            (entry(2, [5, 0, 0, 0]), entry(3, [9, 0, 0, 0]), entry(3, [0; 4])),
            (1, 1, 1)
        );
    }

    #[test]
    fn damaged_metadata_are_as_none() {
        let whole = metadata(6);
        for end in 0..30 {
            assert_eq!(orientation(&whole[..end]), 1);
        }
        for place in 0..whole.len() {
            for value in [0, 1, 127, 255] {
                let mut damaged = whole.clone();
                damaged[place] = value;
                assert!((1..=8).contains(&orientation(&damaged)));
            }
        }
    }
}

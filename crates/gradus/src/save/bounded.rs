//! Files that are read into memory as a whole.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use crate::{Error, Result};

/// The most bytes that are read of a file without a length.
const MOST_WITHOUT_LENGTH: u64 = 1 << 28;

/// Reads a whole file of at most `limit` bytes into memory.
///
/// A pipe or a device such as `/dev/zero` has no length and may never end: at most 256 MiB are read of it, whatever the limit.
///
/// # Errors
/// If the file can't be read or is longer; the sentence names it.
pub fn read_at_most(path: impl AsRef<Path>, limit: u64) -> Result<Vec<u8>> {
    let path = path.as_ref();
    match read_bounded(path, limit) {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(exceeded)) => {
            let most = match exceeded >> 20 {
                0 => format!("{exceeded} bytes"),
                mib => format!("{mib} MiB"),
            };
            Err(Error::file(
                path,
                if exceeded == limit {
                    format!("the file is longer than {most}, the most that is read of it")
                } else {
                    format!(
                        "there is more than {most}, the most that is read of a pipe or a device: write it into a file first, and \
                         read that"
                    )
                },
            ))
        }
        Err(e) => Err(Error::io(path, "can't be read", e)),
    }
}

/// The bytes of a file, or the limit that it exceeds.
fn read_bounded(path: &Path, limit: u64) -> io::Result<Result<Vec<u8>, u64>> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let limit = if metadata.is_file() {
        limit
    } else {
        limit.min(MOST_WITHOUT_LENGTH)
    };
    if metadata.len() > limit {
        return Ok(Err(limit));
    }
    let mut bytes = Vec::new();
    let length = usize::try_from(metadata.len()).map_err(|e| io::Error::new(ErrorKind::OutOfMemory, e))?;
    bytes
        .try_reserve_exact(length)
        .map_err(|e| io::Error::new(ErrorKind::OutOfMemory, e))?;
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(if bytes.len() as u64 > limit {
        Err(limit)
    } else {
        Ok(bytes)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_read_than_the_limit() {
        let path = std::env::temp_dir().join(format!("gradus-bounded-{}", std::process::id()));
        std::fs::write(&path, [7; 100]).unwrap();
        assert_eq!(read_at_most(&path, 100).unwrap(), [7; 100]);
        let error = read_at_most(&path, 99).unwrap_err().to_string();
        assert!(
            error.ends_with("the file is longer than 99 bytes, the most that is read of it"),
            "{error}"
        );
        std::fs::remove_file(&path).unwrap();
        assert!(
            read_at_most(&path, 99)
                .unwrap_err()
                .to_string()
                .contains("can't be read: ")
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_device_without_an_end_is_refused() {
        let error = read_at_most("/dev/zero", 3 << 20).unwrap_err().to_string();
        assert!(error.starts_with("/dev/zero: the file is longer than 3 MiB"), "{error}");
        let error = read_at_most("/dev/zero", u64::MAX).unwrap_err().to_string();
        assert_eq!(
            error,
            "/dev/zero: there is more than 256 MiB, the most that is read of a pipe or a device: write it into a file first, and \
             read that"
        );
    }
}

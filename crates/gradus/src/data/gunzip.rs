//! Gzipped data, unpacked as far as they are plausible.

use std::ffi::OsStr;
use std::io::{self, BufRead, ErrorKind, Read};

use flate2::bufread::MultiGzDecoder;

/// The environment variable that names how many MiB are unpacked of any gzipped file.
pub const MOST_UNPACKED_VARIABLE: &str = "GRADUS_MOST_UNPACKED";
/// The first bytes of gzipped data.
pub(super) const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// How much is unpacked of any file.
const ALWAYS: u64 = 256 << 20;
/// How many bytes one byte may become beyond that: tables and images become 3 to 10, and a file that is made to fill memory 1,000.
const FROM_ONE: u64 = 32;

/// Unpacks gzipped data, and fails where they become more than a limit allows.
pub(super) struct Gunzip<R> {
    decoder: MultiGzDecoder<Counted<R>>,
    unpacked: u64,
    always: u64,
    from_one: u64,
}

impl<R: BufRead> Gunzip<R> {
    /// Unpacks 256 MiB, or 32 bytes for each byte that was read, if that is more; or what the environment variable says.
    ///
    /// # Errors
    /// If the environment variable is no whole number of MiB.
    pub fn new(reader: R) -> Result<Self, String> {
        Ok(Gunzip::with_limits(
            reader,
            limits(std::env::var_os(MOST_UNPACKED_VARIABLE).as_deref())?,
        ))
    }

    fn with_limits(reader: R, (always, from_one): (u64, u64)) -> Self {
        Gunzip {
            decoder: MultiGzDecoder::new(Counted { reader, count: 0 }),
            unpacked: 0,
            always,
            from_one,
        }
    }
}

/// How many bytes are always unpacked, and how many for each byte of the file, as the environment variable says if it is set.
fn limits(mib: Option<&OsStr>) -> Result<(u64, u64), String> {
    let Some(mib) = mib else {
        return Ok((ALWAYS, FROM_ONE));
    };
    match mib.to_str().and_then(|mib| mib.trim().parse::<u64>().ok()) {
        Some(mib) => Ok((mib.saturating_mul(1 << 20), 0)),
        None => Err(format!(
            "the environment variable {MOST_UNPACKED_VARIABLE} is `{}`, and has to be the number of MiB that may be unpacked of a \
             gzipped file, such as 1024: set it to that, or unset it",
            mib.display()
        )),
    }
}

impl<R: BufRead> Read for Gunzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.decoder.read(buffer)?;
        self.unpacked += count as u64;
        let limit = self
            .always
            .max(self.decoder.get_ref().count.saturating_mul(self.from_one));
        if self.unpacked > limit {
            return Err(io::Error::new(
                ErrorKind::FileTooLarge,
                format!(
                    "the gzipped file becomes more than {} MiB when it is unpacked, as one does that is made to fill memory; if it \
                     is right, set the environment variable {MOST_UNPACKED_VARIABLE} to the number of MiB that may be unpacked",
                    limit >> 20
                ),
            ));
        }
        Ok(count)
    }
}

/// Counts the bytes that are taken from a reader.
struct Counted<R> {
    reader: R,
    count: u64,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.count += count as u64;
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.reader.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.count += count as u64;
        self.reader.consume(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::idx::tests::gzip;

    #[test]
    fn no_more_is_unpacked_than_the_limits() {
        let bytes: Vec<u8> = (0..100_000_u32).map(|i| (i / 100) as u8).collect();
        let file = gzip(&bytes);
        let unpack = |always, from_one| {
            let mut unpacked = Vec::new();
            let read = Gunzip::with_limits(&file[..], (always, from_one)).read_to_end(&mut unpacked);
            read.map(|_| unpacked).map_err(|e| e.kind())
        };
        assert_eq!(unpack(100_000, 0).as_ref(), Ok(&bytes));
        assert_eq!(unpack(99_999, 0), Err(ErrorKind::FileTooLarge));
        let ratio = bytes.len().div_ceil(file.len()) as u64;
        assert_eq!(unpack(70_000, ratio).as_ref(), Ok(&bytes));
        assert_eq!(unpack(10_000, ratio / 2), Err(ErrorKind::FileTooLarge));
    }

    /// Zeros become 1,000 times smaller; what is stored before them, not at all.
    #[test]
    fn at_first_256_mib_are_unpacked_or_32_times_the_size() {
        let unpack = |stored: u64, zeros: u64| {
            let mut file = Vec::new();
            for (bytes, level) in [(stored, 0), (zeros, 9)] {
                let mut gzip = flate2::write::GzEncoder::new(&mut file, flate2::Compression::new(level));
                io::copy(&mut io::repeat(0).take(bytes), &mut gzip).unwrap();
                gzip.finish().unwrap();
            }
            let read = io::copy(&mut Gunzip::new(&file[..]).unwrap(), &mut io::sink());
            (read.map_err(|e| e.to_string()), file.len() as u64)
        };
        let mib = 1 << 20;
        assert_eq!(unpack(0, 256 * mib).0, Ok(256 * mib));
        let sentence = unpack(0, 256 * mib + 1).0.unwrap_err();
        assert!(
            sentence.starts_with("the gzipped file becomes more than 256 MiB")
                && sentence.contains(MOST_UNPACKED_VARIABLE),
            "{sentence}"
        );
        // 12 MiB are 384 MiB in 32 times as many bytes; and those that zeros become count too.
        assert_eq!(unpack(12 * mib, 372 * mib).0, Ok(384 * mib));
        let (read, size) = unpack(12 * mib, 386 * mib);
        assert!(read.is_err() && 32 * size < 398 * mib, "{read:?}, {size}");
    }

    #[test]
    fn the_variable_is_a_number_of_mib() {
        let limits = |value: &str| limits(Some(OsStr::new(value)));
        assert_eq!(super::limits(None), Ok((256 << 20, 32)));
        assert_eq!(limits(" 1024 "), Ok((1 << 30, 0)));
        assert_eq!(limits("0"), Ok((0, 0)));
        assert_eq!(limits("99999999999999999"), Ok((u64::MAX, 0)));
        for value in ["", "1G", "512MiB", "-1", "1.5", "1e3", "all"] {
            assert_eq!(
                limits(value).unwrap_err(),
                format!(
                    "the environment variable GRADUS_MOST_UNPACKED is `{value}`, and has to be the number of MiB that may be \
                     unpacked of a gzipped file, such as 1024: set it to that, or unset it"
                )
            );
        }
    }
}

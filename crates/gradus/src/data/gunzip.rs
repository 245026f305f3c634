//! Gzipped data, unpacked as far as they are plausible.

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
    pub fn new(reader: R) -> Self {
        let most = std::env::var(MOST_UNPACKED_VARIABLE).ok();
        match most.and_then(|mib| mib.trim().parse::<u64>().ok()) {
            Some(mib) => Gunzip::with_limits(reader, mib.saturating_mul(1 << 20), 0),
            None => Gunzip::with_limits(reader, ALWAYS, FROM_ONE),
        }
    }

    fn with_limits(reader: R, always: u64, from_one: u64) -> Self {
        Gunzip {
            decoder: MultiGzDecoder::new(Counted { reader, count: 0 }),
            unpacked: 0,
            always,
            from_one,
        }
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
            let read = Gunzip::with_limits(&file[..], always, from_one).read_to_end(&mut unpacked);
            read.map(|_| unpacked).map_err(|e| e.kind())
        };
        assert_eq!(unpack(100_000, 0).as_ref(), Ok(&bytes));
        assert_eq!(unpack(99_999, 0), Err(ErrorKind::FileTooLarge));
        let ratio = bytes.len().div_ceil(file.len()) as u64;
        assert_eq!(unpack(70_000, ratio).as_ref(), Ok(&bytes));
        assert_eq!(unpack(10_000, ratio / 2), Err(ErrorKind::FileTooLarge));
    }

    /// 300 MB of zeros, in 300 kB.
    #[test]
    fn a_file_that_is_made_to_fill_memory_is_refused() {
        let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::copy(&mut io::repeat(0).take(300_000_000), &mut bomb).unwrap();
        let bomb = bomb.finish().unwrap();
        let read = io::copy(&mut Gunzip::new(&bomb[..]), &mut io::sink());
        let sentence = read.unwrap_err().to_string();
        assert!(
            sentence.starts_with("the gzipped file becomes more than 256 MiB")
                && sentence.contains(MOST_UNPACKED_VARIABLE),
            "{sentence}"
        );
    }
}

//! IDX files: the format of MNIST.
//!
//! | bytes | what |
//! | --- | --- |
//! | 2 | zero |
//! | 1 | the type of the values; `08`, unsigned bytes, is the one read here |
//! | 1 | the number of dimensions |
//! | 4 each | the dimensions, big-endian |
//! | the rest | the values, row-major |
//!
//! The format is described by LeCun, Cortes and Burges on the page of the MNIST database (1998). Files may be gzipped, which
//! is seen from their first bytes, not from their names.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::MOST_BYTES_FROM_ONE;
use super::gunzip::{GZIP_MAGIC, Gunzip};
use crate::save::atomic::write_with;
use crate::{Error, Result};

/// The type code of unsigned bytes.
const UNSIGNED_BYTES: u8 = 0x08;

/// The content of an IDX file of unsigned bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idx {
    /// The dimensions: `[60000, 28, 28]`.
    pub dims: Vec<usize>,
    /// The values, row-major.
    pub bytes: Vec<u8>,
}

/// Reads an IDX file of unsigned bytes, raw or gzipped.
///
/// Memory is taken for what the file can hold, never for what its header claims, and a gzipped file is unpacked as far as
/// [`MOST_UNPACKED_VARIABLE`](super::MOST_UNPACKED_VARIABLE) says.
///
/// # Errors
/// If the file can't be read, is not such a file, is cut off or damaged, or holds more than its header says. The sentence
/// names the file.
pub fn read(path: impl AsRef<Path>) -> Result<Idx> {
    let path = path.as_ref();
    let open = || -> io::Result<_> {
        let length = fs::metadata(path)?.len();
        Ok((File::open(path)?, length))
    };
    let (file, length) = open().map_err(|e| Error::io(path, "can't be read", e))?;
    decode(BufReader::with_capacity(1 << 16, file), length).map_err(|message| Error::file(path, message))
}

/// Reads the bytes of an IDX file, raw or gzipped.
///
/// ```
/// use gradus::data::idx;
/// let file = [0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6];
/// let idx = idx::parse(&file)?;
/// assert_eq!(idx.dims, [2, 3]);
/// assert_eq!(idx.bytes, [1, 2, 3, 4, 5, 6]);
///
/// let error = idx::parse(&file[..16]).unwrap_err();
/// assert_eq!(error.to_string(), "the file is cut off or damaged: its header says 2×3 values, and at most 4 of these 6 are there");
/// # Ok::<(), gradus::Error>(())
/// ```
///
/// # Errors
/// As [`read`].
pub fn parse(bytes: &[u8]) -> Result<Idx> {
    decode(bytes, bytes.len() as u64).map_err(Error::data)
}

/// Writes an IDX file of unsigned bytes, gzipped if its name ends in `.gz`.
///
/// # Errors
/// If the dimensions don't fit the format or the number of values, or the file can't be written.
pub fn write(path: impl AsRef<Path>, dims: &[usize], bytes: &[u8]) -> Result<()> {
    let path = path.as_ref();
    let header = header(dims, bytes.len()).map_err(|message| Error::file(path, message))?;
    let ending = path.extension();
    let is_gzipped = ending.is_some_and(|ending| ending.eq_ignore_ascii_case("gz"));
    let write = |file: &mut dyn Write| -> io::Result<()> {
        if is_gzipped {
            let mut gzip = GzEncoder::new(file, Compression::best());
            gzip.write_all(&header)?;
            gzip.write_all(bytes)?;
            gzip.finish()?;
        } else {
            file.write_all(&header)?;
            file.write_all(bytes)?;
        }
        Ok(())
    };
    write_with(path, |file| {
        write(file).map_err(|e| Error::io(path, "can't be written", e))
    })
}

/// The header of a file with these dimensions.
fn header(dims: &[usize], values: usize) -> Result<Vec<u8>, String> {
    if dims.is_empty() || dims.len() > 255 {
        return Err(format!("an IDX file has 1 to 255 dimensions, not {}", dims.len()));
    }
    if product(dims) != Some(values) {
        return Err(format!(
            "{} values were given, and {} have another number",
            values,
            times(dims)
        ));
    }
    let mut header = vec![0, 0, UNSIGNED_BYTES, dims.len() as u8];
    for &d in dims {
        let d = u32::try_from(d).map_err(|_| format!("a dimension of {d} does not fit an IDX file's 32 bits"))?;
        header.extend(d.to_be_bytes());
    }
    Ok(header)
}

/// Decodes from a reader that holds `length` bytes, raw or gzipped.
fn decode(mut reader: impl BufRead, length: u64) -> Result<Idx, String> {
    let start = reader.fill_buf().map_err(|e| e.to_string())?;
    if start.starts_with(&GZIP_MAGIC) {
        decode_raw(Gunzip::new(reader)?, length.saturating_mul(MOST_BYTES_FROM_ONE)).map_err(|e| e.of_gzip())
    } else {
        decode_raw(reader, length).map_err(|e| e.of_raw())
    }
}

/// Why decoding stopped.
enum Stop {
    /// The content is wrong.
    Content(String),
    /// Nothing more could be read.
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Stop::Io(error)
    }
}

impl Stop {
    fn of_raw(self) -> String {
        match self {
            Stop::Content(message) => message,
            Stop::Io(e) if e.kind() == io::ErrorKind::UnexpectedEof => "the file is cut off within its header".into(),
            Stop::Io(e) => e.to_string(),
        }
    }

    fn of_gzip(self) -> String {
        match self {
            Stop::Content(message) => message,
            Stop::Io(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                "the gzipped file is cut off: fetch it again".into()
            }
            Stop::Io(e) if e.kind() == io::ErrorKind::FileTooLarge => e.to_string(),
            Stop::Io(e) => format!("the gzipped file is damaged ({e}): fetch it again"),
        }
    }
}

/// Decodes a reader that can't give more than `at_most` bytes.
fn decode_raw(mut reader: impl Read, at_most: u64) -> Result<Idx, Stop> {
    let dims = read_header(&mut reader)?;
    let room = at_most.saturating_sub(4 + 4 * dims.len() as u64);
    let Some(size) = product(&dims).filter(|&size| size as u64 <= room) else {
        let of_these = product(&dims).map_or_else(String::new, |size| format!(" of these {size}"));
        return Err(Stop::Content(format!(
            "the file is cut off or damaged: its header says {} values, and at most {room}{of_these} are there",
            times(&dims),
        )));
    };
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size).map_err(io::Error::other)?;
    // One byte more than there should be: it tells of an end that comes too late, and has a gzip checksum checked.
    let mut limited = reader.take(size as u64);
    limited.read_to_end(&mut bytes)?;
    if bytes.len() < size {
        return Err(Stop::Content(format!(
            "the file is cut off: its header says {} values, and {} of these {size} are there",
            times(&dims),
            bytes.len()
        )));
    }
    if limited.into_inner().read(&mut [0])? > 0 {
        return Err(Stop::Content(format!(
            "the file is longer than its header says: there is more after the {size} values ({})",
            times(&dims)
        )));
    }
    Ok(Idx { dims, bytes })
}

/// Reads a header: the dimensions of unsigned bytes.
fn read_header(reader: &mut impl Read) -> Result<Vec<usize>, Stop> {
    let mut magic = [0; 4];
    reader.read_exact(&mut magic)?;
    let [zero, zero_too, kind, count] = magic;
    if (zero, zero_too) != (0, 0) {
        return Err(Stop::Content(format!(
            "not an IDX file: it starts with the bytes {zero:02x} {zero_too:02x} {kind:02x} {count:02x}, {}",
            guess(magic)
        )));
    }
    if kind != UNSIGNED_BYTES {
        let kind = match kind {
            0x09 => "signed bytes (09)".into(),
            0x0b => "16-bit integers (0b)".into(),
            0x0c => "32-bit integers (0c)".into(),
            0x0d => "32-bit floats (0d)".into(),
            0x0e => "64-bit floats (0e)".into(),
            other => format!("an unknown type ({other:02x})"),
        };
        return Err(Stop::Content(format!(
            "the values of this IDX file are of {kind}, and only unsigned bytes (08) can be read"
        )));
    }
    if count == 0 {
        return Err(Stop::Content(
            "the header of this IDX file says that it has no dimension".into(),
        ));
    }
    let mut dims = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        let mut d = [0; 4];
        reader.read_exact(&mut d)?;
        dims.push(u32::from_be_bytes(d) as usize);
    }
    Ok(dims)
}

/// What a file that starts like this may be.
fn guess(magic: [u8; 4]) -> &'static str {
    match magic {
        [b'P', b'K', ..] => "as a zip archive does: unpack it first",
        [b'<', ..] => "as a web page does: a download may have brought an error page instead of the file",
        [0x89, b'P', b'N', b'G'] => "as a PNG image does",
        _ => "and not with 00 00 08",
    }
}

/// The product of the dimensions, if it is a number of bytes that memory could hold.
fn product(dims: &[usize]) -> Option<usize> {
    dims.iter()
        .try_fold(1usize, |product, &d| product.checked_mul(d))
        .filter(|&p| p <= isize::MAX as usize)
}

/// The dimensions as `60000×28×28`, the first few of absurdly many.
fn times(dims: &[usize]) -> String {
    let shown = crate::Shape::from(&dims[..dims.len().min(8)]).to_string();
    if dims.len() > 8 { format!("{shown}×...") } else { shown }
}

#[cfg(test)]
pub(super) mod tests {
    use rand::RngExt;

    use super::*;
    use crate::random::{Purpose, stream};

    /// The bytes of a file.
    pub(in crate::data) fn encode(dims: &[usize], bytes: &[u8]) -> Vec<u8> {
        let mut file = header(dims, bytes.len()).unwrap();
        file.extend(bytes);
        file
    }

    /// The same, gzipped.
    pub(in crate::data) fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Hands every truncation of a file, and many copies with random bytes changed, to `decode`, which must not panic.
    pub(in crate::data) fn maltreat(file: &[u8], mut decode: impl FnMut(&[u8])) {
        for end in 0..=file.len() {
            decode(&file[..end]);
        }
        for round in 0..2000 {
            let mut rng = stream(7, Purpose::User, &[round]);
            let mut file = file.to_vec();
            for _ in 0..rng.random_range(1..4) {
                let i = rng.random_range(0..file.len());
                file[i] = rng.random();
            }
            decode(&file);
        }
    }

    fn sentence(bytes: &[u8]) -> String {
        parse(bytes).unwrap_err().to_string()
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = std::env::temp_dir().join(format!("gradus-idx-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let bytes = (0..60).collect::<Vec<u8>>();
        for name in ["a-idx3-ubyte", "a-idx3-ubyte.gz"] {
            let path = dir.join(name);
            write(&path, &[5, 4, 3], &bytes).unwrap();
            let idx = read(&path).unwrap();
            assert_eq!(idx.dims, [5, 4, 3]);
            assert_eq!(idx.bytes, bytes);
            assert_eq!(fs::read(&path).unwrap().starts_with(&GZIP_MAGIC), name.ends_with("gz"));
            assert!(write(&path, &[5, 4], &bytes).unwrap_err().to_string().contains("5×4"));
            assert!(
                write(&path, &[], &bytes)
                    .unwrap_err()
                    .to_string()
                    .contains("1 to 255 dimensions")
            );
            assert!(write(&path, &[60, 1 << 32, 0], &[]).is_err() || usize::BITS == 32);
        }
        // The name of the file is in the sentence, and its content, not its name, tells whether it is gzipped.
        fs::write(dir.join("b.gz"), encode(&[2], &[1, 2])).unwrap();
        assert_eq!(read(dir.join("b.gz")).unwrap().bytes, [1, 2]);
        fs::write(dir.join("b.gz"), encode(&[2], &[1, 2, 3][..2]).split_last().unwrap().1).unwrap();
        assert!(
            read(dir.join("b.gz"))
                .unwrap_err()
                .to_string()
                .contains("b.gz: the file is cut off")
        );
        assert!(read(dir.join("none")).unwrap_err().to_string().contains("none: "));
        assert!(read(&dir).is_err());
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn damage_is_named() {
        let good = encode(&[2, 3], &[1, 2, 3, 4, 5, 6]);
        assert!(sentence(b"").contains("cut off within its header"));
        assert!(sentence(&good[..9]).contains("cut off within its header"));
        assert!(sentence(&good[..14]).contains("at most 2 of these 6 are there"));
        assert!(sentence(&[&good[..], &[0]].concat()).contains("longer than its header says"));
        assert!(sentence(b"<!DOCTYPE html>").contains("web page"));
        assert!(sentence(b"PK\x03\x04").contains("zip archive"));
        assert!(sentence(&[1, 2, 3, 4]).contains("01 02 03 04, and not with 00 00 08"));
        assert!(sentence(&[0, 0, 0x0d, 1, 0, 0, 0, 0]).contains("32-bit floats (0d)"));
        assert!(sentence(&[0, 0, 0x55, 1, 0, 0, 0, 0]).contains("unknown type (55)"));
        assert!(sentence(&[0, 0, 8, 0]).contains("no dimension"));
        let zipped = gzip(&good);
        assert!(sentence(&zipped[..zipped.len() - 1]).contains("cut off"));
        assert!(sentence(&zipped[..5]).contains("cut off"));
        let mut checksum = zipped.clone();
        let end = checksum.len();
        checksum[end - 6] ^= 1;
        assert!(sentence(&checksum).contains("damaged"), "{}", sentence(&checksum));
        assert!(sentence(&[&zipped[..], b"no further member"].concat()).contains("damaged"));
        assert!(sentence(&gzip(&[&good[..], &[0]].concat())).contains("longer"));
        assert!(sentence(&gzip(&good[..15])).contains("3 of these 6 are there"));
        // Gzip of two members is the two together.
        assert_eq!(
            parse(&[gzip(&good[..7]), gzip(&good[7..])].concat()).unwrap(),
            parse(&good).unwrap()
        );
    }

    #[test]
    fn claims_take_no_memory() {
        let mut absurd = vec![0, 0, 8, 3];
        absurd.extend([0xff; 12]);
        assert!(sentence(&absurd).contains("4294967295×4294967295×4294967295"));
        let mut large = vec![0, 0, 8, 2, 0, 1, 0, 0, 0, 1, 0, 0];
        assert!(sentence(&large).contains("65536×65536 values, and at most 0 of these 4294967296 are there"));
        assert!(sentence(&gzip(&large)).contains("at most"));
        large[3] = 255;
        large.resize(4 + 255 * 4, 1);
        assert!(sentence(&large).contains("×..."));
    }

    #[test]
    fn no_damage_panics() {
        let file = encode(&[3, 4, 5], &(0..60).collect::<Vec<_>>());
        let whole = parse(&file).unwrap();
        maltreat(&file, |bytes| {
            if let Ok(idx) = parse(bytes) {
                assert_eq!(idx.bytes.len(), whole.bytes.len());
            }
        });
        maltreat(&gzip(&file), |bytes| {
            if let Ok(idx) = parse(bytes) {
                assert_eq!(idx, whole, "a checksum missed damage");
            }
        });
    }
}

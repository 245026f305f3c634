//! The wire format of protocol buffers, in which ONNX files are written.
//!
//! A message is a row of fields. Each begins with a key, `number · 8 + kind`, as a varint: seven bits a byte, the lowest first,
//! the top bit set on all bytes but the last. The kind says what follows: 0 a varint, 1 eight bytes, 5 four bytes, 2 a length
//! and so many bytes, which are a text, a message, or numbers in a row.
//!
//! Source: Google, "Protocol Buffers: Encoding", 2008.

/// What a field holds; bytes stay where they are in the file.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Field<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    Bytes(&'a [u8]),
    Fixed32([u8; 4]),
}

const MISPLACED: &str = "a field of the file is not of the kind that ONNX gives it";

impl<'a> Field<'a> {
    pub(crate) fn bytes(self) -> Result<&'a [u8], String> {
        match self {
            Field::Bytes(bytes) => Ok(bytes),
            _ => Err(MISPLACED.into()),
        }
    }

    pub(crate) fn text(self) -> Result<&'a str, String> {
        std::str::from_utf8(self.bytes()?).map_err(|_| "a name in the file is not text".into())
    }

    pub(crate) fn integer(self) -> Result<i64, String> {
        match self {
            Field::Varint(value) => Ok(value as i64),
            _ => Err(MISPLACED.into()),
        }
    }

    pub(crate) fn float(self) -> Result<f32, String> {
        match self {
            Field::Fixed32(bytes) => Ok(f32::from_le_bytes(bytes)),
            _ => Err(MISPLACED.into()),
        }
    }

    /// Adds the integers of a field that may be repeated, or packed into one.
    pub(crate) fn integers(self, values: &mut Vec<i64>) -> Result<(), String> {
        let Field::Bytes(mut rest) = self else {
            values.push(self.integer()?);
            return Ok(());
        };
        while !rest.is_empty() {
            values.push(varint(&mut rest)? as i64);
        }
        Ok(())
    }

    /// Adds the numbers of such a field.
    pub(crate) fn floats(self, values: &mut Vec<f32>) -> Result<(), String> {
        match self {
            Field::Bytes(bytes) => {
                let (numbers, rest) = bytes.as_chunks();
                values.extend(numbers.iter().map(|&number| f32::from_le_bytes(number)));
                if rest.is_empty() { Ok(()) } else { Err(MISPLACED.into()) }
            }
            _ => {
                values.push(self.float()?);
                Ok(())
            }
        }
    }

    /// Adds the numbers of such a field, of double precision.
    pub(crate) fn doubles(self, values: &mut Vec<f64>) -> Result<(), String> {
        match self {
            Field::Bytes(bytes) => {
                let (numbers, rest) = bytes.as_chunks();
                values.extend(numbers.iter().map(|&number| f64::from_le_bytes(number)));
                if rest.is_empty() { Ok(()) } else { Err(MISPLACED.into()) }
            }
            Field::Fixed64(bytes) => {
                values.push(f64::from_le_bytes(bytes));
                Ok(())
            }
            _ => Err(MISPLACED.into()),
        }
    }
}

/// The fields of a message, one after the other.
#[derive(Debug)]
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn of(message: &'a [u8]) -> Self {
        Fields(message)
    }

    fn field(&mut self) -> Result<(u64, Field<'a>), String> {
        let rest = &mut self.0;
        let key = varint(rest)?;
        let field = match key & 7 {
            0 => Field::Varint(varint(rest)?),
            1 => Field::Fixed64(fixed(rest)?),
            2 => {
                let length = usize::try_from(varint(rest)?).unwrap_or(usize::MAX);
                let (bytes, after) = rest.split_at_checked(length).ok_or_else(cut_short)?;
                *rest = after;
                Field::Bytes(bytes)
            }
            5 => Field::Fixed32(fixed(rest)?),
            kind => {
                return Err(format!(
                    "the file is not an ONNX file: it has a field of the unknown kind {kind}"
                ));
            }
        };
        Ok((key >> 3, field))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Field<'a>), String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

fn cut_short() -> String {
    "the file ends in the middle of a field: it is damaged, or not an ONNX file".into()
}

fn fixed<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], String> {
    let (bytes, after) = rest.split_first_chunk().ok_or_else(cut_short)?;
    *rest = after;
    Ok(*bytes)
}

fn varint(rest: &mut &[u8]) -> Result<u64, String> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let [byte] = fixed(rest)?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("the file is not an ONNX file: it has a number of more than 64 bits".into())
}

/// A message that is being written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    pub(crate) fn new() -> Self {
        Message::default()
    }

    pub(crate) fn integer(mut self, field: u64, value: i64) -> Self {
        self.varint(field << 3);
        self.varint(value as u64);
        self
    }

    pub(crate) fn float(mut self, field: u64, value: f32) -> Self {
        self.varint(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(crate) fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend(value);
        self
    }

    pub(crate) fn text(self, field: u64, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    pub(crate) fn message(self, field: u64, value: &Message) -> Self {
        self.bytes(field, &value.0)
    }

    pub(crate) fn messages<'m>(self, field: u64, values: impl IntoIterator<Item = &'m Message>) -> Self {
        values
            .into_iter()
            .fold(self, |message, value| message.message(field, value))
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let inner = Message::new().text(1, "μ").float(2, -1.5);
        let bytes = Message::new()
            .integer(3, -7)
            .integer(1000, 300)
            .message(2, &inner)
            .finish();
        let fields: Vec<_> = Fields::of(&bytes).collect::<Result<_, _>>().unwrap();
        assert_eq!(
            fields.iter().map(|(number, _)| *number).collect::<Vec<_>>(),
            [3, 1000, 2]
        );
        assert_eq!(fields[0].1.integer(), Ok(-7));
        assert_eq!(fields[1].1.integer(), Ok(300));
        let inner: Vec<_> = Fields::of(fields[2].1.bytes().unwrap())
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(inner[0].1.text(), Ok("μ"));
        assert_eq!(inner[1].1.float(), Ok(-1.5));
        assert!(inner[1].1.text().unwrap_err().contains("not of the kind"));
    }

    #[test]
    fn numbers_come_one_by_one_or_packed() {
        let mut integers = Vec::new();
        Field::Varint(5).integers(&mut integers).unwrap();
        Field::Bytes(&[0xac, 0x02, 0x01]).integers(&mut integers).unwrap();
        assert_eq!(integers, [5, 300, 1]);
        let mut floats = Vec::new();
        Field::Bytes(&[0, 0, 0x80, 0x3f]).floats(&mut floats).unwrap();
        assert_eq!(floats, [1.0]);
        assert!(Field::Bytes(&[0, 0, 0x80]).floats(&mut floats).is_err());
    }

    #[test]
    fn damaged_messages_are_refused() {
        for (bytes, sentence) in [
            (&[0x0a, 5, 1][..], "ends in the middle"),
            (&[0x0d, 1, 2], "ends in the middle"),
            (&[0x08], "ends in the middle"),
            (&[0x0b], "unknown kind 3"),
            (&[0xff; 11], "more than 64 bits"),
        ] {
            let error = Fields::of(bytes).find_map(Result::err).unwrap();
            assert!(error.contains(sentence), "{error}");
        }
    }
}

//! A JPEG file's segments, and the form of them on whose meaning all decoders agree.
//!
//! What ITU-T T.81 leaves open, programs have filled with markers of their own, some of which contradict each other, and with
//! bytes between the segments. How they are to be taken has been settled by what libjpeg does, which nearly all others follow:
//! the number of channels decides first, then JFIF's marker, then Adobe's, then the channels' names. The decoder that this
//! library uses goes by another order, and stops at bytes that belong to no segment. So it is handed what counts only: tables,
//! headers with the channels' names that say the colors, and coded pixels.
//!
//! It also takes an end that comes too early for zeros, which make gray patches. So bits that are no code in any table (T.81,
//! annex C: no code consists of ones only) follow what it is to read; if it reads them, something was missing.

/// Bytes that no Huffman table has a code for, as they are coded: 64 ones, more than a code and what follows it can have.
const NO_CODE: [u8; 16] = [0xff, 0, 0xff, 0, 0xff, 0, 0xff, 0, 0xff, 0, 0xff, 0, 0xff, 0, 0xff, 0];

/// The marker of the end.
const EOI: u8 = 0xd9;
/// The marker of a scan: coded pixels follow it.
const SOS: u8 = 0xda;
/// The marker of a frame whose pixels come in ever finer scans.
const PROGRESSIVE: u8 = 0xc2;

/// What the channels mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colors {
    /// One channel.
    Gray,
    /// Brightness and two differences of color.
    YCbCr,
    /// Red, green and blue.
    Rgb,
    /// Cyan, magenta, yellow and black; inverted if 255 is no ink.
    Cmyk { inverted: bool },
    /// The first three of those as YCbCr.
    Ycck,
}

/// A file, cleaned.
#[derive(Debug)]
pub(super) struct Stream<'a> {
    pub width: u16,
    pub height: u16,
    pub colors: Colors,
    /// What a decoder needs.
    pub bytes: Vec<u8>,
    /// The EXIF metadata.
    pub exif: Option<&'a [u8]>,
}

/// A channel in the frame's header.
struct Channel {
    name: u8,
    across: usize,
    down: usize,
}

/// What the segments before a scan say.
#[derive(Default)]
struct Found<'a> {
    exif: Option<&'a [u8]>,
    has_jfif: bool,
    /// The transformation of colors that Adobe's marker names.
    adobe: Option<u8>,
    /// The code of the frame's marker, and what it says.
    frame: Option<(u8, &'a [u8])>,
    /// Tables and such, as they are.
    tables: Vec<u8>,
    /// MCUs between two restart markers; 0 for no such markers.
    restart_interval: usize,
}

impl<'a> Stream<'a> {
    /// Takes a file apart, and puts what counts together again.
    pub fn read(file: &'a [u8]) -> Result<Self, String> {
        let mut reader = Reader { file, at: 2 };
        let mut found = Found::default();
        let first = loop {
            match reader.segment()? {
                None => return Err("it is cut off before its pixels".into()),
                Some((EOI, _)) => return Err("it ends before its pixels".into()),
                Some((SOS, header)) => break header,
                Some((marker, segment)) => found.take(marker, segment)?,
            }
        };
        let Some((kind, frame)) = found.frame else {
            return Err("its pixels come before its size".into());
        };
        let frame = Frame::read(frame)?;
        let colors = found.colors(&frame.channels)?;

        let mut bytes = vec![0xff, 0xd8];
        if colors == Colors::Ycck {
            push(&mut bytes, 0xee, b"Adobe\x00\x64\x00\x00\x00\x00\x02");
        }
        push(&mut bytes, kind, &frame.header(colors));
        let mut scanned = vec![false; frame.channels.len()];
        let mut next = Some(first);
        let mut ended = false;
        let mut scans = 0;
        while let Some(header) = next.take() {
            bytes.append(&mut found.tables);
            let channels = frame.push_scan(&mut bytes, header, colors)?;
            frame.check_scan(kind, &channels, found.restart_interval)?;
            let restarts = frame.restarts(&channels, found.restart_interval);
            reader.copy_coded(&mut bytes, restarts)?;
            channels.into_iter().for_each(|channel| scanned[channel] = true);
            while let Some((marker, segment)) = reader.segment()? {
                match marker {
                    EOI => ended = true,
                    SOS => next = Some(segment),
                    _ => {
                        found.take(marker, segment)?;
                        continue;
                    }
                }
                break;
            }
            // The decoder wants the next marker to follow where it doesn't look for it: between the scans of an image that is not
            // progressive, and after the first of one that is.
            let may_follow = if kind == PROGRESSIVE { scans > 0 } else { next.is_none() };
            if may_follow {
                bytes.extend(NO_CODE);
            }
            scans += 1;
        }
        // Of a progressive image the finer scans may be missing; of others all that there is has been found.
        if scanned.contains(&false) || (kind == PROGRESSIVE && !ended) {
            return Err("it is cut off: not all of its scans are there".into());
        }
        bytes.extend([0xff, EOI]);
        Ok(Stream {
            width: frame.width,
            height: frame.height,
            colors,
            bytes,
            exif: found.exif,
        })
    }
}

impl<'a> Found<'a> {
    /// Keeps what a segment says, if it counts.
    fn take(&mut self, marker: u8, segment: &'a [u8]) -> Result<(), String> {
        match marker {
            0xc0..=PROGRESSIVE if self.frame.is_some() => return Err("it has two frames".into()),
            0xc0..=PROGRESSIVE => self.frame = Some((marker, segment)),
            0xc4 | 0xdb => push(&mut self.tables, marker, segment),
            0xdd => {
                let [high, low] = *segment else {
                    return Err("its restart interval is damaged".into());
                };
                self.restart_interval = u16::from_be_bytes([high, low]).into();
                push(&mut self.tables, marker, segment);
            }
            0xe0 if segment.starts_with(b"JFIF\0") => self.has_jfif = true,
            // A frame of a film, which has no tables of its own.
            0xe0 if segment.starts_with(b"AVI1\0") => push(&mut self.tables, marker, segment),
            0xe1 if self.exif.is_none() => self.exif = segment.strip_prefix(b"Exif\0\0"),
            0xee if segment.starts_with(b"Adobe") => self.adobe = self.adobe.or(segment.get(11).copied()),
            0xc3 | 0xc5..=0xc7 | 0xcb | 0xcd..=0xcf => {
                return Err(
                    "it is coded without loss or in a hierarchy, and baseline and progressive images are read".into(),
                );
            }
            0xc9 | 0xca => return Err("it has arithmetic codes, and Huffman codes are read".into()),
            0xdc => return Err("its height is said only after its pixels".into()),
            _ => {}
        }
        Ok(())
    }

    /// What the channels mean, by libjpeg's rules.
    fn colors(&self, channels: &[Channel]) -> Result<Colors, String> {
        Ok(match (channels.len(), self.adobe) {
            (1, _) => Colors::Gray,
            (3, _) if self.has_jfif => Colors::YCbCr,
            (3, Some(0)) => Colors::Rgb,
            (3, Some(_)) => Colors::YCbCr,
            (3, None) if channels.iter().map(|channel| channel.name).eq(*b"RGB") => Colors::Rgb,
            (3, None) => Colors::YCbCr,
            (4, None) => Colors::Cmyk { inverted: false },
            (4, Some(0)) => Colors::Cmyk { inverted: true },
            (4, Some(_)) => Colors::Ycck,
            (count, _) => return Err(format!("it has {count} channels, and images of 1, 3 and 4 are read")),
        })
    }
}

/// The frame's header.
struct Frame {
    height: u16,
    width: u16,
    channels: Vec<Channel>,
    /// The quantization table of each channel.
    tables: Vec<u8>,
}

impl Frame {
    fn read(header: &[u8]) -> Result<Self, String> {
        let damaged = || "its frame is damaged".to_string();
        let [bits, h, height, w, width, count, ref channels @ ..] = *header else {
            return Err(damaged());
        };
        if bits != 8 {
            return Err(format!("it has {bits} bits a channel, and images of 8 are read"));
        }
        if channels.len() != 3 * usize::from(count) {
            return Err(damaged());
        }
        let channel = |channel: &[u8]| Channel {
            name: channel[0],
            across: usize::from(channel[1] >> 4),
            down: usize::from(channel[1] & 15),
        };
        let frame = Frame {
            height: u16::from_be_bytes([h, height]),
            width: u16::from_be_bytes([w, width]),
            channels: channels.chunks_exact(3).map(channel).collect(),
            tables: channels.chunks_exact(3).map(|channel| channel[2]).collect(),
        };
        let factors = frame.channels.iter().flat_map(|channel| [channel.across, channel.down]);
        if factors.into_iter().any(|factor| !(1..=4).contains(&factor)) {
            return Err(damaged());
        }
        frame.check_factors()?;
        Ok(frame)
    }

    /// Refuses channels that are coarser or finer than others in a way that the decoder gets wrong.
    fn check_factors(&self) -> Result<(), String> {
        let [first, others @ ..] = &self.channels[..] else {
            return Ok(());
        };
        let divides = |of: fn(&Channel) -> usize| {
            let mut all = self.channels.iter().map(of);
            all.all(|factor| factor != 3 && of(first).is_multiple_of(factor))
        };
        if others.is_empty() || (divides(|channel| channel.across) && divides(|channel| channel.down)) {
            return Ok(());
        }
        let factors = self.channels.iter().map(|c| format!("{}×{}", c.across, c.down));
        Err(format!(
            "its channels are sampled {}, and the first has to be as fine as 2 or 4 times the others, or as fine: save it again in \
             another program",
            factors.collect::<Vec<_>>().join(", ")
        ))
    }

    /// Refuses channels in scans of their own, but for those that the decoder gets right.
    fn check_scan(&self, kind: u8, channels: &[usize], restart_interval: usize) -> Result<(), String> {
        let all = self.channels.len();
        let alike = self
            .channels
            .iter()
            .all(|channel| (channel.across, channel.down) == (1, 1));
        if kind == PROGRESSIVE || channels.len() == all || (alike && restart_interval == 0) {
            return Ok(());
        }
        Err(format!(
            "{} of its {all} channels are in a scan of their own, and it isn't progressive: save it again in another program",
            channels.len()
        ))
    }

    /// The name of a channel by which the decoder knows the colors.
    fn name(colors: Colors, channel: usize) -> u8 {
        match colors {
            Colors::Rgb => b"RGB"[channel],
            _ => channel as u8 + 1,
        }
    }

    /// The header with the channels' new names.
    fn header(&self, colors: Colors) -> Vec<u8> {
        let mut header = vec![8];
        header.extend(self.height.to_be_bytes());
        header.extend(self.width.to_be_bytes());
        header.push(self.channels.len() as u8);
        for (i, (channel, &table)) in self.channels.iter().zip(&self.tables).enumerate() {
            // The blocks of a single channel lie row by row, whatever its factors are.
            let factors = match self.channels.len() {
                1 => 0x11,
                _ => (channel.across << 4 | channel.down) as u8,
            };
            header.extend([Self::name(colors, i), factors, table]);
        }
        header
    }

    /// Appends a scan's header with the channels' new names; returns which channels it has.
    fn push_scan(&self, out: &mut Vec<u8>, header: &[u8], colors: Colors) -> Result<Vec<usize>, String> {
        let damaged = || "the header of its pixels is damaged".to_string();
        let mut header = header.to_vec();
        let count = usize::from(*header.first().ok_or_else(damaged)?);
        if count == 0 || header.len() != 1 + 2 * count + 3 {
            return Err(damaged());
        }
        let mut channels = Vec::with_capacity(count);
        for selector in header[1..1 + 2 * count].chunks_exact_mut(2) {
            let channel = self.channels.iter().position(|channel| channel.name == selector[0]);
            let channel = channel
                .filter(|channel| !channels.contains(channel))
                .ok_or_else(damaged)?;
            selector[0] = Self::name(colors, channel);
            channels.push(channel);
        }
        push(out, SOS, &header);
        Ok(channels)
    }

    /// The number of restart markers in a scan of these channels (T.81, A.2).
    fn restarts(&self, channels: &[usize], interval: usize) -> usize {
        if interval == 0 {
            return 0;
        }
        let factors = |of: fn(&Channel) -> usize| self.channels.iter().map(of).max().unwrap_or(1);
        let (across, down) = (factors(|channel| channel.across), factors(|channel| channel.down));
        let (width, height) = (usize::from(self.width), usize::from(self.height));
        let units = match *channels {
            [channel] => {
                let channel = &self.channels[channel];
                let width = (width * channel.across).div_ceil(across);
                width.div_ceil(8) * (height * channel.down).div_ceil(down).div_ceil(8)
            }
            _ => width.div_ceil(8 * across) * height.div_ceil(8 * down),
        };
        units.div_ceil(interval).saturating_sub(1)
    }
}

/// Appends a segment.
fn push(out: &mut Vec<u8>, marker: u8, content: &[u8]) {
    out.extend([0xff, marker]);
    // It came out of a segment, or is short.
    out.extend((content.len() as u16 + 2).to_be_bytes());
    out.extend(content);
}

/// Goes through a file.
struct Reader<'a> {
    file: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// The next marker and what its segment says; bytes before it belong to nothing. None at the end of the file.
    fn segment(&mut self) -> Result<Option<(u8, &'a [u8])>, String> {
        loop {
            let rest = &self.file[self.at..];
            let Some(start) = rest
                .windows(2)
                .position(|pair| pair[0] == 0xff && !matches!(pair[1], 0 | 0xff))
            else {
                return Ok(None);
            };
            let marker = rest[start + 1];
            let content = &rest[start + 2..];
            self.at += start + 2;
            match marker {
                // These have no content: restarts, and a mark for private use.
                0xd0..=0xd7 | 0x01 => {}
                0xd8 => return Err("another image begins within it".into()),
                EOI => return Ok(Some((EOI, &[]))),
                _ => {
                    let Some(length) = content.get(..2) else {
                        return Ok(None);
                    };
                    let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
                    if length < 2 {
                        return Err("the length of a segment is damaged".into());
                    }
                    let Some(content) = content.get(2..length) else {
                        return Ok(None);
                    };
                    self.at += length;
                    return Ok(Some((marker, content)));
                }
            }
        }
    }

    /// Copies coded pixels up to the next marker that isn't a restart, of which there should be so many.
    fn copy_coded(&mut self, out: &mut Vec<u8>, restarts: usize) -> Result<(), String> {
        let mut seen = 0;
        loop {
            let rest = &self.file[self.at..];
            let plain = rest.iter().position(|&byte| byte == 0xff).unwrap_or(rest.len());
            out.extend(&rest[..plain]);
            self.at += plain;
            match rest.get(plain + 1) {
                Some(0) => out.extend([0xff, 0]),
                Some(&marker @ 0xd0..=0xd7) => {
                    if usize::from(marker - 0xd0) != seen % 8 {
                        return Err("a part of its pixels is missing".into());
                    }
                    seen += 1;
                    out.extend(NO_CODE);
                    out.extend([0xff, marker]);
                }
                // A byte that fills: the next one may begin a marker.
                Some(0xff) => {
                    self.at += 1;
                    continue;
                }
                _ => break,
            }
            self.at += 2;
        }
        // Some programs write a last one, after which nothing comes.
        if seen != restarts && seen != restarts + 1 {
            return Err(format!("it has {seen} restart markers, and its size needs {restarts}"));
        }
        Ok(())
    }
}

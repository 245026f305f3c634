//! Images: decoding PNG and JPEG files.

mod exif;
mod jpeg;
mod planes;
mod png;

use std::fmt::Display;
use std::path::Path;

use super::Pixels;
use crate::error::plural;
use crate::{Error, Result};

/// The most pixels that an image may have: 8192×8192.
const MOST_PIXELS: u64 = 1 << 26;
/// The largest file that is read.
const MOST_BYTES: u64 = 1 << 28;

/// An image of at least one pixel: gray (one channel) or red, green and blue (three).
///
/// ```
/// use gradus::data::{Image, Pixels};
/// let image = Image::new(1, 1, 2, Pixels::Bytes(vec![0, 255]))?;
/// assert_eq!(image.into_rgb().pixels().as_bytes(), Some(&[0, 255, 0, 255, 0, 255][..]));
///
/// let error = Image::new(3, 1, 2, Pixels::Bytes(vec![0, 255])).unwrap_err().to_string();
/// assert_eq!(error, "an image of 3 channels, 1 high and 2 wide, can't have 2 values: it has channels × height × width");
/// # Ok::<(), gradus::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    channels: usize,
    height: usize,
    width: usize,
    pixels: Pixels,
}

impl Image {
    /// An image of 1 or 3 `channels` and `height` × `width` pixels, whose values are all of the first channel, row by row, then
    /// the next.
    ///
    /// # Errors
    /// If it has another number of channels, no pixels, or not channels × height × width values.
    pub fn new(channels: usize, height: usize, width: usize, pixels: Pixels) -> Result<Image> {
        if channels != 1 && channels != 3 {
            return Err(Error::data(format!(
                "an image has 1 channel (gray) or 3 (red, green and blue), not {channels}"
            )));
        }
        if height == 0 || width == 0 {
            return Err(Error::data(no_pixels(height, width)));
        }
        let values = height.checked_mul(width).and_then(|size| size.checked_mul(channels));
        if values != Some(pixels.len()) {
            return Err(Error::data(format!(
                "an image of {}, {height} high and {width} wide, can't have {}: it has channels × height × width",
                plural(channels, "channel"),
                plural(pixels.len(), "value")
            )));
        }
        Ok(Image {
            channels,
            height,
            width,
            pixels,
        })
    }

    /// The number of channels: 1 or 3.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The number of rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The number of columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The values, channels × height × width: all of the first channel, row by row, then the next.
    pub fn pixels(&self) -> &Pixels {
        &self.pixels
    }

    /// The same, without the image.
    pub fn into_pixels(self) -> Pixels {
        self.pixels
    }

    /// Decodes a PNG or JPEG image, whichever it is.
    ///
    /// Every kind of PNG (palette, 1 to 16 bits a channel, interlaced) becomes gray or RGB, of 16 bits if it had them and else of
    /// 8; what is transparent is laid over white, as paper is. JPEG gives gray or RGB (CMYK is converted). An image whose EXIF
    /// metadata say that the camera was turned is turned upright. Nothing is done about color profiles.
    ///
    /// # Errors
    /// If it is neither, or damaged, or has more than 67,108,864 pixels (8192×8192). Memory is taken for what the file can
    /// hold, not for what its header claims.
    pub fn decode(file: &[u8]) -> Result<Image> {
        decode(file).map_err(Error::data)
    }

    /// Reads a PNG or JPEG file, as [`decode`](Image::decode) does.
    ///
    /// # Errors
    /// If the file can't be read or decoded, or has more than 256 MiB; the sentence names it.
    pub fn read(path: impl AsRef<Path>) -> Result<Image> {
        let path = path.as_ref();
        let file = Self::read_file(path)?;
        decode(&file).map_err(|message| Error::file(path, message))
    }

    /// The content of an image's file, of whatever format.
    ///
    /// # Errors
    /// If the file can't be read, or has more than 256 MiB; the sentence names it.
    pub fn read_file(path: impl AsRef<Path>) -> Result<Vec<u8>> {
        crate::save::read_at_most(path, MOST_BYTES)
    }

    /// The image in gray: 0.299 red + 0.587 green + 0.114 blue, the luma of ITU-R BT.601.
    pub fn into_gray(self) -> Image {
        if self.channels == 1 {
            return self;
        }
        Image {
            channels: 1,
            pixels: self.pixels.luma(),
            ..self
        }
    }

    /// The image in red, green and blue.
    pub fn into_rgb(self) -> Image {
        if self.channels == 3 {
            return self;
        }
        Image {
            channels: 3,
            pixels: self.pixels.repeated(self.height * self.width),
            ..self
        }
    }

    /// The image turned upright, as its EXIF metadata (from their byte order on: `II` or `MM`) say. Metadata that don't say or
    /// are damaged leave it as it is.
    ///
    /// [`decode`](Image::decode) has done so; this is for images from elsewhere.
    pub fn upright(self, exif: &[u8]) -> Image {
        let (h, w) = (self.height, self.width);
        let orientation = exif::orientation(exif);
        // Where a pixel comes from: EXIF 2.32, 4.6.4, tag 274.
        let source = |y: usize, x: usize| match orientation {
            2 => (y, w - 1 - x),
            3 => (h - 1 - y, w - 1 - x),
            4 => (h - 1 - y, x),
            5 => (x, y),
            6 => (h - 1 - x, y),
            7 => (h - 1 - x, w - 1 - y),
            8 => (x, w - 1 - y),
            _ => (y, x),
        };
        if orientation == 1 {
            return self;
        }
        let (height, width) = if orientation >= 5 { (w, h) } else { (h, w) };
        let positions = (0..self.channels * height * width).map(|i| {
            let (plane, pixel) = (i / (height * width), i % (height * width));
            let (y, x) = source(pixel / width, pixel % width);
            (plane * h + y) * w + x
        });
        Image {
            height,
            width,
            pixels: self.pixels.permuted(positions),
            ..self
        }
    }
}

/// The channels one after the other, of pixels that have them side by side.
fn planes<T: Copy>(interleaved: &[T], channels: usize) -> Vec<T> {
    (0..channels)
        .flat_map(|c| interleaved.iter().skip(c).step_by(channels).copied())
        .collect()
}

fn decode(file: &[u8]) -> Result<Image, String> {
    let (image, exif) = match file {
        [0x89, b'P', b'N', b'G', ..] => png::decode(file)?,
        [0xff, 0xd8, ..] => jpeg::decode(file)?,
        [] => return Err("the file is empty".into()),
        _ => {
            let other = other_format(file).map_or_else(String::new, |name| format!(": it is {name}"));
            return Err(format!("neither a PNG nor a JPEG image{other}"));
        }
    };
    Ok(match exif {
        Some(exif) => image.upright(&exif),
        None => image,
    })
}

/// The format of a file that is often found among images, by its first bytes.
fn other_format(file: &[u8]) -> Option<&'static str> {
    Some(match file {
        [b'G', b'I', b'F', b'8', ..] => "a GIF image",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "a WebP image",
        [b'B', b'M', _, _, _, _, 0, 0, 0, 0, ..] => "a BMP image",
        [b'I', b'I', 42, 0, ..] | [b'M', b'M', 0, 42, ..] => "a TIFF image",
        [_, _, _, _, b'f', b't', b'y', b'p', b'a', b'v', b'i', b'f', ..] => "an AVIF image",
        [_, _, _, _, b'f', b't', b'y', b'p', b'h', b'e', ..] => "a HEIC image",
        [b'%', b'P', b'D', b'F', ..] => "a PDF document",
        [b'<', ..] => "a text such as a web page",
        _ => return None,
    })
}

/// Says that an image of this size has no pixels.
fn no_pixels(height: impl Display, width: impl Display) -> String {
    format!("the image has no pixels: it is {width} wide and {height} high")
}

/// Refuses a size that is zero, too large, or can't come out of the file.
fn check_size(width: u64, height: u64, can_be: bool) -> Result<(), String> {
    if width == 0 || height == 0 {
        return Err(no_pixels(height, width));
    }
    if width.saturating_mul(height) > MOST_PIXELS {
        return Err(format!(
            "the image is {width} wide and {height} high, and it may have {MOST_PIXELS} pixels at most"
        ));
    }
    if !can_be {
        return Err(format!(
            "the image is cut off: it should be {width} wide and {height} high, and the file is too short"
        ));
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use ::png::{BitDepth, ColorType, Encoder, chunk::ChunkType};

    use super::exif::tests::metadata;
    use super::*;
    use crate::data::idx::tests::maltreat;

    /// Encodes a PNG image.
    pub(in crate::data) fn encode(
        width: usize,
        colors: ColorType,
        depth: BitDepth,
        rows: &[u8],
        palette: Option<(&[u8], &[u8])>,
    ) -> Vec<u8> {
        let bits = width * colors.samples() * depth as usize;
        let mut file = Vec::new();
        let mut encoder = Encoder::new(&mut file, width as u32, (rows.len() / bits.div_ceil(8)) as u32);
        encoder.set_color(colors);
        encoder.set_depth(depth);
        if let Some((palette, transparency)) = palette {
            encoder.set_palette(palette.to_vec());
            encoder.set_trns(transparency.to_vec());
        }
        let mut writer = encoder.write_header().unwrap();
        writer.write_image_data(rows).unwrap();
        writer.finish().unwrap();
        file
    }

    fn check(file: &[u8], channels: usize, height: usize, width: usize, pixels: &[u8]) {
        let image = Image::decode(file).unwrap();
        assert_eq!((image.channels, image.height, image.width), (channels, height, width));
        assert_eq!(image.pixels, Pixels::Bytes(pixels.to_vec()));
    }

    #[test]
    fn every_png_becomes_gray_or_rgb() {
        let gray = |depth, rows: &[u8], width| encode(width, ColorType::Grayscale, depth, rows, None);
        check(
            &gray(BitDepth::One, &[0b1010_0000, 0b0100_0000], 3),
            1,
            2,
            3,
            &[255, 0, 255, 0, 255, 0],
        );
        check(&gray(BitDepth::Two, &[0b0001_1011], 4), 1, 1, 4, &[0, 85, 170, 255]);
        check(&gray(BitDepth::Four, &[0x0f, 0x80], 3), 1, 1, 3, &[0, 255, 136]);
        check(&gray(BitDepth::Eight, &[1, 2, 3, 4], 2), 1, 2, 2, &[1, 2, 3, 4]);
        let alpha = encode(
            3,
            ColorType::GrayscaleAlpha,
            BitDepth::Eight,
            &[10, 255, 10, 0, 100, 51],
            None,
        );
        check(&alpha, 1, 1, 3, &[10, 255, 224]);
        let rgb = encode(2, ColorType::Rgb, BitDepth::Eight, &[1, 2, 3, 4, 5, 6], None);
        check(&rgb, 3, 1, 2, &[1, 4, 2, 5, 3, 6]);
        let palette = Some((&[255, 0, 0, 0, 0, 255][..], &[255, 0][..]));
        let indexed = encode(2, ColorType::Indexed, BitDepth::One, &[0b0100_0000], palette);
        check(&indexed, 3, 1, 2, &[255, 255, 0, 255, 0, 255]);
    }

    #[test]
    fn images_have_the_values_that_their_size_says() {
        let refused = |channels, height, width, values: usize| {
            let bytes = Image::new(channels, height, width, Pixels::Bytes(vec![7; values]));
            let words = Image::new(channels, height, width, Pixels::Words(vec![7; values]));
            let sentences = [bytes, words].map(|image| image.map_err(|error| error.to_string()));
            assert_eq!(sentences[0].is_ok(), sentences[1].is_ok());
            sentences.into_iter().find_map(Result::err)
        };
        assert_eq!(refused(1, 2, 3, 6), None);
        assert_eq!(refused(3, 1, 1, 3), None);
        for channels in [0, 2, 4] {
            let expected = format!("an image has 1 channel (gray) or 3 (red, green and blue), not {channels}");
            assert_eq!(refused(channels, 1, 1, channels), Some(expected));
        }
        for (height, width) in [(0, 2), (2, 0), (0, 0)] {
            let expected = format!("the image has no pixels: it is {width} wide and {height} high");
            assert_eq!(refused(1, height, width, 0), Some(expected));
        }
        for (height, width, values) in [(2, 3, 5), (2, 3, 7), (2, 3, 0), (usize::MAX, 2, 2)] {
            let sentence = refused(1, height, width, values).unwrap();
            assert!(sentence.starts_with("an image of 1 channel, "), "{sentence}");
        }
    }

    #[test]
    fn sixteen_bits_keep_their_levels() {
        let words = |file: &[u8]| match Image::decode(file).unwrap().pixels {
            Pixels::Words(words) => words,
            Pixels::Bytes(bytes) => panic!("8 bits: {bytes:?}"),
        };
        let gray = encode(2, ColorType::Grayscale, BitDepth::Sixteen, &[7, 99, 200, 1], None);
        assert_eq!(words(&gray), [7 * 256 + 99, 200 * 256 + 1]);
        let rgb = encode(1, ColorType::Rgb, BitDepth::Sixteen, &[1, 2, 3, 4, 5, 6], None);
        assert_eq!(words(&rgb), [0x0102, 0x0304, 0x0506]);
        // Opaque, and half of it on white paper.
        let rgba = encode(
            1,
            ColorType::Rgba,
            BitDepth::Sixteen,
            &[9, 0, 8, 1, 7, 2, 255, 255],
            None,
        );
        assert_eq!(words(&rgba), [0x0900, 0x0801, 0x0702]);
        let half = encode(
            1,
            ColorType::GrayscaleAlpha,
            BitDepth::Sixteen,
            &[0, 0, 0x7f, 0xff],
            None,
        );
        assert_eq!(words(&half), [32_768]);

        // 64 values of 12 bits, of which the high bytes have 16.
        let mut levels = words(include_bytes!("../../tests/images/twelve_bits_in_sixteen.png"));
        levels.sort_unstable();
        levels.dedup();
        assert_eq!(levels.len(), 64);
        assert_eq!(
            levels
                .iter()
                .map(|v| v >> 8)
                .collect::<std::collections::BTreeSet<_>>()
                .len(),
            16
        );
        let image = Image::decode(&rgb).unwrap().into_gray();
        assert_eq!(image.pixels, Pixels::Words(vec![677]));
    }

    /// The decoder that is used panics at these.
    #[test]
    fn palettes_of_no_whole_colors_are_refused() {
        let file = include_bytes!("../../tests/images/palette_of_4_bytes.png");
        let error = Image::decode(file).unwrap_err().to_string();
        assert!(
            error.contains("its palette has 4 bytes, and should have 3 for each of 1 to 256 colors"),
            "{error}"
        );
        for (length, refused) in [
            (0, true),
            (2, true),
            (3, false),
            (767, true),
            (768, false),
            (769, true),
            (771, true),
        ] {
            let mut file = file[..33].to_vec();
            let chunk = |file: &mut Vec<u8>, name: &[u8; 4], content: &[u8]| {
                let start = file.len() + 4;
                file.extend((content.len() as u32).to_be_bytes());
                file.extend(name);
                file.extend(content);
                let mut crc = flate2::Crc::new();
                crc.update(&file[start..]);
                file.extend(crc.sum().to_be_bytes());
            };
            chunk(&mut file, b"PLTE", &vec![7; length]);
            let mut deflated = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
            std::io::Write::write_all(&mut deflated, &[0; 28 * 29]).unwrap();
            chunk(&mut file, b"IDAT", &deflated.finish().unwrap());
            chunk(&mut file, b"IEND", &[]);
            assert_eq!(Image::decode(&file).is_err(), refused, "{length}");
        }
    }

    #[test]
    fn a_turned_camera_is_turned_back() {
        let expected: [&[u8]; 8] = [
            &[0, 1, 2, 3, 4, 5],
            &[2, 1, 0, 5, 4, 3],
            &[5, 4, 3, 2, 1, 0],
            &[3, 4, 5, 0, 1, 2],
            &[0, 3, 1, 4, 2, 5],
            &[3, 0, 4, 1, 5, 2],
            &[5, 2, 4, 1, 3, 0],
            &[2, 5, 1, 4, 0, 3],
        ];
        for (orientation, expected) in (1..).zip(expected) {
            for colors in [ColorType::Grayscale, ColorType::Rgb] {
                let mut file = Vec::new();
                let mut encoder = Encoder::new(&mut file, 3, 2);
                encoder.set_color(colors);
                let mut writer = encoder.write_header().unwrap();
                writer.write_chunk(ChunkType(*b"eXIf"), &metadata(orientation)).unwrap();
                let pixels = (0..6).flat_map(|v| vec![v; colors.samples()]).collect::<Vec<u8>>();
                writer.write_image_data(&pixels).unwrap();
                writer.finish().unwrap();
                let (height, width) = if orientation < 5 { (2, 3) } else { (3, 2) };
                check(
                    &file,
                    colors.samples(),
                    height,
                    width,
                    &expected.repeat(colors.samples()),
                );
            }
            // The same metadata in a JPEG file, of 12 rows and 20 columns that get lighter to the right.
            let mut content = b"Exif\0\0".to_vec();
            content.extend(metadata(orientation));
            let mut file = vec![0xff, 0xd8, 0xff, 0xe1, 0, content.len() as u8 + 2];
            file.extend(content);
            file.extend(&GRAY[2..]);
            let turned = Image::decode(&file).unwrap();
            let size = if orientation < 5 { (12, 20) } else { (20, 12) };
            assert_eq!((turned.height, turned.width), size, "{orientation}");
            let corner = turned.pixels.as_bytes().unwrap()[0];
            assert_eq!(
                corner < 100,
                matches!(orientation, 1 | 4 | 5 | 6),
                "{orientation}: {corner}"
            );
        }
    }

    const GRAY: &[u8] = include_bytes!("../../tests/images/gray.jpg");
    const COLOR: &[u8] = include_bytes!("../../tests/images/color.jpg");
    const PROGRESSIVE: &[u8] = include_bytes!("../../tests/images/progressive.jpg");
    const CMYK: &[u8] = include_bytes!("../../tests/images/cmyk.jpg");

    const RGB: &[u8] = include_bytes!("../../tests/images/rgb.jpg");
    const LATE_MARKER: &[u8] = include_bytes!("../../tests/images/gray_adobe_after_frame.jpg");

    /// The mean of each channel.
    fn means(file: &[u8]) -> Vec<f64> {
        let image = Image::decode(file).unwrap();
        let plane = image.height * image.width;
        let planes = image.pixels.as_bytes().unwrap().chunks(plane);
        planes
            .map(|p| p.iter().map(|&v| f64::from(v)).sum::<f64>() / plane as f64)
            .collect()
    }

    /// The place of a marker in a file's header.
    fn place_of(file: &[u8], marker: u8) -> usize {
        let mut at = 2;
        while file[at + 1] != marker {
            at += 2 + usize::from(u16::from_be_bytes([file[at + 2], file[at + 3]]));
        }
        at
    }

    /// A file with these bytes put in before a marker.
    fn with_before(file: &[u8], marker: u8, bytes: &[u8]) -> Vec<u8> {
        let at = place_of(file, marker);
        [&file[..at], bytes, &file[at..]].concat()
    }

    fn adobe(transform: u8) -> [u8; 16] {
        let mut segment = *b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x00";
        segment[15] = transform;
        segment
    }

    #[test]
    fn what_says_nothing_about_the_pixels_changes_nothing() {
        assert!((means(LATE_MARKER)[0] - 127.0).abs() < 0.1, "{:?}", means(LATE_MARKER));
        for file in [GRAY, COLOR, PROGRESSIVE, CMYK, RGB] {
            let expected = Image::decode(file).unwrap();
            for marker in [0xdb, 0xc4, 0xda] {
                for junk in [
                    &b"junk between segments"[..],
                    &[0; 50],
                    &[0xff; 7],
                    &[0xff, 0, 0xff, 0xff],
                    b"\xff\xfe\0\x06note",
                ] {
                    assert_eq!(
                        Image::decode(&with_before(file, marker, junk)).unwrap(),
                        expected,
                        "{marker:x} {junk:?}"
                    );
                }
            }
            let behind = [file, &[0; 10], b"\xff\xd8\xff\xe1 another file"].concat();
            assert_eq!(Image::decode(&behind).unwrap(), expected);
            // The mark of the end may be missing where all pixels are there, and there is no telling in a progressive image.
            let without_end = Image::decode(&file[..file.len() - 2]);
            assert_eq!(without_end.is_ok(), file != PROGRESSIVE, "{without_end:?}");
        }
        // Gray is gray, whatever Adobe's marker says.
        for (transform, marker) in [(0, 0xdb), (1, 0xc4), (2, 0xda), (9, 0xc0)] {
            let image = Image::decode(&with_before(GRAY, marker, &adobe(transform))).unwrap();
            assert_eq!(image, Image::decode(GRAY).unwrap());
        }
    }

    #[test]
    fn markers_and_names_say_what_channels_mean() {
        // Three channels: JFIF's marker comes before Adobe's, and that before the channels' names.
        assert!(COLOR[6..].starts_with(b"JFIF"));
        let expected = Image::decode(COLOR).unwrap();
        assert_eq!(Image::decode(&with_before(COLOR, 0xda, &adobe(0))).unwrap(), expected);
        let jfif = 2 + 2 + usize::from(COLOR[5]);
        let bare = [&COLOR[..2], &COLOR[jfif..]].concat();
        assert_eq!(Image::decode(&bare).unwrap(), expected);
        assert_eq!(Image::decode(&with_before(&bare, 0xda, &adobe(1))).unwrap(), expected);
        // The same bytes as RGB: red is the brightness, 0.299 · 114 + 0.587 · 110 + 0.114 · 128.
        let rgb = means(&with_before(&bare, 0xda, &adobe(0)));
        assert!((rgb[0] - 113.2).abs() < 2.0, "{rgb:?}");
        assert_eq!(
            means(RGB).iter().map(|m| m.round()).collect::<Vec<_>>(),
            [127.0, 127.0, 128.0]
        );

        // Four channels: 255 is no ink with Adobe's marker, and full ink without.
        let at = place_of(CMYK, 0xee);
        let length = 2 + usize::from(CMYK[at + 3]);
        assert_eq!(CMYK[at + 15], 0, "plain CMYK");
        let plain = [&CMYK[..at], &CMYK[at + length..]].concat();
        let (with, without) = (means(CMYK), means(&plain));
        assert!(
            with.iter().zip(&without).any(|(a, b)| (a - b).abs() > 50.0),
            "{with:?} {without:?}"
        );
    }

    #[test]
    fn no_missing_part_becomes_a_gray_patch() {
        for file in [GRAY, COLOR, CMYK, RGB, PROGRESSIVE] {
            let pixels = place_of(file, 0xda) + 2 + usize::from(file[place_of(file, 0xda) + 3]);
            // Without the last bytes, with and without a mark of the end behind the rest.
            for left in pixels..file.len() - 4 {
                assert!(Image::decode(&file[..left]).is_err(), "{left} of {}", file.len());
                let ended = [&file[..left], &[0xff, 0xd9]].concat();
                if file != PROGRESSIVE {
                    assert!(Image::decode(&ended).is_err(), "{left} of {}, ended", file.len());
                }
            }
        }
    }

    #[test]
    fn jpeg_is_near_what_was_encoded() {
        let near = |a: u8, b: usize, tolerance: i32| (i32::from(a) - b as i32).abs() <= tolerance;
        let gray = Image::decode(GRAY).unwrap();
        assert_eq!((gray.channels, gray.height, gray.width), (1, 12, 20));
        let pixels = gray.pixels.as_bytes().unwrap();
        assert!((0..240).all(|i| near(pixels[i], 12 * (i % 20), 4)));
        for file in [COLOR, PROGRESSIVE, CMYK] {
            let image = Image::decode(file).unwrap();
            assert_eq!((image.channels, image.height, image.width), (3, 12, 20));
            let pixels = image.pixels.as_bytes().unwrap();
            for (i, (&red, &green)) in pixels[..240].iter().zip(&pixels[240..480]).enumerate() {
                assert!(
                    near(red, 12 * (i % 20), 24) && near(green, 20 * (i / 20), 24),
                    "{i}: {red} {green}"
                );
            }
            // Colors average out: blue is the same everywhere.
            let blue = pixels[480..].iter().map(|&b| f64::from(b)).sum::<f64>() / 240.0;
            assert!((blue - 128.0).abs() < 4.0, "{blue}");
        }
    }

    #[test]
    fn converts_between_gray_and_rgb() {
        let rgb = Image {
            channels: 3,
            height: 1,
            width: 2,
            pixels: Pixels::Bytes(planes(&[255, 0, 0, 10, 20, 30], 3)),
        };
        let gray = rgb.clone().into_gray();
        assert_eq!((gray.channels, gray.pixels.clone()), (1, Pixels::Bytes(vec![76, 18])));
        assert_eq!(
            gray.clone().into_rgb().pixels,
            Pixels::Bytes(vec![76, 18, 76, 18, 76, 18])
        );
        assert_eq!((rgb.clone().into_rgb(), gray.clone().into_gray()), (rgb, gray));
    }

    #[test]
    fn what_is_no_image_is_refused() {
        let sentence = |file: &[u8]| Image::decode(file).unwrap_err().to_string();
        assert_eq!(sentence(b""), "the file is empty");
        assert!(sentence(b"GIF89a").contains("neither a PNG nor a JPEG image: it is a GIF image"));
        assert!(sentence(&COLOR[..COLOR.len() / 2]).contains("can't be decoded"));
        assert!(
            Image::read("no/such.png")
                .unwrap_err()
                .to_string()
                .contains("no/such.png: ")
        );
        // A header's claim: 20,000 × 20,000 and 3,000 × 3,000.
        let mut png = encode(1, ColorType::Grayscale, BitDepth::Eight, &[0], None);
        let set_size = |png: &mut Vec<u8>, size: u32| {
            png[16..20].copy_from_slice(&size.to_be_bytes());
            png[20..24].copy_from_slice(&size.to_be_bytes());
            let mut crc = flate2::Crc::new();
            crc.update(&png[12..29]);
            png[29..33].copy_from_slice(&crc.sum().to_be_bytes());
        };
        set_size(&mut png, 20_000);
        assert!(sentence(&png).contains("67108864 pixels at most"), "{}", sentence(&png));
        set_size(&mut png, 3_000);
        assert!(sentence(&png).contains("too short"), "{}", sentence(&png));
        let frame = COLOR.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
        let mut jpeg = COLOR.to_vec();
        jpeg[frame + 5..frame + 9].copy_from_slice(&[0x4e, 0x20, 0x4e, 0x20]);
        assert!(
            sentence(&jpeg).contains("67108864 pixels at most"),
            "{}",
            sentence(&jpeg)
        );
        jpeg[frame + 5..frame + 9].copy_from_slice(&[0x0b, 0xb8, 0x0b, 0xb8]);
        assert!(sentence(&jpeg).contains("too short"), "{}", sentence(&jpeg));
    }

    #[test]
    fn no_damage_panics() {
        let rgba = (0..200).collect::<Vec<u8>>();
        let png = encode(10, ColorType::Rgba, BitDepth::Eight, &rgba, None);
        let palette = Some((&[255, 0, 0, 0, 0, 255][..], &[255, 0][..]));
        let indexed = encode(9, ColorType::Indexed, BitDepth::One, &[0x5a, 0x80, 0x00, 0x80], palette);
        let words = encode(5, ColorType::Grayscale, BitDepth::Sixteen, &rgba[..40], None);
        for file in [&png[..], &indexed, &words, GRAY, COLOR, PROGRESSIVE, CMYK, RGB] {
            maltreat(file, |bytes| {
                if let Ok(image) = Image::decode(bytes) {
                    assert_eq!(image.pixels.len(), image.channels * image.height * image.width);
                    assert!(image.pixels.len() <= 3 * file.len() * 1032 * 8);
                }
            });
        }
        for end in 0..png.len() - 12 {
            assert!(Image::decode(&png[..end]).is_err(), "{end} of {} bytes", png.len());
        }
    }
}

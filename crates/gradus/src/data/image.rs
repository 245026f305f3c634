//! Images: decoding PNG and JPEG files.

use std::io::Cursor;
use std::path::Path;

use png::{ColorType, Transformations};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::idx::MOST_BYTES_FROM_ONE;
use crate::{Error, Result};

/// The most pixels that an image may have: 8192×8192.
const MOST_PIXELS: u64 = 1 << 26;
/// An 8×8 block of a JPEG image takes at least one bit.
const MOST_PIXELS_FROM_ONE: u64 = 8 * 64;

/// An image of bytes: grey (one channel) or red, green and blue (three).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// 1 or 3.
    pub channels: usize,
    /// The number of rows.
    pub height: usize,
    /// The number of columns.
    pub width: usize,
    /// Channels × height × width: all of the first channel, row by row, then the next.
    pub pixels: Vec<u8>,
}

impl Image {
    /// Decodes a PNG or JPEG image, whichever it is.
    ///
    /// Every kind of PNG (palette, 1 to 16 bits a channel, interlaced) becomes grey or RGB of 8 bits; what is transparent is
    /// laid over white, as paper is. JPEG gives grey or RGB (CMYK is converted). Nothing is done about colour profiles,
    /// nor about an orientation noted in the metadata.
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
    /// If the file can't be read or decoded; the sentence names it.
    pub fn read(path: impl AsRef<Path>) -> Result<Image> {
        let path = path.as_ref();
        let file = std::fs::read(path).map_err(|e| Error::file(path, e))?;
        decode(&file).map_err(|message| Error::file(path, message))
    }

    /// The image in grey: 0.299 red + 0.587 green + 0.114 blue, the luma of ITU-R BT.601.
    pub fn into_grey(self) -> Image {
        if self.channels == 1 {
            return self;
        }
        let plane = self.height * self.width;
        let (red, rest) = self.pixels.split_at(plane);
        let (green, blue) = rest.split_at(plane);
        let luma = |((&r, &g), &b): ((&u8, &u8), &u8)| {
            ((299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b) + 500) / 1000) as u8
        };
        Image {
            channels: 1,
            pixels: red.iter().zip(green).zip(blue).map(luma).collect(),
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
            pixels: self.pixels.repeat(3),
            ..self
        }
    }

    /// From pixels that have their channels side by side.
    fn from_interleaved(channels: usize, height: usize, width: usize, interleaved: &[u8]) -> Image {
        let pixels = (0..channels)
            .flat_map(|c| interleaved.iter().skip(c).step_by(channels).copied())
            .collect();
        Image {
            channels,
            height,
            width,
            pixels,
        }
    }
}

fn decode(file: &[u8]) -> Result<Image, String> {
    match file {
        [0x89, b'P', b'N', b'G', ..] => decode_png(file),
        [0xff, 0xd8, ..] => decode_jpeg(file),
        [] => Err("the file is empty".into()),
        _ => Err("neither a PNG nor a JPEG image".into()),
    }
}

/// Refuses a size that is zero, too large, or can't come out of the file.
fn check_size(width: u64, height: u64, can_be: bool) -> Result<(), String> {
    if width == 0 || height == 0 {
        return Err(format!("the image has no pixels: it is {width} wide and {height} high"));
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

fn decode_png(file: &[u8]) -> Result<Image, String> {
    let damaged = |e: png::DecodingError| format!("the PNG image can't be decoded: {e}");
    let mut decoder = png::Decoder::new(Cursor::new(file));
    decoder.set_transformations(Transformations::normalize_to_color8());
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let header = decoder.read_header_info().map_err(damaged)?;
    let (width, height) = (u64::from(header.width), u64::from(header.height));
    let bits = header.color_type.samples() as u64 * header.bit_depth as u64;
    let raw_size = height.saturating_mul(1 + (width * bits).div_ceil(8));
    check_size(width, height, raw_size <= file.len() as u64 * MOST_BYTES_FROM_ONE)?;

    let mut reader = decoder.read_info().map_err(damaged)?;
    let size = reader.output_buffer_size().ok_or("the image is too large")?;
    let mut pixels = vec![0; size];
    let frame = reader.next_frame(&mut pixels).map_err(damaged)?;
    // The checksums at the very end too.
    reader.finish().map_err(damaged)?;
    let (width, height) = (frame.width as usize, frame.height as usize);
    pixels.truncate(frame.buffer_size());
    let channels = match frame.color_type {
        ColorType::Grayscale => 1,
        ColorType::GrayscaleAlpha => {
            pixels = over_white::<1, 2>(&pixels);
            1
        }
        ColorType::Rgb => 3,
        ColorType::Rgba => {
            pixels = over_white::<3, 4>(&pixels);
            3
        }
        ColorType::Indexed => return Err("the PNG image can't be decoded: its palette was not applied".into()),
    };
    Ok(Image::from_interleaved(channels, height, width, &pixels))
}

/// Lays pixels of `C` channels, each followed by its opacity, over white.
fn over_white<const C: usize, const WITH_ALPHA: usize>(pixels: &[u8]) -> Vec<u8> {
    let mut opaque = Vec::with_capacity(pixels.len() / WITH_ALPHA * C);
    for pixel in pixels.chunks_exact(WITH_ALPHA) {
        let alpha = u32::from(pixel[C]);
        for &value in &pixel[..C] {
            opaque.push(((u32::from(value) * alpha + 255 * (255 - alpha) + 127) / 255) as u8);
        }
    }
    opaque
}

fn decode_jpeg(file: &[u8]) -> Result<Image, String> {
    let damaged = |e| format!("the JPEG image can't be decoded: {e}");
    // Strict: what is damaged must not become a grey patch in the data.
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(1 << 16)
        .set_max_height(1 << 16);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(file), options);
    decoder.decode_headers().map_err(damaged)?;
    let (Some(info), Some(colours)) = (decoder.info(), decoder.input_colorspace()) else {
        return Err("the JPEG image has no header".into());
    };
    let (width, height) = (u64::from(info.width), u64::from(info.height));
    check_size(
        width,
        height,
        width * height <= (file.len() as u64).saturating_mul(MOST_PIXELS_FROM_ONE),
    )?;
    let (channels, colours) = if colours == ColorSpace::Luma {
        (1, ColorSpace::Luma)
    } else {
        (3, ColorSpace::RGB)
    };
    decoder.set_options(options.jpeg_set_out_colorspace(colours));
    let pixels = decoder.decode().map_err(damaged)?;
    let (width, height) = (width as usize, height as usize);
    if pixels.len() != channels * height * width {
        return Err("the JPEG image can't be decoded: it has another number of channels than its header says".into());
    }
    Ok(Image::from_interleaved(channels, height, width, &pixels))
}

#[cfg(test)]
pub(super) mod tests {
    use png::BitDepth;

    use super::*;
    use crate::data::idx::tests::maltreat;

    /// Encodes a PNG image.
    pub(in crate::data) fn encode(
        width: usize,
        colours: ColorType,
        depth: BitDepth,
        rows: &[u8],
        palette: Option<(&[u8], &[u8])>,
    ) -> Vec<u8> {
        let bits = width * colours.samples() * depth as usize;
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, width as u32, (rows.len() / bits.div_ceil(8)) as u32);
        encoder.set_color(colours);
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
        assert_eq!(image.pixels, pixels);
    }

    #[test]
    fn every_png_becomes_grey_or_rgb() {
        let grey = |depth, rows: &[u8], width| encode(width, ColorType::Grayscale, depth, rows, None);
        check(
            &grey(BitDepth::One, &[0b1010_0000, 0b0100_0000], 3),
            1,
            2,
            3,
            &[255, 0, 255, 0, 255, 0],
        );
        check(&grey(BitDepth::Two, &[0b0001_1011], 4), 1, 1, 4, &[0, 85, 170, 255]);
        check(&grey(BitDepth::Four, &[0x0f, 0x80], 3), 1, 1, 3, &[0, 255, 136]);
        check(&grey(BitDepth::Eight, &[1, 2, 3, 4], 2), 1, 2, 2, &[1, 2, 3, 4]);
        check(&grey(BitDepth::Sixteen, &[7, 99, 200, 1], 2), 1, 1, 2, &[7, 200]);
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
        let rgba = encode(
            1,
            ColorType::Rgba,
            BitDepth::Sixteen,
            &[9, 0, 8, 0, 7, 0, 255, 255],
            None,
        );
        check(&rgba, 3, 1, 1, &[9, 8, 7]);
        let palette = Some((&[255, 0, 0, 0, 0, 255][..], &[255, 0][..]));
        let indexed = encode(2, ColorType::Indexed, BitDepth::One, &[0b0100_0000], palette);
        check(&indexed, 3, 1, 2, &[255, 255, 0, 255, 0, 255]);
    }

    const GREY: &[u8] = include_bytes!("../../tests/images/grey.jpg");
    const COLOUR: &[u8] = include_bytes!("../../tests/images/colour.jpg");
    const PROGRESSIVE: &[u8] = include_bytes!("../../tests/images/progressive.jpg");
    const CMYK: &[u8] = include_bytes!("../../tests/images/cmyk.jpg");

    #[test]
    fn jpeg_is_near_what_was_encoded() {
        let near = |a: u8, b: usize, tolerance: i32| (i32::from(a) - b as i32).abs() <= tolerance;
        let grey = Image::decode(GREY).unwrap();
        assert_eq!((grey.channels, grey.height, grey.width), (1, 12, 20));
        assert!((0..240).all(|i| near(grey.pixels[i], 12 * (i % 20), 4)));
        for file in [COLOUR, PROGRESSIVE, CMYK] {
            let image = Image::decode(file).unwrap();
            assert_eq!((image.channels, image.height, image.width), (3, 12, 20));
            for (i, (&red, &green)) in image.pixels[..240].iter().zip(&image.pixels[240..480]).enumerate() {
                assert!(
                    near(red, 12 * (i % 20), 24) && near(green, 20 * (i / 20), 24),
                    "{i}: {red} {green}"
                );
            }
            // Colours average out: blue is the same everywhere.
            let blue = image.pixels[480..].iter().map(|&b| f64::from(b)).sum::<f64>() / 240.0;
            assert!((blue - 128.0).abs() < 4.0, "{blue}");
        }
    }

    #[test]
    fn converts_between_grey_and_rgb() {
        let rgb = Image::from_interleaved(3, 1, 2, &[255, 0, 0, 10, 20, 30]);
        let grey = rgb.clone().into_grey();
        assert_eq!((grey.channels, &grey.pixels[..]), (1, &[76, 18][..]));
        assert_eq!(grey.clone().into_rgb().pixels, [76, 18, 76, 18, 76, 18]);
        assert_eq!((rgb.clone().into_rgb(), grey.clone().into_grey()), (rgb, grey));
    }

    #[test]
    fn what_is_no_image_is_refused() {
        let sentence = |file: &[u8]| Image::decode(file).unwrap_err().to_string();
        assert_eq!(sentence(b""), "the file is empty");
        assert!(sentence(b"GIF89a").contains("neither"));
        assert!(sentence(&COLOUR[..COLOUR.len() / 2]).contains("can't be decoded"));
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
        let frame = COLOUR.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
        let mut jpeg = COLOUR.to_vec();
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
        for file in [&png[..], &indexed, GREY, COLOUR, PROGRESSIVE, CMYK] {
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

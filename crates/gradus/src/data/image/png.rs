//! PNG files.

use std::io::Cursor;

use png::{BitDepth, ColorType, DecodingError, Transformations};

use super::{Image, Pixels, check_size};
use crate::data::MOST_BYTES_FROM_ONE;

/// The most colors of a palette.
const MOST_COLORS: usize = 256;

/// Decodes a PNG file: its image, and its EXIF metadata if it has any.
pub(super) fn decode(file: &[u8]) -> Result<(Image, Option<Vec<u8>>), String> {
    let damaged = |e: DecodingError| format!("the PNG image can't be decoded: {e}");
    let mut decoder = png::Decoder::new(Cursor::new(file));
    decoder.set_transformations(Transformations::EXPAND);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let header = decoder.read_header_info().map_err(damaged)?;
    let (width, height) = (u64::from(header.width), u64::from(header.height));
    let bits = header.color_type.samples() as u64 * header.bit_depth as u64;
    let raw_size = height.saturating_mul(1 + (width * bits).div_ceil(8));
    check_size(width, height, raw_size <= file.len() as u64 * MOST_BYTES_FROM_ONE)?;

    let mut reader = decoder.read_info().map_err(damaged)?;
    if let Some(palette) = &reader.info().palette
        && (!palette.len().is_multiple_of(3) || palette.is_empty() || palette.len() > 3 * MOST_COLORS)
    {
        return Err(format!(
            "the PNG image can't be decoded: its palette has {} bytes, and should have 3 for each of 1 to {MOST_COLORS} colors",
            palette.len()
        ));
    }
    let size = reader.output_buffer_size().ok_or("the image is too large")?;
    let mut pixels = vec![0; size];
    let frame = reader.next_frame(&mut pixels).map_err(damaged)?;
    // The checksums at the very end too, and what stands behind the pixels.
    reader.finish().map_err(damaged)?;
    let exif = reader.info().exif_metadata.as_deref().map(<[u8]>::to_vec);
    let (width, height) = (frame.width as usize, frame.height as usize);
    pixels.truncate(frame.buffer_size());
    let (channels, with_alpha) = match frame.color_type {
        ColorType::Grayscale => (1, false),
        ColorType::GrayscaleAlpha => (1, true),
        ColorType::Rgb => (3, false),
        ColorType::Rgba => (3, true),
        ColorType::Indexed => return Err("the PNG image can't be decoded: its palette was not applied".into()),
    };
    let pixels = if frame.bit_depth == BitDepth::Sixteen {
        let words = pixels
            .chunks_exact(2)
            .map(|word| u16::from_be_bytes([word[0], word[1]]));
        Pixels::Words(planes(words.collect(), channels, with_alpha, |v| v as u16))
    } else {
        Pixels::Bytes(planes(pixels, channels, with_alpha, |v| v as u8))
    };
    let image = Image {
        channels,
        height,
        width,
        pixels,
    };
    Ok((image, exif))
}

/// The channels one after the other, laid over white if each pixel ends in its opacity.
fn planes<T>(interleaved: Vec<T>, channels: usize, with_alpha: bool, narrow: impl Fn(u64) -> T) -> Vec<T>
where
    T: Copy + Into<u64>,
{
    if !with_alpha {
        return super::planes(&interleaved, channels);
    }
    let white = (1_u64 << (8 * size_of::<T>())) - 1;
    let mut opaque = Vec::with_capacity(interleaved.len() / (channels + 1) * channels);
    for pixel in interleaved.chunks_exact(channels + 1) {
        let alpha = pixel[channels].into();
        for &value in &pixel[..channels] {
            let value = value.into() * alpha + white * (white - alpha);
            opaque.push(narrow((value + white / 2) / white));
        }
    }
    super::planes(&opaque, channels)
}

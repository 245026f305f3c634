//! JPEG files.

mod stream;

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::{Image, Pixels, check_size};
use stream::{Colors, Stream};

/// An 8×8 block of an image takes at least one bit.
const MOST_PIXELS_FROM_ONE: u64 = 8 * 64;

/// Decodes a JPEG file: its image, and its EXIF metadata if it has any.
pub(super) fn decode(file: &[u8]) -> Result<(Image, Option<Vec<u8>>), String> {
    let problem = |message: String| format!("the JPEG image can't be decoded: {message}");
    let stream = Stream::read(file).map_err(problem)?;
    let (width, height) = (u64::from(stream.width), u64::from(stream.height));
    check_size(
        width,
        height,
        width * height <= (file.len() as u64).saturating_mul(MOST_PIXELS_FROM_ONE),
    )?;
    let (colors, channels) = match stream.colors {
        Colors::Gray => (ColorSpace::Luma, 1),
        Colors::YCbCr | Colors::Rgb | Colors::Ycck => (ColorSpace::RGB, 3),
        Colors::Cmyk { .. } => (ColorSpace::CMYK, 4),
    };
    // Strict: what is damaged must not become a gray patch in the data.
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(1 << 16)
        .set_max_height(1 << 16)
        .jpeg_set_out_colorspace(colors);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&stream.bytes), options);
    let mut pixels = decoder.decode().map_err(|e| problem(e.to_string()))?;
    let (width, height) = (usize::from(stream.width), usize::from(stream.height));
    if pixels.len() != channels * height * width {
        return Err(problem("it has another number of channels than its header says".into()));
    }
    if let Colors::Cmyk { inverted } = stream.colors {
        pixels = rgb_of_cmyk(&pixels, inverted);
    }
    let channels = channels.min(3);
    let image = Image {
        channels,
        height,
        width,
        pixels: Pixels::Bytes(super::planes(&pixels, channels)),
    };
    Ok((image, stream.exif.map(<[u8]>::to_vec)))
}

/// Red is what cyan and black leave over, and so on. Adobe's programs write 255 for no ink, others for full ink.
fn rgb_of_cmyk(pixels: &[u8], inverted: bool) -> Vec<u8> {
    let light = |ink: u8| u16::from(if inverted { ink } else { 255 - ink });
    let mut rgb = Vec::with_capacity(pixels.len() / 4 * 3);
    for pixel in pixels.chunks_exact(4) {
        rgb.extend(
            pixel[..3]
                .iter()
                .map(|&ink| ((light(ink) * light(pixel[3]) + 127) / 255) as u8),
        );
    }
    rgb
}

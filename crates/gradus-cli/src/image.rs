//! Image files: those that the library decodes, PNG and JPEG, and WebP.

use std::io::Cursor;

use anyhow::{Context, Result, ensure};
use gradus::Error;
use gradus::data::{Folder, Image, Pixels};
use image_webp::WebPDecoder;

/// The most pixels that an image may have, as in the library: 8192×8192.
const MAX_PIXELS: u64 = 1 << 26;

/// A reader of folders of images that also reads WebP.
pub fn folder() -> Folder {
    Folder::new().endings(["webp"]).decoder(decode)
}

/// Decodes a PNG, JPEG or WebP image, whichever it is, and turns it upright.
///
/// # Errors
/// If it is none of them, or damaged, or too large.
pub fn decode(file: &[u8]) -> gradus::Result<Image> {
    match file {
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => {
            webp(file).map_err(|e| Error::data(format!("the WebP image can't be decoded: {e:#}")))
        }
        _ => Image::decode(file),
    }
}

fn webp(file: &[u8]) -> Result<Image> {
    let size = u32::from_le_bytes([file[4], file[5], file[6], file[7]]);
    ensure!(u64::from(size) + 8 <= file.len() as u64, "it is cut off");
    let mut decoder = WebPDecoder::new(Cursor::new(file))?;
    let (width, height) = decoder.dimensions();
    let count = u64::from(width) * u64::from(height);
    ensure!(
        count <= MAX_PIXELS,
        "it is {width} wide and {height} high, and may have {MAX_PIXELS} pixels at most"
    );
    ensure!(!decoder.is_animated(), "it is a film, and still images are read");
    decoder.set_memory_limit(file.len());
    let exif = decoder.exif_metadata()?;
    let with_alpha = decoder.has_alpha();
    let mut pixels = vec![0; decoder.output_buffer_size().context("it is too large")?];
    decoder.read_image(&mut pixels)?;
    if with_alpha {
        pixels = over_white(&pixels);
    }
    // There is no gray WebP: an image without color is one.
    let channels = if pixels.chunks_exact(3).all(|p| p[0] == p[1] && p[1] == p[2]) {
        1
    } else {
        3
    };
    let plane = |c: usize| pixels.iter().skip(c).step_by(3).copied();
    let pixels = Pixels::Bytes((0..channels).flat_map(plane).collect());
    let image = Image::new(channels, height as usize, width as usize, pixels)?;
    Ok(match exif {
        // Some programs write the prefix that JPEG has there.
        Some(exif) => image.upright(exif.strip_prefix(b"Exif\0\0").unwrap_or(&exif)),
        None => image,
    })
}

/// Red, green and blue as on white paper, of pixels that end in their opacity.
fn over_white(pixels: &[u8]) -> Vec<u8> {
    let mut opaque = Vec::with_capacity(pixels.len() / 4 * 3);
    for pixel in pixels.chunks_exact(4) {
        let alpha = u16::from(pixel[3]);
        opaque.extend(
            pixel[..3]
                .iter()
                .map(|&v| ((u16::from(v) * alpha + 255 * (255 - alpha) + 127) / 255) as u8),
        );
    }
    opaque
}

#[cfg(test)]
mod tests {
    use super::*;
    use image_webp::{ColorType, WebPEncoder};

    const LOSSY: &[u8] = include_bytes!("../tests/images/ramp.webp");

    fn encode(pixels: &[u8], width: u32, colors: ColorType, exif: Option<u8>) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = WebPEncoder::new(&mut file);
        if let Some(orientation) = exif {
            let tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0";
            encoder.set_exif_metadata([&tiff[..], &[orientation], &[0; 6]].concat());
        }
        let channels = match colors {
            ColorType::L8 => 1,
            ColorType::Rgb8 => 3,
            _ => 4,
        };
        let height = pixels.len() as u32 / channels / width;
        encoder.encode(pixels, width, height, colors).unwrap();
        file
    }

    fn bytes(file: &[u8]) -> (usize, usize, usize, Vec<u8>) {
        let image = decode(file).unwrap();
        let pixels = image.pixels().as_bytes().unwrap().to_vec();
        (image.channels(), image.height(), image.width(), pixels)
    }

    #[test]
    fn webp_is_decoded_in_gray_and_in_color() {
        let gray = encode(&[0, 50, 100, 150, 200, 250], 3, ColorType::L8, None);
        assert_eq!(bytes(&gray), (1, 2, 3, vec![0, 50, 100, 150, 200, 250]));
        let rgb = encode(&[1, 2, 3, 4, 5, 6], 2, ColorType::Rgb8, None);
        assert_eq!(bytes(&rgb), (3, 1, 2, vec![1, 4, 2, 5, 3, 6]));
        // Opaque, transparent, and a fifth of 100 on white paper.
        let rgba = encode(
            &[9, 8, 7, 255, 9, 9, 9, 0, 100, 100, 100, 51],
            3,
            ColorType::Rgba8,
            None,
        );
        assert_eq!(bytes(&rgba), (3, 1, 3, vec![9, 255, 224, 8, 255, 224, 7, 255, 224]));
        // Lossy, of 8 rows and 16 columns: red grows to the right, green downwards, blue is 128.
        let (channels, height, width, pixels) = bytes(LOSSY);
        assert_eq!((channels, height, width), (3, 8, 16));
        for (i, &v) in pixels.iter().enumerate() {
            let expected = match i / 128 {
                0 => 16 * (i % 16),
                1 => 32 * (i % 128 / 16),
                _ => 128,
            };
            assert!(v.abs_diff(expected as u8) < 24, "{i}: {v}, {expected}");
        }
    }

    #[test]
    fn webp_is_turned_upright() {
        let turned = encode(&[0, 1, 2, 3, 4, 5], 3, ColorType::L8, Some(6));
        assert_eq!(bytes(&turned), (1, 3, 2, vec![3, 0, 4, 1, 5, 2]));
    }

    #[test]
    fn damaged_webp_is_refused() {
        let lossless = encode(&(0..=255).collect::<Vec<_>>(), 16, ColorType::L8, None);
        for file in [LOSSY, &lossless] {
            for end in 0..file.len() {
                assert!(decode(&file[..end]).is_err(), "{end} of {} bytes", file.len());
            }
            for i in 0..file.len() {
                for value in [0, 1, 127, 128, 255, file[i] ^ 1] {
                    let mut damaged = file.to_vec();
                    damaged[i] = value;
                    let _ = decode(&damaged);
                }
            }
        }
        let message = decode(&LOSSY[..60]).unwrap_err().to_string();
        assert_eq!(message, "the WebP image can't be decoded: it is cut off");
        let message = decode(b"GIF89a").unwrap_err().to_string();
        assert!(message.contains("it is a GIF image"), "{message}");
    }
}

#![no_main]
//! PNG and JPEG images.

use gradus::data::Image;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    let Ok(image) = Image::decode(file) else { return };
    assert!(image.height() > 0 && image.width() > 0);
    let check = |image: &Image| {
        assert_eq!(image.pixels().len(), image.channels() * image.height() * image.width());
    };
    check(&image);
    let (gray, rgb) = (image.clone().into_gray(), image.into_rgb());
    assert_eq!((gray.channels(), rgb.channels()), (1, 3));
    check(&gray);
    check(&rgb);
});

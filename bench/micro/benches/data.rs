//! Reading images kept as bytes, and changing them: of 28×28 pixels, on one thread.

use bench_micro::{bench, criterion, numbers};
use criterion::{Criterion, criterion_group, criterion_main};
use gradus::Shape;
use gradus::augment::{Augmentation, Noise, Warp};
use gradus::data::{Bytes, Dataset};
use gradus::random::{Purpose, stream};

const SIZE: usize = 28 * 28;

fn reading(criterion: &mut Criterion) {
    const IMAGES: usize = 1000;
    bench(criterion, "read", "100 images", || {
        let pixels = numbers(IMAGES * SIZE)
            .into_iter()
            .map(|x| (x.abs() * 255.0) as u8)
            .collect();
        let data = Bytes::new([1, 28, 28], pixels, vec![0; IMAGES], 10).expect("the images have a class each");
        let mut x = vec![0.0; 100 * SIZE];
        let mut next = 0;
        move || {
            for x in x.chunks_exact_mut(SIZE) {
                // Not one after the other, as a shuffled epoch doesn't.
                next = (next + 617) % IMAGES;
                data.read(next, x).expect("the image is there");
            }
        }
    });
}

fn augmentation(criterion: &mut Criterion) {
    type Make = fn() -> Box<dyn Augmentation>;
    let changes: [(&str, Make); 4] = [
        ("affine", || {
            Box::new(Warp::new().shift(2.0).rotate(10.0).scale(0.1).shear(5.0))
        }),
        ("elastic", || Box::new(Warp::new().elastic(34.0, 4.0))),
        ("affine and elastic", || {
            Box::new(Warp::new().shift(2.0).rotate(10.0).scale(0.1).elastic(34.0, 4.0))
        }),
        ("noise", || Box::new(Noise::new(0.05))),
    ];
    for (name, make) in changes {
        bench(criterion, "augment one image", name, || {
            let (change, shape) = (make(), Shape::from([1, 28, 28]));
            let image: Vec<f32> = numbers(SIZE).into_iter().map(f32::abs).collect();
            let (mut x, mut scratch, mut sample) = (image.clone(), Vec::new(), 0);
            move || {
                x.copy_from_slice(&image);
                sample += 1;
                change.apply(
                    &shape,
                    &mut x,
                    &mut stream(1, Purpose::Augment, &[0, sample]),
                    &mut scratch,
                );
            }
        });
    }
}

criterion_group! { name = benches; config = criterion(); targets = reading, augmentation }
criterion_main!(benches);

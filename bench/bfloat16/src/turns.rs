//! Two works that take turns, since absolute times mean little on a shared machine.

use std::time::Instant;

/// What came out: of each work the shortest time and the median, in seconds; and the first one's times over the second's, turn by
/// turn: the lower quartile, the median and the upper quartile.
pub struct Times {
    pub each: [[f64; 2]; 2],
    pub ratio: [f64; 3],
}

/// Times two works in so many turns, each repeated for about so many seconds in a turn.
pub fn alternate(turns: usize, seconds: f64, works: [&mut dyn FnMut(); 2]) -> Times {
    let time = |work: &mut dyn FnMut(), repeats: u32| {
        let start = Instant::now();
        for _ in 0..repeats {
            work();
        }
        start.elapsed().as_secs_f64() / f64::from(repeats)
    };
    let mut works = works.map(|work| {
        work();
        let repeats = (seconds / time(work, 1)).clamp(1.0, 1e5) as u32;
        (work, repeats)
    });
    let mut times = [const { Vec::new() }; 2];
    for _ in 0..turns {
        for ((work, repeats), times) in works.iter_mut().zip(&mut times) {
            times.push(time(*work, *repeats));
        }
    }
    let ratios = times[0].iter().zip(&times[1]).map(|(a, b)| a / b).collect();
    Times {
        each: times.map(|times| {
            let times = sorted(times);
            [times[0], times[times.len() / 2]]
        }),
        ratio: {
            let ratios = sorted(ratios);
            [1, 2, 3].map(|quarter| ratios[quarter * (ratios.len() - 1) / 4])
        },
    }
}

fn sorted(mut times: Vec<f64>) -> Vec<f64> {
    times.sort_by(f64::total_cmp);
    times
}

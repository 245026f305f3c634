//! Is this the gradient of that function?
//!
//! Between two points a and b, a function changes by the integral of its gradient along the segment:
//!
//! ```text
//! f(b) − f(a) = ∫₀¹ ∇f(a + t · d) · d dt        d = b − a
//! ```
//!
//! It holds across kinks too (ReLU, the absolute error), as long as f has no jump, and over ways that are long enough for the
//! change to be far above the rounding error of f. So the change is compared with the integral of what is said to be the
//! gradient, along single coordinates, random groups of coordinates and all coordinates at once. The integral is adaptive: it
//! is refined where the slope bends or jumps, and the way is shortened where that is not enough.
//!
//! A difference counts against the size of what is compared, never against a fixed number: the gradient of a mean over 10,000
//! outputs is small by its nature.

use std::ops::Range;

use rand::RngExt;
use rand::seq::SliceRandom;

use crate::Float;
use crate::random::Rng;

/// How far the integral may be from the change of the function, relative to the larger of them.
const TOLERANCE: f64 = if cfg!(gradus_f64) { 1e-7 } else { 1e-2 };

/// The length of the longest segment, relative to [`Part::step`], and how often it may be shortened to a quarter.
const LONGEST: f64 = if cfg!(gradus_f64) { 0.1 } else { 1.0 };
const SHORTENED: i32 = if cfg!(gradus_f64) { 9 } else { 4 };

/// The length of a segment that was shortened `shortened` times.
fn length(shortened: i32) -> f64 {
    LONGEST * 0.25_f64.powi(shortened)
}

/// How many standard deviations of the rounding error a change has to exceed to count.
const NOISE: f64 = 6.0;

/// How far coordinates are moved where nothing but the rounding error is to change, relative to [`Part::step`], at least and at
/// most.
const NEAR: [f64; 2] = if cfg!(gradus_f64) { [1e-8, 0.1] } else { [1e-3, 0.1] };

/// How an integral is computed: from how many intervals of the way at first, and from how many slopes at most.
#[derive(Clone, Copy)]
struct Rule {
    intervals: usize,
    evaluations: u32,
}

const QUICK: Rule = Rule {
    intervals: 1,
    evaluations: 41,
};

/// For a way on which something seems to be wrong.
const THOROUGH: Rule = Rule {
    intervals: 50,
    evaluations: 401,
};

impl Rule {
    /// Where the i-th piece starts. The intervals are uneven, since kinks that lie symmetrically can cancel out in a piece's error.
    fn start(self, i: usize) -> f64 {
        let golden = 0.618_033_988_749_895;
        let shift = if i == self.intervals {
            0.0
        } else {
            (i as f64 * golden).fract() / 2.0
        };
        (i as f64 + shift) / self.intervals as f64
    }
}

/// A function of many values together with what is said to be its gradient.
pub(super) trait Function {
    /// Returns the value at `x` and writes the gradient there to `gradient`.
    fn evaluate(&mut self, x: &[Float], gradient: &mut [Float]) -> Result<f64, String>;

    /// Returns the value at `x`.
    fn value(&mut self, x: &[Float]) -> Result<f64, String>;
}

/// Values that are checked together, since their gradients are of one size: a tensor.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// What the gradient of these values is called.
    pub(super) name: String,
    pub(super) range: Range<usize>,
    /// How far a value may be moved; half of it to each side.
    pub(super) step: f64,
}

/// How much is tried in each part.
#[derive(Debug, Clone, Copy)]
pub(super) struct Effort {
    /// Into how many groups the coordinates are divided; a part that has no more coordinates is tried one by one.
    pub(super) groups: usize,
    /// How many of the largest coordinates are tried, and how many others.
    pub(super) coordinates: usize,
    /// How many random directions are tried.
    pub(super) directions: usize,
}

/// Holds the gradient against the function around the point `x`.
///
/// # Errors
/// The first part and direction in which the two disagree; or if no change of the function is above its rounding error
/// although the gradient is not zero.
pub(super) fn check(
    function: &mut dyn Function,
    x: &[Float],
    parts: &[Part],
    effort: Effort,
    rng: &mut Rng,
) -> Result<(), String> {
    let mut gradient = vec![Float::NAN; x.len()];
    let value = function.evaluate(x, &mut gradient)?;
    // In a long sum, each term is rounded to the last place of the sum: it has to change by more than that.
    let last_place = f64::from(Float::EPSILON) * value.abs();
    let near = (parts.iter())
        .map(|part| {
            let wanted = 2.0 * last_place / mean_size(&gradient[part.range.clone()]);
            wanted.clamp(NEAR[0] * part.step, NEAR[1] * part.step)
        })
        .collect();
    let mut check = Check {
        function,
        x,
        parts,
        near,
        rounding: 0.0,
        shortened: 0,
        judged: 0,
        hidden: 0,
        nothing: 0,
        unit: (0..x.len()).map(|_| rng.random_range(-1.0..1.0)).collect(),
        rng,
        here: x.to_vec(),
        gradient: vec![Float::NAN; x.len()],
    };
    check.rounding = check.rounding(3)?;
    for part in parts {
        check.part(part, &gradient[part.range.clone()], effort)?;
    }
    if check.judged == 0 && check.hidden > check.nothing {
        return Err(format!(
            "the gradient can't be judged: in every direction the function changes by less than its rounding error of {:e}",
            check.rounding
        ));
    }
    Ok(())
}

/// The mean of the values' sizes, which a few large ones don't decide.
fn mean_size(values: &[Float]) -> f64 {
    values.iter().map(|v| f64::from(v.abs())).sum::<f64>() / values.len().max(1) as f64
}

/// The coordinates that are tried by themselves: all, if there are few; else the largest, the first and the last, and a few
/// others in this random order.
fn single(gradient: &[Float], order: &[usize], effort: Effort) -> Vec<usize> {
    let (n, count) = (gradient.len(), effort.coordinates);
    if n <= effort.groups {
        return (0..n).collect();
    }
    let mut largest = order.to_vec();
    largest.select_nth_unstable_by(count, |&a, &b| gradient[b].abs().total_cmp(&gradient[a].abs()));
    [&largest[..count], &[0, n - 1], &order[..count]].concat()
}

/// A coordinate, and how far it is moved along a way of length 1.
type Move = (usize, f64);

struct Check<'a> {
    function: &'a mut dyn Function,
    x: &'a [Float],
    parts: &'a [Part],
    /// For each part, how far a coordinate is moved where nothing but the rounding error is to change.
    near: Vec<f64>,
    /// The standard deviation of the function's rounding error.
    rounding: f64,
    /// How often the last way was shortened; the next begins with it.
    shortened: i32,
    /// The directions in which the function's change was above its rounding error, those in which it was not, and those in
    /// which the gradient is nothing but rounding error itself, or 0.
    judged: usize,
    hidden: usize,
    nothing: usize,
    rng: &'a mut Rng,
    /// Random numbers between −1 and 1.
    unit: Vec<Float>,
    here: Vec<Float>,
    gradient: Vec<Float>,
}

/// What was found along a segment.
#[derive(Clone, Copy)]
struct Found {
    /// The change of the function.
    change: f64,
    /// The integral of the gradient.
    integral: f64,
    /// The likely error of the integral.
    error: f64,
    /// The change that rounding alone may cause.
    noise: f64,
    /// The length of the segment, √(Σ d²), and of the gradient seen from it, √(Σ (g · d)²): the size that the change along a way
    /// of these lengths has where signs are random.
    length: f64,
    typical: f64,
}

impl Found {
    fn difference(&self) -> f64 {
        (self.change - self.integral).abs()
    }

    fn is_suspicious(&self, size: f64) -> bool {
        let scale = self.scale(size);
        let jumps = self.error > (0.25 * scale).max(self.noise);
        jumps || self.difference() > TOLERANCE * scale + 2.0 * self.error + self.noise
    }

    /// The size against which a difference counts, where the gradient's values are of the size `size`.
    fn scale(&self, size: f64) -> f64 {
        self.typical.max(self.change.abs()).max(size * self.length)
    }
}

impl Check<'_> {
    fn part(&mut self, part: &Part, gradient: &[Float], effort: Effort) -> Result<(), String> {
        let (first, step) = (part.range.start, part.step);
        let n = gradient.len();
        if n == 0 {
            return Ok(());
        }
        let size = mean_size(gradient);
        let mut order: Vec<usize> = (0..n).collect();
        order.shuffle(self.rng);

        for i in single(gradient, &order, effort) {
            self.direction(&[(first + i, step)], size, &|| format!("{}[{i}]", part.name))?;
        }
        if n == 1 {
            return Ok(());
        }
        let own = gradient
            .iter()
            .map(|&g| if g == 0.0 { self.sign() } else { f64::from(g.signum()) })
            .collect();
        // A term that only undoes a change of all values' scale (in a norm, say) is small in each of many values.
        let radial = (self.x[part.range.clone()].iter())
            .map(|&x| if x == 0.0 { 0.0 } else { f64::from(x.signum()) })
            .collect();
        let mut directions: Vec<(&str, Vec<f64>)> = vec![
            ("its own signs", own),
            ("(1, 1, ...)", vec![1.0; n]),
            ("the signs of the values", radial),
        ];
        for _ in 0..effort.directions {
            directions.push(("a random direction", (0..n).map(|_| self.sign()).collect()));
        }
        for (name, signs) in directions {
            let moves: Vec<Move> = (first..).zip(&signs).map(|(i, sign)| (i, step * sign)).collect();
            self.direction(&moves, size, &|| format!("{} along {name}", part.name))?;
        }
        if n > effort.groups {
            for group in order.chunks(n.div_ceil(effort.groups)) {
                let moves: Vec<Move> = group.iter().map(|&i| (first + i, step * self.sign())).collect();
                self.direction(&moves, size, &|| {
                    format!("{} over {} of its values", part.name, group.len())
                })?;
            }
        }
        Ok(())
    }

    fn sign(&mut self) -> f64 {
        if self.rng.random() { 1.0 } else { -1.0 }
    }

    /// Compares the gradient, whose values are of this size, with the function along one direction.
    fn direction(&mut self, moves: &[Move], size: f64, name: &dyn Fn() -> String) -> Result<(), String> {
        let (mut found, shortened) = self.best_way(moves, size)?;
        self.average(&mut found, moves, shortened, size, 16)?;
        let scale = found.scale(size);
        if found.noise < 0.5 * scale {
            self.judged += 1;
        } else if found.error < 0.05 * scale {
            self.hidden += 1;
        } else {
            self.nothing += 1;
        }
        if !found.is_suspicious(size) {
            return Ok(());
        }
        // Several kinks can cancel out between the places where the slope was computed. So rather once more than a wrong
        // alarm: with a better integral, and on shorter ways, where a wrong gradient stays as wrong.
        self.rounding = self.rounding.max(self.rounding(8)?);
        let thorough = self.measure_thoroughly(moves, shortened, size)?;
        if !thorough.is_suspicious(size) {
            return Ok(());
        }
        let wrong = thorough.difference().max(0.25 * thorough.error) / thorough.scale(size);
        for shortened in shortened + 1..=SHORTENED {
            let found = self.measure_thoroughly(moves, shortened, size)?;
            let most = found.difference() + 2.0 * found.error + found.noise;
            if most / found.scale(size) < 0.5 * wrong {
                return Ok(());
            }
        }
        let Found {
            change,
            integral,
            error,
            length: by,
            ..
        } = thorough;
        let what = name();
        Err(match moves {
            _ if error > 0.25 * thorough.scale(size) => {
                format!("{what} jumps too often to be the gradient of a function without jumps")
            }
            [(_, step)] => format!(
                "{what} is {}, expected {} from differences",
                (step.signum() * integral / by) as f32,
                (step.signum() * change / by) as f32
            ),
            _ => format!(
                "{what}: it says that moving by {} changes the function by {}, but that is {}",
                by as f32, integral as f32, change as f32
            ),
        })
    }

    /// Shortens the way until the integral along it is good enough, or as good as it gets.
    fn best_way(&mut self, moves: &[Move], size: f64) -> Result<(Found, i32), String> {
        let mut best: Option<(Found, i32, f64)> = None;
        for shortened in (self.shortened - 1).max(0)..=SHORTENED {
            let found = self.measure(moves, shortened, size, QUICK)?;
            let scale = found.scale(size);
            let relative = (found.error + found.noise) / scale.max(f64::MIN_POSITIVE);
            if best.is_none_or(|(_, _, least)| relative < least) {
                best = Some((found, shortened, relative));
            }
            // A shorter way has less error, and more noise relative to the change.
            if found.error <= 0.25 * TOLERANCE * scale || found.error < found.noise {
                break;
            }
        }
        let (found, shortened, _) = best.expect("at least one way is tried");
        self.shortened = shortened;
        Ok((found, shortened))
    }

    fn measure_thoroughly(&mut self, moves: &[Move], shortened: i32, size: f64) -> Result<Found, String> {
        let mut found = self.measure(moves, shortened, size, THOROUGH)?;
        self.average(&mut found, moves, shortened, size, 64)?;
        Ok(found)
    }

    /// Where rounding hides much, takes the mean change of the function along up to `most` ways side by side.
    fn average(
        &mut self,
        found: &mut Found,
        moves: &[Move],
        shortened: i32,
        size: f64,
        most: usize,
    ) -> Result<(), String> {
        let ways = (found.noise / (TOLERANCE * found.scale(size))).powi(2).ceil();
        // Also where the scale is 0, and nothing is to be seen.
        if !(2.0..).contains(&ways) || found.scale(size) == 0.0 {
            return Ok(());
        }
        let ways = (ways as usize).min(most);
        let mut sum = 0.0;
        for way in 0..ways {
            for side in [-1.0, 1.0] {
                self.go_beside(way, 1.0);
                for &(i, by) in moves {
                    self.here[i] += (side * by * length(shortened) / 2.0) as Float;
                }
                sum += side * self.function.value(&self.here)?;
            }
        }
        self.here.copy_from_slice(self.x);
        found.change = sum / ways as f64;
        found.noise /= (ways as f64).sqrt();
        Ok(())
    }

    /// Goes to a point near `x`, `times` as far as usual, in a direction that follows from `number`.
    fn go_beside(&mut self, number: usize, times: f64) {
        let n = self.unit.len();
        // Another direction is the same random numbers at other places.
        let start = number * (n / 3 + 7919) % n;
        for (part, near) in self.parts.iter().zip(&self.near) {
            let by = (near * times) as Float;
            let mut at = (start + part.range.start) % n;
            for i in part.range.clone() {
                self.here[i] = self.x[i] + by * self.unit[at];
                at += 1;
                if at == n {
                    at = 0;
                }
            }
        }
    }

    /// Goes along these moves, shortened `shortened` times, as far to each side of `x`.
    fn measure(&mut self, moves: &[Move], shortened: i32, size: f64, rule: Rule) -> Result<Found, String> {
        let length = length(shortened);
        // The ends as they are rounded, and so the real way between them.
        let end = |i: usize, by: f64| f64::from((f64::from(self.x[i]) + by * length / 2.0) as Float);
        let moves = moves.iter().map(|&(i, by)| (i, end(i, -by), end(i, by) - end(i, -by)));
        let mut segment = Segment {
            moves: moves.collect(),
            squares: 0.0,
            evaluations: 0,
        };
        let (start, mut slope) = self.at(&mut segment, 0.0)?;
        let mut end = start;
        let mut intervals = Vec::new();
        for i in 0..rule.intervals {
            let start = rule.start(i);
            let width = rule.start(i + 1) - start;
            let mut slopes = [slope; 5];
            for (i, quarter) in slopes.iter_mut().enumerate().skip(1) {
                (end, *quarter) = self.at(&mut segment, start + width * i as f64 / 4.0)?;
            }
            slope = slopes[4];
            intervals.push(Interval { start, width, slopes });
        }
        let change = end - start;
        let length = segment.moves.iter().map(|&(_, _, d)| d * d).sum::<f64>().sqrt();
        loop {
            // Errors of intervals are independent of each other.
            let error = intervals.iter().map(|p| p.error().powi(2)).sum::<f64>().sqrt();
            let found = Found {
                change,
                integral: intervals.iter().map(Interval::integral).sum(),
                error,
                noise: NOISE * self.rounding,
                length,
                typical: (segment.squares / f64::from(segment.evaluations)).sqrt(),
            };
            if error <= 0.25 * TOLERANCE * found.scale(size) || segment.evaluations + 4 > rule.evaluations {
                for &(i, _, _) in &segment.moves {
                    self.here[i] = self.x[i];
                }
                return Ok(found);
            }
            let worst = (0..intervals.len())
                .max_by(|&a, &b| intervals[a].error().total_cmp(&intervals[b].error()))
                .expect("there is a piece");
            let Interval { start, width, slopes } = intervals[worst];
            let mut between = |eighths: f64| Ok::<_, String>(self.at(&mut segment, start + width * eighths / 8.0)?.1);
            let [a, b, c, d, e] = slopes;
            let left = [a, between(1.0)?, b, between(3.0)?, c];
            let right = [c, between(5.0)?, d, between(7.0)?, e];
            let width = width / 2.0;
            intervals[worst] = Interval {
                start,
                width,
                slopes: left,
            };
            intervals.push(Interval {
                start: start + width,
                width,
                slopes: right,
            });
        }
    }

    /// The function's value, and the slope along the segment, at a part `t` of it.
    fn at(&mut self, segment: &mut Segment, t: f64) -> Result<(f64, f64), String> {
        for &(i, a, d) in &segment.moves {
            self.here[i] = (a + t * d) as Float;
        }
        let value = self.function.evaluate(&self.here, &mut self.gradient)?;
        let mut slope = 0.0;
        for &(i, _, d) in &segment.moves {
            let term = f64::from(self.gradient[i]) * d;
            slope += term;
            segment.squares += term * term;
        }
        segment.evaluations += 1;
        if value.is_finite() && slope.is_finite() {
            Ok((value, slope))
        } else {
            Err("the function or its gradient is not finite".into())
        }
    }

    /// The standard deviation of the function's rounding error.
    ///
    /// Along a short line, the fourth differences of a smooth function vanish, and those of independent errors are √70 times as
    /// large as they (Hamming, "Introduction to applied numerical analysis", 1971). Their median does not mind a few kinks.
    fn rounding(&mut self, lines: usize) -> Result<f64, String> {
        let mut differences = Vec::new();
        let mut largest: f64 = 0.0;
        for line in 0..lines {
            let mut values = [0.0; 9];
            for (j, value) in values.iter_mut().enumerate() {
                self.go_beside(line, j as f64);
                *value = self.function.value(&self.here)?;
                largest = largest.max(value.abs());
            }
            differences.extend((values.windows(5)).map(|v| (v[0] - 4.0 * v[1] + 6.0 * v[2] - 4.0 * v[3] + v[4]).abs()));
        }
        self.here.copy_from_slice(self.x);
        differences.sort_by(f64::total_cmp);
        let median = differences[differences.len() / 2];
        // The median of a normal distribution's sizes; and no less than what the last rounding does.
        Ok((median / 70.0_f64.sqrt() / 0.6745).max(0.3 * f64::from(Float::EPSILON) * largest))
    }
}

/// A way that is gone.
struct Segment {
    /// Each coordinate that is moved, where it starts, and how far it goes.
    moves: Vec<(usize, f64, f64)>,
    /// The sum over all evaluations of Σ (g · d)².
    squares: f64,
    evaluations: u32,
}

/// A piece of a segment, with the slopes at its quarters.
struct Interval {
    start: f64,
    width: f64,
    slopes: [f64; 5],
}

impl Interval {
    /// Simpson's rule for both halves.
    fn integral(&self) -> f64 {
        let [a, b, c, d, e] = self.slopes;
        self.width / 12.0 * (a + 4.0 * b + 2.0 * c + 4.0 * d + e)
    }

    /// The difference to Simpson's rule for the whole.
    fn error(&self) -> f64 {
        let [a, _, c, _, e] = self.slopes;
        (self.integral() - self.width / 6.0 * (a + 4.0 * c + e)).abs()
    }
}

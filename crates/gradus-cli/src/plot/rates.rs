//! The loss as the learning rate grows, on a logarithmic axis.

use std::cmp::Ordering;

use gradus::{RateCurve, RatePoint};

use super::drawing::{Anchor, Drawing, Stroke};
use super::scale::Scale;
use super::{anchored, color, heading, style, text};
use crate::numbers::rate;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 460.0;
const TOP: f64 = 128.0;
const BOTTOM: f64 = 56.0;
const LEFT: f64 = 66.0;
const RIGHT: f64 = 34.0;
const DASH: (f64, f64) = (5.0, 3.5);

/// How far above the lowest loss the picture reaches, in parts of how far the first loss is above it.
const CUT: f64 = 1.25;

/// Draws the loss of each step thin, the smoothed loss bold, and the two suggested rates as vertical lines.
pub fn rates(title: &str, subtitle: &str, curve: &RateCurve) -> Drawing {
    let mut drawing = Drawing::new(WIDTH, HEIGHT, color::PAPER, title);
    heading(&mut drawing, 24.0, title, subtitle);
    legend(&mut drawing);
    let area = Area::of(&curve.points);
    area.draw_axes(&mut drawing);
    let line = |value: fn(&RatePoint) -> f64| -> Vec<(f64, f64)> {
        let points = curve.points.iter();
        points
            .map(|point| (area.across(point.rate), area.down(value(point))))
            .collect()
    };
    drawing.polyline(&line(|point| point.loss), Stroke::solid(color::AXIS, 1.2));
    drawing.polyline(&line(|point| point.smoothed), Stroke::solid(color::NETWORKS[0], 2.2));
    let mut marks = [
        (curve.steepest(), "steepest", color::NETWORKS[1]),
        (curve.tenth_of_lowest(), "lowest / 10", color::NETWORKS[2]),
    ]
    .map(|(value, name, ink)| Some((area.across(value?), format!("{name}: {}", rate(value?)), ink)));
    // The label of the smaller rate is on the left of its line, so that none crosses the other.
    marks.sort_by(|a, b| {
        a.as_ref()
            .map(|mark| mark.0)
            .partial_cmp(&b.as_ref().map(|mark| mark.0))
            .unwrap_or(Ordering::Equal)
    });
    for (i, (x, label, ink)) in marks.into_iter().enumerate().filter_map(|(i, mark)| Some((i, mark?))) {
        let stroke = Stroke {
            dash: Some(DASH),
            ..Stroke::solid(ink, 1.4)
        };
        drawing.line((x, TOP), (x, HEIGHT - BOTTOM), stroke);
        let width = text::width(&label, 12.5, true) + 8.0;
        let left = (i == 0 && x - width > LEFT) || x + width > WIDTH - RIGHT;
        let (x, anchor) = if left {
            (x - 6.0, Anchor::End)
        } else {
            (x + 6.0, Anchor::Start)
        };
        drawing.text(
            x,
            TOP + 14.0 + 16.0 * i as f64,
            &label,
            anchored(style(12.5, true, ink), anchor),
        );
    }
    drawing
}

fn legend(drawing: &mut Drawing) {
    let (y, mut x) = (88.0, 24.0);
    for (label, stroke) in [
        ("loss of each step", Stroke::solid(color::AXIS, 1.2)),
        ("smoothed", Stroke::solid(color::NETWORKS[0], 2.2)),
    ] {
        drawing.line((x, y - 4.5), (x + 25.0, y - 4.5), stroke);
        drawing.text(x + 32.0, y, label, style(12.5, false, color::MUTED));
        x += 32.0 + text::width(label, 12.5, false) + 22.0;
    }
}

/// The scales of the picture: of powers of ten, and of losses.
struct Area {
    exponents: Scale,
    losses: Scale,
}

impl Area {
    fn of(points: &[RatePoint]) -> Self {
        let ends = [points.first(), points.last()].map(|point| point.map_or(f64::NAN, |point| point.rate.log10()));
        let smoothed = || points.iter().map(|point| point.smoothed);
        let low = smoothed().fold(f64::INFINITY, f64::min);
        let begin = points.iter().map(|point| point.loss).take(1).fold(low, f64::max);
        let high = smoothed().fold(f64::NEG_INFINITY, f64::max);
        // How high the curve is where it ends says little about the rates that are of use.
        let high = high.min(low + CUT * (begin - low)).max(begin);
        let low = if low > 0.0 && low < 0.5 * high { 0.0 } else { low };
        let mut exponents = Scale::around(ends[0], ends[1], 10);
        exponents.ticks.retain(|tick| tick.fract().abs() < 1e-9);
        Area {
            exponents,
            losses: Scale::around(low, high, 5),
        }
    }

    fn across(&self, rate: f64) -> f64 {
        LEFT + self.exponents.position(rate.log10()) * (WIDTH - RIGHT - LEFT)
    }

    /// The height of a loss; what lies beyond the picture is on its edge.
    fn down(&self, loss: f64) -> f64 {
        let position = self.losses.position(loss.clamp(self.losses.low, self.losses.high));
        HEIGHT - BOTTOM - position * (HEIGHT - BOTTOM - TOP)
    }

    fn draw_axes(&self, drawing: &mut Drawing) {
        let label = style(12.0, false, color::MUTED);
        for &tick in &self.losses.ticks {
            let y = self.down(tick);
            drawing.line((LEFT, y), (WIDTH - RIGHT, y), Stroke::solid(color::GRID, 1.0));
            let number = format!("{tick:.*}", self.losses.decimals);
            drawing.text(LEFT - 10.0, y + 4.2, &number, anchored(label, Anchor::End));
        }
        let base = HEIGHT - BOTTOM;
        drawing.line((LEFT, base), (WIDTH - RIGHT, base), Stroke::solid(color::AXIS, 1.0));
        for &tick in &self.exponents.ticks {
            let x = self.across(10f64.powf(tick));
            drawing.line((x, base), (x, base + 5.0), Stroke::solid(color::AXIS, 1.0));
            let number = rate(10f64.powf(tick));
            drawing.text(x, base + 20.0, &number, anchored(label, Anchor::Middle));
        }
        let middle = 0.5 * (LEFT + WIDTH - RIGHT);
        drawing.text(middle, base + 41.0, "Learning rate", anchored(label, Anchor::Middle));
        drawing.text(LEFT, TOP - 14.0, "Loss", style(13.5, true, color::INK));
    }
}

#[cfg(test)]
mod tests {
    use gradus::prelude::*;
    use gradus::{RateFinder, data::digits};

    use super::*;
    use crate::plot::{png, svg};

    #[test]
    fn any_search_gives_a_picture() {
        let (train, _) = digits::load().unwrap();
        let layers = Sequential::new([1, 8, 8]).layer(Flatten).layer(Dense::new(10));
        let network = layers.build(1).unwrap();
        for finder in [
            RateFinder::new(),
            RateFinder::new().from(1e-9).to(1e-8).steps(2),
            RateFinder::new().from(1.0).to(1e9).steps(30),
        ] {
            let fit = Fit::new(CrossEntropy::new(), Sgd::new(0.1));
            let curve = fit.find_rate(&network, &train, &finder).unwrap();
            let drawing = rates("Title", "", &curve);
            let document = svg(&drawing).unwrap();
            assert!(!document.contains("NaN") && !document.contains("inf"), "{document}");
            png(&drawing).unwrap();
        }
    }
}

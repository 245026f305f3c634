//! Learning curves: what was measured after each epoch, one panel for each measure.

use super::drawing::{Anchor, Color, Drawing, Stroke};
use super::scale::Scale;
use super::{anchored, color, heading, style, text};

/// One measure of one or several networks.
#[derive(Debug, Clone, Default)]
pub struct Panel {
    /// What is measured: `Loss`.
    pub title: String,
    /// Whether the values are shares of one, shown in per cent.
    pub percent: bool,
    /// Whether more is better, which decides the epoch that is marked as the best.
    pub higher_is_better: bool,
    /// A curve for each network, in the same order in every panel.
    pub curves: Vec<Curve>,
}

/// One measure of one network, after each epoch.
#[derive(Debug, Clone, Default)]
pub struct Curve {
    /// The network's name.
    pub name: String,
    /// The values on the training samples; those that are not finite leave a gap.
    pub train: Vec<f64>,
    /// The values on the validation samples; empty if there were none.
    pub validation: Vec<f64>,
}

const PANEL_WIDTH: f64 = 560.0;
const HEIGHT: f64 = 460.0;
const TOP: f64 = 146.0;
const BOTTOM: f64 = 56.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 78.0;
const DASH: (f64, f64) = (5.0, 3.5);

/// Draws panels side by side: training solid, validation dashed, the best validation epoch ringed, last values written
/// at the lines' ends.
pub fn curves(title: &str, subtitle: &str, panels: &[Panel]) -> Drawing {
    let mut drawing = Drawing::new(PANEL_WIDTH * panels.len().max(1) as f64, HEIGHT, color::PAPER, title);
    heading(&mut drawing, 24.0, title, subtitle);
    legend(&mut drawing, panels);
    for (i, panel) in panels.iter().enumerate() {
        Area::of(panel, PANEL_WIDTH * i as f64).draw(&mut drawing, panel);
    }
    drawing
}

/// The networks by color, then the kinds of line.
fn legend(drawing: &mut Drawing, panels: &[Panel]) {
    let (y, mut x) = (88.0, 24.0);
    let middle = y - 4.5;
    for (i, curve) in panels.first().into_iter().flat_map(|p| &p.curves).enumerate() {
        drawing.line((x, middle), (x + 14.0, middle), Stroke::solid(network_color(i), 4.0));
        drawing.text(x + 20.0, y, &curve.name, style(13.0, true, network_color(i)));
        x += 20.0 + text::width(&curve.name, 13.0, true) + 22.0;
    }
    let validated = panels
        .iter()
        .flat_map(|p| &p.curves)
        .any(|c| c.validation.iter().any(|v| v.is_finite()));
    if !validated {
        return;
    }
    x += 10.0;
    let line = Stroke::solid(color::MUTED, 2.0);
    let keys = [
        ("training", Some(line)),
        (
            "validation",
            Some(Stroke {
                dash: Some(DASH),
                ..line
            }),
        ),
        ("best validation", None),
    ];
    for (label, stroke) in keys {
        let mark = match stroke {
            Some(stroke) => {
                drawing.line((x, middle), (x + 25.5, middle), stroke);
                25.5
            }
            None => {
                drawing.circle(
                    (x + 5.0, middle),
                    4.0,
                    color::PAPER,
                    Some(Stroke::solid(color::MUTED, 1.6)),
                );
                10.0
            }
        };
        drawing.text(x + mark + 7.0, y, label, style(12.5, false, color::MUTED));
        x += mark + 7.0 + text::width(label, 12.5, false) + 20.0;
    }
}

fn network_color(i: usize) -> Color {
    color::NETWORKS[i % color::NETWORKS.len()]
}

/// A panel's place and scales.
struct Area {
    left: f64,
    right: f64,
    x: Scale,
    y: Scale,
    /// What the values are multiplied by: 100 for per cent.
    factor: f64,
}

impl Area {
    fn of(panel: &Panel, offset: f64) -> Self {
        let factor = if panel.percent { 100.0 } else { 1.0 };
        let finite = || {
            panel
                .curves
                .iter()
                .flat_map(|c| c.train.iter().chain(&c.validation))
                .filter(|v| v.is_finite())
        };
        let low = finite().copied().fold(f64::INFINITY, f64::min) * factor;
        let high = finite().copied().fold(f64::NEG_INFINITY, f64::max) * factor;
        let y = if panel.percent {
            Scale::around(low, high, 5).within(0.0, 100.0)
        } else {
            // A loss is read against zero, unless all of it is far away.
            let low = if low > 0.0 && low < 0.5 * high { 0.0 } else { low };
            Scale::around(low, high, 5)
        };
        let epochs = panel
            .curves
            .iter()
            .map(|c| c.train.len().max(c.validation.len()))
            .max()
            .unwrap_or(1);
        Area {
            left: offset + LEFT,
            right: offset + PANEL_WIDTH - RIGHT,
            x: Scale::epochs(epochs, 16),
            y,
            factor,
        }
    }

    fn point(&self, index: usize, value: f64) -> (f64, f64) {
        let x = self.left + self.x.position((index + 1) as f64) * (self.right - self.left);
        (x, self.height_of(value * self.factor))
    }

    fn height_of(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.position(value) * (HEIGHT - BOTTOM - TOP)
    }

    fn draw(&self, drawing: &mut Drawing, panel: &Panel) {
        self.draw_axes(drawing, panel);
        let mut ends = Vec::new();
        for (i, curve) in panel.curves.iter().enumerate() {
            let train = Stroke::solid(network_color(i), 2.0);
            let validation = Stroke {
                dash: Some(DASH),
                ..train
            };
            for (values, stroke, bold) in [(&curve.train, train, false), (&curve.validation, validation, true)] {
                self.draw_line(drawing, values, stroke);
                if let Some(end) = self.end_of(values, stroke.color, bold) {
                    ends.push(end);
                }
            }
        }
        // Rings last, so that no line crosses them.
        for (i, curve) in panel.curves.iter().enumerate() {
            if let Some(best) = best(&curve.validation, panel.higher_is_better) {
                let stroke = Stroke::solid(network_color(i), 1.6);
                drawing.circle(
                    self.point(best, curve.validation[best]),
                    4.0,
                    color::PAPER,
                    Some(stroke),
                );
            }
        }
        spread_apart(&mut ends, TOP, HEIGHT - BOTTOM);
        for end in &ends {
            // A dotted lead from a line that ends early, or whose label had to move.
            let route = [end.point, (self.right, end.point.1), (self.right + 7.0, end.y)];
            let from = usize::from(end.point.0 > self.right - 1.0);
            if from == 0 || (end.point.1 - end.y).abs() > 3.0 {
                let lead = Stroke {
                    dash: Some((1.5, 2.5)),
                    ..Stroke::solid(end.color, 0.9)
                };
                drawing.polyline(&route[from..], lead);
            }
            let label = if panel.percent {
                text::percent(end.value, 1)
            } else {
                short(end.value)
            };
            drawing.text(self.right + 11.0, end.y + 4.3, &label, style(12.5, end.bold, end.color));
        }
    }

    fn draw_axes(&self, drawing: &mut Drawing, panel: &Panel) {
        let label = style(12.0, false, color::MUTED);
        let unit = if panel.percent { "\u{a0}%" } else { "" };
        for &tick in &self.y.ticks {
            let y = self.height_of(tick);
            drawing.line((self.left, y), (self.right, y), Stroke::solid(color::GRID, 1.0));
            let number = format!("{tick:.*}{unit}", self.y.decimals);
            drawing.text(self.left - 10.0, y + 4.2, &number, anchored(label, Anchor::End));
        }
        let base = HEIGHT - BOTTOM;
        drawing.line((self.left, base), (self.right, base), Stroke::solid(color::AXIS, 1.0));
        for &tick in &self.x.ticks {
            let x = self.left + self.x.position(tick) * (self.right - self.left);
            drawing.line((x, base), (x, base + 5.0), Stroke::solid(color::AXIS, 1.0));
            drawing.text(x, base + 20.0, &format!("{tick:.0}"), anchored(label, Anchor::Middle));
        }
        drawing.text(
            0.5 * (self.left + self.right),
            base + 41.0,
            "Epoch",
            anchored(label, Anchor::Middle),
        );
        drawing.text(self.left, TOP - 18.0, &panel.title, style(13.5, true, color::INK));
    }

    /// The values as a line, broken where one is not finite; a value between two gaps is a dot.
    fn draw_line(&self, drawing: &mut Drawing, values: &[f64], stroke: Stroke) {
        let mut points = Vec::new();
        for (i, &value) in values.iter().enumerate() {
            if value.is_finite() {
                points.push(self.point(i, value));
            }
            if !value.is_finite() || i + 1 == values.len() {
                match points[..] {
                    [] => {}
                    [single] => drawing.circle(single, 3.0, stroke.color, None),
                    _ => drawing.polyline(&points, stroke),
                }
                points.clear();
            }
        }
    }

    fn end_of(&self, values: &[f64], color: Color, bold: bool) -> Option<End> {
        let (index, &value) = values.iter().enumerate().rev().find(|(_, v)| v.is_finite())?;
        let point = self.point(index, value);
        Some(End {
            point,
            y: point.1,
            value,
            color,
            bold,
        })
    }
}

/// The label at a line's end.
struct End {
    /// Where the line ends.
    point: (f64, f64),
    /// The height of the label.
    y: f64,
    value: f64,
    color: Color,
    bold: bool,
}

/// The epoch (from 0) of the best value; the first of several.
fn best(values: &[f64], higher_is_better: bool) -> Option<usize> {
    let goodness = |v: f64| if higher_is_better { v } else { -v };
    let finite = values.iter().enumerate().filter(|(_, v)| v.is_finite());
    finite
        .reduce(|a, b| if goodness(*b.1) > goodness(*a.1) { b } else { a })
        .map(|(i, _)| i)
}

/// Moves labels up and down until none covers another, in their order, within these heights.
fn spread_apart(ends: &mut [End], top: f64, bottom: f64) {
    const GAP: f64 = 15.0;
    ends.sort_by(|a, b| a.y.total_cmp(&b.y));
    // Groups of touching labels, each centered on what it labels.
    let mut groups: Vec<(f64, usize)> = Vec::new();
    for end in ends.iter() {
        groups.push((end.y, 1));
        while let [.., (y0, n0), (y1, n1)] = groups[..] {
            if y1 - y0 >= GAP * (n0 + n1) as f64 / 2.0 {
                break;
            }
            let n = n0 + n1;
            groups.truncate(groups.len() - 2);
            groups.push(((y0 * n0 as f64 + y1 * n1 as f64) / n as f64, n));
        }
    }
    let mut rest = ends.iter_mut();
    for (y, n) in groups {
        let half = GAP * (n - 1) as f64 / 2.0;
        let y = y.max(top + half).min(bottom - half);
        for (i, end) in rest.by_ref().take(n).enumerate() {
            end.y = y - half + GAP * i as f64;
        }
    }
}

/// A value with three significant digits.
fn short(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e5).contains(&size) {
        return format!("{value:.1e}");
    }
    let decimals = if size >= 100.0 {
        0
    } else if size >= 10.0 {
        1
    } else if size >= 0.1 {
        3
    } else {
        4
    };
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::png;
    use crate::plot::svg::svg;

    #[test]
    fn the_best_epoch_is_the_first_of_the_best() {
        assert_eq!(best(&[3.0, 1.0, f64::NAN, 1.0], false), Some(1));
        assert_eq!(best(&[0.5, 0.9, 0.9], true), Some(1));
        assert_eq!(best(&[f64::NAN], true), None);
    }

    #[test]
    fn labels_keep_apart_and_in_place() {
        let mut ends: Vec<End> = [100.0, 50.0, 101.0, 399.0, 400.0]
            .map(|y| End {
                point: (0.0, y),
                y,
                value: y,
                color: Color(0, 0, 0),
                bold: false,
            })
            .into();
        spread_apart(&mut ends, 0.0, 400.0);
        assert_eq!(ends[0].y, 50.0);
        assert!(
            ends.windows(2)
                .all(|w| w[1].y - w[0].y >= 15.0 - 1e-9 && w[0].value < w[1].value)
        );
        assert!(ends[4].y <= 400.0);
    }

    #[test]
    fn a_network_that_diverged_or_never_ran_still_gives_a_picture() {
        for train in [
            vec![],
            vec![f64::NAN; 3],
            vec![0.5],
            vec![0.5, f64::NAN, 0.25, 0.125, f64::INFINITY],
        ] {
            let curve = Curve {
                name: "a".into(),
                train,
                validation: vec![],
            };
            let panel = Panel {
                title: "Loss".into(),
                curves: vec![curve],
                ..Panel::default()
            };
            let drawing = curves("Title", "", &[panel]);
            let document = svg(&drawing).unwrap();
            assert!(!document.contains("NaN") && !document.contains("inf"), "{document}");
            png(&drawing).unwrap();
        }
        png(&curves("None", "", &[])).unwrap();
    }

    #[test]
    fn values_keep_three_digits() {
        assert_eq!(
            [0.0912, 0.31, 2.3046, 15.25, 1234.5, 3.2e-6].map(short),
            ["0.0912", "0.310", "2.305", "15.2", "1234", "3.2e-6"]
        );
    }
}

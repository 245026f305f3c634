//! Confusion matrices: which class was taken for which.

use super::drawing::{Anchor, Bounds, Color, Drawing};
use super::{TextStyle, anchored, color, heading, style, text};

/// The decisions of one network on one set of samples.
#[derive(Debug, Clone, Default)]
pub struct Confusion {
    /// The network's name.
    pub name: String,
    /// The names of the classes.
    pub classes: Vec<String>,
    /// `counts[t][p]`: samples of class `t` that the network put into class `p`.
    pub counts: Vec<Vec<u64>>,
}

/// Room at the right of a matrix for its recalls, and below it for its precisions.
const RECALL: f64 = 76.0;
const PRECISION: f64 = 40.0;
/// The longest name of a class that is shown whole.
const NAME: f64 = 110.0;
/// The palest and the strongest blue of what is right, and reds of what is wrong.
const RIGHT_SHADES: [Color; 2] = [Color(237, 243, 249), Color(158, 193, 224)];
const WRONG_SHADES: [Color; 2] = [Color(254, 240, 231), Color(222, 94, 62)];

/// Draws matrices side by side as heat maps with counts: true classes in rows, decisions in columns, recall at the right
/// and precision below. What is right and what is wrong have scales of their own, so that the few errors can be seen beside
/// the many right decisions; the errors' scale is the same in all matrices.
pub fn confusions(title: &str, subtitle: &str, matrices: &[Confusion]) -> Drawing {
    let place = Place::of(matrices);
    let width = matrices.len().max(1) as f64 * place.width() + 14.0;
    let height = place.top + place.side() + PRECISION;
    let mut drawing = Drawing::new(width.max(360.0), height, color::PAPER, title);
    heading(&mut drawing, 24.0, title, subtitle);
    let worst = matrices.iter().flat_map(wrong_counts).max().unwrap_or(0);
    for (i, matrix) in matrices.iter().enumerate() {
        draw(
            &mut drawing,
            matrix,
            &place,
            i as f64 * place.width() + place.left,
            worst,
        );
    }
    drawing
}

/// The measures of a matrix, the same for all that lie side by side.
struct Place {
    /// The side of a cell.
    cell: f64,
    /// Classes along a side.
    classes: usize,
    /// Room at the left of the cells.
    left: f64,
    /// Room above the cells.
    top: f64,
    /// The size of the classes' names.
    size: f64,
    /// Whether the names above the columns are too long to lie there, and stand.
    upright: bool,
}

impl Place {
    fn of(matrices: &[Confusion]) -> Self {
        let classes = matrices.iter().map(|m| m.classes.len()).max().unwrap_or(1).max(1);
        let cell = (460.0 / classes as f64).clamp(14.0, 52.0);
        let size = (0.34 * cell).clamp(8.0, 12.5);
        let names = matrices.iter().flat_map(|m| &m.classes);
        let longest = names
            .map(|name| text::width(name, size, true))
            .fold(8.0, f64::max)
            .min(NAME);
        let upright = longest > cell - 4.0;
        Place {
            cell,
            classes,
            left: (longest + 56.0).max(92.0),
            top: 138.0 + if upright { longest } else { size },
            size,
            upright,
        }
    }

    fn side(&self) -> f64 {
        self.cell * self.classes as f64
    }

    fn width(&self) -> f64 {
        self.left + self.side() + RECALL
    }
}

fn wrong_counts(matrix: &Confusion) -> impl Iterator<Item = u64> {
    let rows = matrix.counts.iter().enumerate();
    rows.flat_map(|(t, row)| row.iter().enumerate().filter(move |(p, _)| *p != t).map(|(_, &n)| n))
}

fn draw(drawing: &mut Drawing, matrix: &Confusion, place: &Place, left: f64, worst: u64) {
    draw_title(drawing, matrix, left);
    draw_cells(drawing, matrix, place, left, worst);
    let precisions_fit = text::width("100.0\u{a0}%", 0.92 * place.size, false) < place.cell;
    draw_classes(drawing, matrix, place, left, precisions_fit);
    draw_axes(drawing, matrix.classes.len(), place, left, precisions_fit);
}

impl Confusion {
    /// The samples of class `t` that were taken for class `p`.
    fn count(&self, t: usize, p: usize) -> u64 {
        self.counts.get(t).and_then(|row| row.get(p)).copied().unwrap_or(0)
    }
}

fn centered(size: f64, bold: bool, color: Color) -> TextStyle {
    anchored(style(size, bold, color), Anchor::Middle)
}

/// The network's name, and how often it is right.
fn draw_title(drawing: &mut Drawing, matrix: &Confusion, left: f64) {
    let total: u64 = matrix.counts.iter().flatten().sum();
    let right: u64 = (0..matrix.classes.len()).map(|i| matrix.count(i, i)).sum();
    drawing.text(left, 98.0, &matrix.name, style(14.0, true, color::INK));
    let verdict = format!(
        "{} of {} right ({})",
        text::count(right),
        text::count(total),
        text::percent(right as f64 / total as f64, 2)
    );
    let after = left + text::width(&matrix.name, 14.0, true) + 12.0;
    drawing.text(after, 98.0, &verdict, style(12.5, false, color::MUTED));
}

fn draw_cells(drawing: &mut Drawing, matrix: &Confusion, place: &Place, left: f64, worst: u64) {
    let Place { cell, top, size, .. } = *place;
    let n = matrix.classes.len();
    let most = (0..n).map(|i| matrix.count(i, i)).max().unwrap_or(0);
    for t in 0..n {
        for p in 0..n {
            let count = matrix.count(t, p);
            let (x, y) = (left + p as f64 * cell, top + t as f64 * cell);
            let (fill, ink) = shade(count, t == p, if t == p { most } else { worst });
            // A hair between cells, so that they read as a grid.
            let cell_bounds = Bounds {
                x: x + 0.5,
                y: y + 0.5,
                width: cell - 1.0,
                height: cell - 1.0,
            };
            drawing.rect(cell_bounds, fill);
            let label = text::count(count);
            if count > 0 && text::width(&label, size, t == p) < cell - 3.0 {
                drawing.text(
                    x + 0.5 * cell,
                    y + 0.5 * cell + 0.36 * size,
                    &label,
                    centered(size, t == p, ink),
                );
            }
        }
    }
}

/// The name of each class, left of its row and above its column, and its recall and precision on the other sides.
fn draw_classes(drawing: &mut Drawing, matrix: &Confusion, place: &Place, left: f64, precisions_fit: bool) {
    let Place { cell, top, size, .. } = *place;
    let n = matrix.classes.len();
    let side = cell * n as f64;
    let share_size = 0.92 * size;
    let muted = style(share_size, false, color::MUTED);
    for (i, class) in matrix.classes.iter().enumerate() {
        let along = (i as f64 + 0.5) * cell;
        let name = text::fitted(class, size, true, NAME);
        let bold = style(size, true, color::INK);
        drawing.text(
            left - 9.0,
            top + along + 0.36 * size,
            &name,
            anchored(bold, Anchor::End),
        );
        if place.upright {
            drawing.text_upwards(left + along + 0.36 * size, top - 9.0, &name, bold);
        } else {
            drawing.text(left + along, top - 9.0, &name, anchored(bold, Anchor::Middle));
        }
        let row: u64 = (0..n).map(|p| matrix.count(i, p)).sum();
        let recall = text::percent(matrix.count(i, i) as f64 / row as f64, 1);
        drawing.text(left + side + 10.0, top + along + 0.36 * share_size, &recall, muted);
        if precisions_fit {
            let column: u64 = (0..n).map(|t| matrix.count(t, i)).sum();
            let precision = text::percent(matrix.count(i, i) as f64 / column as f64, 1);
            drawing.text(
                left + along,
                top + side + 18.0,
                &precision,
                anchored(muted, Anchor::Middle),
            );
        }
    }
}

/// What rows, columns and the numbers beside them are.
fn draw_axes(drawing: &mut Drawing, classes: usize, place: &Place, left: f64, precisions_fit: bool) {
    let top = place.top;
    let side = place.cell * classes as f64;
    let note = style(11.5, false, color::MUTED);
    let middle = anchored(note, Anchor::Middle);
    drawing.text_upwards(left - place.left + 36.0, top + 0.5 * side, "True class", middle);
    drawing.text(left + 0.5 * side, 121.0, "Predicted class", middle);
    drawing.text(left + side + 10.0, top - 9.0, "Recall", note);
    if precisions_fit {
        drawing.text(left - 9.0, top + side + 18.0, "Precision", anchored(note, Anchor::End));
    }
}

/// A cell's fill and the color of its count.
fn shade(count: u64, right: bool, most: u64) -> (Color, Color) {
    if count == 0 {
        return (Color(0xf6, 0xf7, 0xf8), color::MUTED);
    }
    let [pale, strong] = if right { RIGHT_SHADES } else { WRONG_SHADES };
    // A power below one keeps single errors visible beside frequent ones.
    let share = if most > 0 {
        (count as f64 / most as f64).min(1.0)
    } else {
        1.0
    };
    let strength = if right { share } else { share.powf(0.7) };
    let ink = if !right && strength > 0.75 {
        color::PAPER
    } else {
        color::INK
    };
    (pale.toward(strong, strength), ink)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::png;
    use crate::plot::svg::svg;

    #[test]
    fn shows_counts_recall_and_precision() {
        let matrix = Confusion {
            name: "net".into(),
            classes: vec!["a".into(), "b".into()],
            counts: vec![vec![9, 1], vec![3, 1200]],
        };
        let drawing = confusions("Title", "sub", &[matrix]);
        let document = svg(&drawing).unwrap();
        for expected in [
            "1,209 of 1,213 right (99.67\u{a0}%)",
            ">9<",
            ">1<",
            ">1,200<",
            "90.0\u{a0}%",
            "75.0\u{a0}%",
        ] {
            assert!(document.contains(expected), "{expected}: {document}");
        }
        png(&drawing).unwrap();
    }

    #[test]
    fn empty_classes_and_ragged_counts_still_give_a_picture() {
        let matrix = |counts| Confusion {
            name: "net".into(),
            classes: vec!["a".into(), "a class with a very long name".into()],
            counts,
        };
        for counts in [vec![], vec![vec![0, 0], vec![0, 0]], vec![vec![1], vec![1, 2, 3]]] {
            let drawing = confusions("Title", "", &[matrix(counts)]);
            let document = svg(&drawing).unwrap();
            assert!(!document.contains("NaN"), "{document}");
            png(&drawing).unwrap();
        }
        png(&confusions("None", "", &[])).unwrap();
    }
}

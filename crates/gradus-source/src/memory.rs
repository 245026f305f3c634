//! Where the values of a program lie: those that are not wanted at the same time share a place.

use crate::program::{Step, result};

/// The place of a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Place {
    /// The caller's input.
    Input,
    /// The caller's output.
    Output,
    /// In the buffer, from this element on.
    Buffer(usize),
    /// Nowhere: nobody reads or writes it.
    None,
}

/// The place of each value, and the size of the buffer in elements.
pub(crate) fn places<O>(values: &[usize], steps: &[Step<O>]) -> (Vec<Place>, usize) {
    let mut lives = vec![None; values.len()];
    for (i, step) in steps.iter().enumerate() {
        for value in [step.x, step.y] {
            let (first, _) = *lives[value].get_or_insert((i, i));
            lives[value] = Some((first, i));
        }
    }
    let mut places = vec![Place::None; values.len()];
    places[0] = Place::Input;
    places[result(steps)] = Place::Output;
    // The largest first: the small ones then find room between them.
    let mut order: Vec<usize> = (0..values.len())
        .filter(|&value| places[value] == Place::None && lives[value].is_some())
        .collect();
    order.sort_by_key(|&value| std::cmp::Reverse(values[value]));
    let mut placed: Vec<(usize, usize)> = Vec::new();
    for value in order {
        let meets = |other: usize| {
            let both = lives[value].zip(lives[other]);
            both.is_some_and(|((a, b), (c, d))| a <= d && c <= b)
        };
        let mut taken: Vec<(usize, usize)> = (placed.iter())
            .filter(|&&(other, _)| meets(other))
            .map(|&(other, start)| (start, start + values[other]))
            .collect();
        taken.sort_unstable();
        let mut start = 0;
        for (from, to) in taken {
            if start + values[value] <= from {
                break;
            }
            start = start.max(to);
        }
        places[value] = Place::Buffer(start);
        placed.push((value, start));
    }
    let size = placed.iter().map(|&(value, start)| start + values[value]).max();
    (places, size.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(x: usize, y: usize) -> Step<()> {
        Step {
            label: String::new(),
            name: String::new(),
            x,
            y,
            op: (),
        }
    }

    #[test]
    fn values_in_a_row_take_turns() {
        // 0 -> 1 -> 2 -> 3 -> 4
        let steps = [step(0, 1), step(1, 2), step(2, 3), step(3, 4)];
        let (places, size) = places(&[7, 100, 30, 60, 10], &steps);
        assert_eq!(
            places,
            [
                Place::Input,
                Place::Buffer(0),
                Place::Buffer(100),
                Place::Buffer(0),
                Place::Output
            ]
        );
        assert_eq!(size, 130);
    }

    #[test]
    fn a_shortcut_keeps_its_place() {
        // 1 is added to 3 in the end.
        let steps = [step(0, 1), step(1, 2), step(2, 3), step(1, 3), step(3, 4)];
        let (places, size) = places(&[4, 10, 10, 10, 2], &steps);
        assert_eq!(size, 30);
        let distinct: std::collections::BTreeSet<_> = places.iter().map(|place| format!("{place:?}")).collect();
        assert_eq!(distinct.len(), 5);
    }
}

//! Slice, where it leaves out rows and columns of images.

use gradus::{Crop2d, Padding};

use super::Reader;
use crate::import::constant::axis;
use crate::import::operands::Operands;
use crate::import::value::Value;

/// An end from here on stands for all that there is, where the size is unknown: exporters write the largest number of 32 or 64 bits.
const ALL: i64 = i32::MAX as i64;

impl<'a> Reader<'a> {
    pub(super) fn slice(&mut self, node: &Operands<'_, 'a>) -> Result<Value, String> {
        let x = self.input(node, 0)?;
        let own_dims = x.own_dims();
        // How much is left out along each of the network's axes, before and after what stays.
        let mut left_out = vec![[0; 2]; own_dims.len()];
        for (place, [start, end]) in ranges(node, x.dims.len() + 1)? {
            let Some(graph_axis) = place.checked_sub(1) else {
                if start != 0 || end < ALL {
                    return Err(format!(
                        "it takes the samples from {start} to {end}: only all of them can be imported"
                    ));
                }
                continue;
            };
            let size = x.dims[graph_axis] as i64;
            let within = |bound: i64| if bound < 0 { bound.saturating_add(size) } else { bound }.clamp(0, size);
            let (start, end) = (within(start), within(end));
            left_out[x.own_axis(graph_axis)] = [start as usize, (size - end.max(start)) as usize];
        }
        let [channels, rows, columns] = match left_out[..] {
            [channels, rows, columns] => [channels, rows, columns],
            _ if left_out.iter().all(|sides| *sides == [0, 0]) => return Ok(x),
            _ => [[1, 1]; 3],
        };
        if channels != [0, 0] {
            return Err(format!(
                "it takes a part of samples of {:?}: only rows and columns of images can be left out",
                x.dims
            ));
        }
        let cropping = Padding::Explicit {
            top: rows[0],
            bottom: rows[1],
            left: columns[0],
            right: columns[1],
        };
        let x = self.own(&x)?;
        let step = self.steps.layer(x.step, Crop2d::new(cropping), vec![])?;
        let own_dims = self.steps.output(step).to_vec();
        let dims = (0..x.dims.len()).map(|i| own_dims[x.own_axis(i)]).collect();
        let axes = (0..x.dims.len()).map(|i| x.own_axis(i)).collect();
        Ok(Value::with_axes(step, dims, axes))
    }
}

/// The axes that it cuts, of `rank` with that of the samples, and from where to where: attributes of early versions, else inputs.
fn ranges(node: &Operands<'_, '_>, rank: usize) -> Result<Vec<(usize, [i64; 2])>, String> {
    let given = |name: &str, i: usize| match node.integers(name) {
        Some(given) => Ok(Some(given.to_vec())),
        None => (node.optional(i)?)
            .map(|given| given.whole().map(<[_]>::to_vec))
            .transpose(),
    };
    let starts = given("starts", 1)?.ok_or("it names no start")?;
    let ends = given("ends", 2)?.ok_or("it names no end")?;
    let axes = given("axes", 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    if starts.len() != ends.len() || starts.len() != axes.len() {
        return Err(format!(
            "it has {} starts, {} ends and {} axes: each axis needs one of both",
            starts.len(),
            ends.len(),
            axes.len()
        ));
    }
    if let Some(steps) = given("steps", 4)?.filter(|steps| steps.iter().any(|&step| step != 1)) {
        return Err(format!(
            "it cuts by steps of {steps:?}: only steps of 1 can be imported"
        ));
    }
    let axes = axes.into_iter().map(|a| axis(a, rank));
    axes.zip(starts.into_iter().zip(ends))
        .map(|(axis, (start, end))| Ok((axis?, [start, end])))
        .collect()
}

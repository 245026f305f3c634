//! Tensors that are known when a graph is read: initializers, and what operators make of them.

use gradus::Float;

use super::operands::Operands;
use crate::model::{Tensor, data_type};

/// The number of samples among the elements of a shape: known only when a graph runs.
pub(super) const SAMPLES: i64 = i64::MIN;

/// A known tensor.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Constant {
    pub(super) dims: Vec<usize>,
    pub(super) values: Values,
}

/// Its values, row-major.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Values {
    Floats(Vec<Float>),
    Integers(Vec<i64>),
}

impl Values {
    pub(super) fn len(&self) -> usize {
        match self {
            Values::Floats(values) => values.len(),
            Values::Integers(values) => values.len(),
        }
    }
}

impl Constant {
    pub(super) fn integers(values: Vec<i64>) -> Self {
        Constant {
            dims: vec![values.len()],
            values: Values::Integers(values),
        }
    }

    /// A constant that has as many values as its dimensions say.
    fn new(dims: Vec<usize>, values: Values) -> Result<Self, String> {
        let size = dims.iter().try_fold(1usize, |size, &dim| size.checked_mul(dim));
        if size != Some(values.len()) {
            return Err(format!("{} values can't have the dimensions {dims:?}", values.len()));
        }
        Ok(Constant { dims, values })
    }

    /// The values of a tensor in the file.
    pub(super) fn read(tensor: &Tensor<'_>) -> Result<Self, String> {
        let refuse = |message: String| format!("the tensor `{}` {message}", tensor.name);
        if tensor.external {
            return Err(refuse(
                "has its values in another file: save the model with all tensors in one file".into(),
            ));
        }
        let dims = tensor.dims.iter().map(|&dim| usize::try_from(dim));
        let dims: Vec<usize> = dims
            .collect::<Result<_, _>>()
            .map_err(|_| refuse(format!("has the dimensions {:?}", tensor.dims)))?;
        let values = match (tensor.data_type, tensor.raw) {
            (data_type::FLOAT, Some(raw)) => numbers(raw, |b| f32::from_le_bytes(b) as Float).map(Values::Floats),
            (data_type::FLOAT, None) => Some(Values::Floats(tensor.floats.iter().map(|&v| v as Float).collect())),
            (data_type::DOUBLE, Some(raw)) => numbers(raw, |b| f64::from_le_bytes(b) as Float).map(Values::Floats),
            (data_type::DOUBLE, None) => Some(Values::Floats(tensor.doubles.iter().map(|&v| v as Float).collect())),
            (data_type::INT64, Some(raw)) => numbers(raw, i64::from_le_bytes).map(Values::Integers),
            (data_type::INT32, Some(raw)) => numbers(raw, |b| i32::from_le_bytes(b).into()).map(Values::Integers),
            (data_type::INT64 | data_type::INT32, None) => Some(Values::Integers(tensor.integers.clone())),
            (other, _) => {
                return Err(refuse(format!(
                    "is of ONNX's type {other}: only float, double, int32 and int64 can be imported"
                )));
            }
        };
        let values = values.ok_or_else(|| refuse("ends in the middle of a number".into()))?;
        let found = values.len();
        Constant::new(dims, values)
            .map_err(|_| refuse(format!("has the dimensions {:?} and {found} values", tensor.dims)))
    }

    /// Numbers with a fraction.
    pub(super) fn floats(&self) -> Result<&[Float], String> {
        match &self.values {
            Values::Floats(values) => Ok(values),
            Values::Integers(_) => Err("a constant of integers is where numbers with a fraction are expected".into()),
        }
    }

    /// A single number.
    pub(super) fn scalar(&self) -> Option<Float> {
        match self.values {
            Values::Floats(ref values) if values.len() == 1 => Some(values[0]),
            _ => None,
        }
    }

    /// Integers, such as a shape or axes.
    pub(super) fn whole(&self) -> Result<&[i64], String> {
        match &self.values {
            Values::Integers(values) => Ok(values),
            Values::Floats(_) => Err("a constant of numbers with a fraction is where integers are expected".into()),
        }
    }

    fn with_dims(&self, dims: Vec<usize>) -> Result<Self, String> {
        Constant::new(dims, self.values.clone())
    }

    /// A matrix turned, or any tensor with its axes in this order.
    pub(super) fn transposed(&self, order: &[usize]) -> Result<Self, String> {
        let dims = permuted(&self.dims, order)?;
        let strides = permuted(&strides(&self.dims), order)?;
        let places = places(&dims, &strides);
        let values = match &self.values {
            Values::Floats(values) => Values::Floats(places.map(|i| values[i]).collect()),
            Values::Integers(values) => Values::Integers(places.map(|i| values[i]).collect()),
        };
        Constant::new(dims, values)
    }
}

/// The numbers in these bytes, if they are whole.
pub(super) fn numbers<const N: usize, T>(raw: &[u8], number: impl Fn([u8; N]) -> T) -> Option<Vec<T>> {
    let (numbers, rest) = raw.as_chunks();
    rest.is_empty().then(|| numbers.iter().copied().map(number).collect())
}

/// How far apart neighbors along each axis lie.
pub(super) fn strides(dims: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; dims.len()];
    for axis in (1..dims.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(dims[axis]);
    }
    strides
}

/// The places of all elements in a memory with these strides, row by row.
pub(super) fn places<'a>(dims: &'a [usize], strides: &'a [usize]) -> impl Iterator<Item = usize> + 'a {
    // Of axes without elements the others may be of any size.
    let count = dims
        .iter()
        .try_fold(1usize, |count, &dim| count.checked_mul(dim))
        .unwrap_or(0);
    let mut index = vec![0; dims.len()];
    let mut place = 0;
    (0..count).map(move |_| {
        let here = place;
        for axis in (0..dims.len()).rev() {
            index[axis] += 1;
            place += strides[axis];
            if index[axis] < dims[axis] {
                break;
            }
            place -= strides[axis] * dims[axis];
            index[axis] = 0;
        }
        here
    })
}

/// These values in this order, which names each axis once.
pub(super) fn permuted(values: &[usize], order: &[usize]) -> Result<Vec<usize>, String> {
    let mut sorted = order.to_vec();
    sorted.sort_unstable();
    if !sorted.iter().copied().eq(0..values.len()) {
        return Err(format!("{order:?} is no order of {} axes", values.len()));
    }
    Ok(order.iter().map(|&axis| values[axis]).collect())
}

/// What an operator makes of constants; `None` if it is none that is folded.
pub(super) fn fold(node: &Operands<'_, '_>) -> Result<Option<Constant>, String> {
    let x = |i: usize| node.constant(i);
    Ok(Some(match node.operator() {
        "Constant" => constant(node)?,
        "Identity" | "Dropout" => x(0)?.clone(),
        "Cast" => cast(x(0)?, node.integer("to", 0)?)?,
        "Flatten" => {
            let dims = &x(0)?.dims;
            let axis = flatten_axis(node.integer("axis", 1)?, dims.len())?;
            let (rows, columns) = dims.split_at(axis);
            let size = |dims: &[usize]| dims.iter().fold(1usize, |size, &dim| size.saturating_mul(dim));
            x(0)?.with_dims(vec![size(rows), size(columns)])?
        }
        "Reshape" => reshape(x(0)?, x(1)?.whole()?)?,
        "Transpose" => {
            let order = node.order(x(0)?.dims.len())?;
            x(0)?.transposed(&order)?
        }
        "Unsqueeze" => {
            let axes = node.axes(1)?.ok_or("it names no axes")?;
            let dims = unsqueezed(&x(0)?.dims, &axes)?;
            x(0)?.with_dims(dims)?
        }
        "Squeeze" => {
            let dims = squeezed(&x(0)?.dims, node.axes(1)?.as_deref())?;
            x(0)?.with_dims(dims)?
        }
        "Concat" => concatenated(node)?,
        "Gather" => gathered(x(0)?, x(1)?, node.integer("axis", 0)?)?,
        "Slice" => sliced(node)?,
        "Add" => arithmetic(x(0)?, x(1)?, |a, b| a + b)?,
        "Sub" => arithmetic(x(0)?, x(1)?, |a, b| a - b)?,
        "Mul" => arithmetic(x(0)?, x(1)?, |a, b| a * b)?,
        "Div" => arithmetic(x(0)?, x(1)?, |a, b| a / b)?,
        "Neg" => Constant::new(
            x(0)?.dims.clone(),
            Values::Floats(x(0)?.floats()?.iter().map(|v| -v).collect()),
        )?,
        "Sqrt" => Constant::new(
            x(0)?.dims.clone(),
            Values::Floats(x(0)?.floats()?.iter().map(|v| v.sqrt()).collect()),
        )?,
        _ => return Ok(None),
    }))
}

fn constant(node: &Operands<'_, '_>) -> Result<Constant, String> {
    if let Some(tensor) = node.tensor("value") {
        return Constant::read(tensor);
    }
    if let Some(value) = node.given_float("value_float") {
        return Constant::new(vec![], Values::Floats(vec![value as Float]));
    }
    if let Some(value) = node.given_integer("value_int") {
        return Constant::new(vec![], Values::Integers(vec![value]));
    }
    if let Some(values) = node.floats("value_floats") {
        let values = values.iter().map(|&value| value as Float).collect::<Vec<_>>();
        return Constant::new(vec![values.len()], Values::Floats(values));
    }
    match node.integers("value_ints") {
        Some(values) => Ok(Constant::integers(values.to_vec())),
        None => Err("its value is of a kind that can't be imported".into()),
    }
}

fn cast(x: &Constant, to: i64) -> Result<Constant, String> {
    let values = match (&x.values, to) {
        (Values::Floats(values), data_type::FLOAT | data_type::DOUBLE) => Values::Floats(values.clone()),
        (Values::Integers(values), data_type::INT32 | data_type::INT64) => Values::Integers(values.clone()),
        (Values::Integers(values), data_type::FLOAT | data_type::DOUBLE) if !values.contains(&SAMPLES) => {
            Values::Floats(values.iter().map(|&value| value as Float).collect())
        }
        _ => return Err(format!("a constant can't be cast to ONNX's type {to}")),
    };
    Constant::new(x.dims.clone(), values)
}

fn reshape(x: &Constant, shape: &[i64]) -> Result<Constant, String> {
    let known = |(i, &dim): (usize, &i64)| match dim {
        0 => x.dims.get(i).copied().ok_or(()),
        -1 => Ok(1),
        _ => usize::try_from(dim).map_err(drop),
    };
    let refuse = || format!("it gives {:?} the shape {shape:?}", x.dims);
    let mut dims: Vec<usize> =
        (shape.iter().enumerate().map(known).collect::<Result<_, _>>()).map_err(|()| refuse())?;
    if let Some(free) = shape.iter().position(|&dim| dim == -1) {
        let size = dims.iter().try_fold(1usize, |size, &dim| size.checked_mul(dim));
        dims[free] = (size.and_then(|size| x.values.len().checked_div(size))).ok_or_else(refuse)?;
    }
    x.with_dims(dims)
}

/// An axis that may be counted from the end.
pub(super) fn axis(axis: i64, rank: usize) -> Result<usize, String> {
    let counted = if axis < 0 {
        axis.checked_add(rank as i64)
    } else {
        Some(axis)
    };
    (counted.and_then(|axis| usize::try_from(axis).ok()))
        .filter(|&axis| axis < rank)
        .ok_or_else(|| format!("there is no axis {axis} among {rank}"))
}

/// The axis of Flatten: the first of those that go into columns. It may be behind the last, and then there is one column.
pub(super) fn flatten_axis(first: i64, rank: usize) -> Result<usize, String> {
    if first == rank as i64 {
        Ok(rank)
    } else {
        axis(first, rank)
    }
}

/// Dimensions with ones put in at these axes of the result.
pub(super) fn unsqueezed(dims: &[usize], axes: &[i64]) -> Result<Vec<usize>, String> {
    let rank = dims.len() + axes.len();
    let mut ones = axes.iter().map(|&a| axis(a, rank)).collect::<Result<Vec<_>, _>>()?;
    ones.sort_unstable();
    ones.dedup();
    if ones.len() != axes.len() {
        return Err(format!("it names an axis twice: {axes:?}"));
    }
    let mut rest = dims.iter();
    Ok((0..rank)
        .filter_map(|axis| {
            if ones.contains(&axis) {
                Some(1)
            } else {
                rest.next().copied()
            }
        })
        .collect())
}

/// Dimensions without the ones at these axes, or without any.
pub(super) fn squeezed(dims: &[usize], axes: Option<&[i64]>) -> Result<Vec<usize>, String> {
    let drop = match axes {
        None => (0..dims.len()).filter(|&axis| dims[axis] == 1).collect(),
        Some(axes) => axes
            .iter()
            .map(|&a| axis(a, dims.len()))
            .collect::<Result<Vec<_>, _>>()?,
    };
    if let Some(&axis) = drop.iter().find(|&&axis| dims[axis] != 1) {
        return Err(format!("it drops axis {axis} of {dims:?}, which is not 1"));
    }
    Ok((0..dims.len())
        .filter(|axis| !drop.contains(axis))
        .map(|axis| dims[axis])
        .collect())
}

/// Integers in a row: what shapes are made of.
fn row(x: &Constant) -> Result<&[i64], String> {
    match x.dims[..] {
        [] | [_] => x.whole(),
        _ => Err("only rows of integers are computed with when a graph is read".into()),
    }
}

fn concatenated(node: &Operands<'_, '_>) -> Result<Constant, String> {
    let mut values = Vec::new();
    for i in 0..node.inputs() {
        values.extend_from_slice(row(node.constant(i)?)?);
        // Nothing that shapes are made of is long; and a row that is put beside itself again and again grows without end.
        if values.len() > 64 {
            return Err("it makes a constant of more than 64 integers".into());
        }
    }
    Ok(Constant::integers(values))
}

fn gathered(x: &Constant, indices: &Constant, along: i64) -> Result<Constant, String> {
    let values = row(x)?;
    axis(along, 1)?;
    let picked = indices.whole()?.iter().map(|&i| Ok(values[axis(i, values.len())?]));
    Constant::new(
        indices.dims.clone(),
        Values::Integers(picked.collect::<Result<_, String>>()?),
    )
}

fn sliced(node: &Operands<'_, '_>) -> Result<Constant, String> {
    let values = row(node.constant(0)?)?;
    let bound = |name: &str, i: usize| -> Result<Option<i64>, String> {
        let given = match node.integers(name) {
            Some(given) => given,
            None if i < node.inputs() => node.constant(i)?.whole()?,
            None => return Ok(None),
        };
        match given {
            [one] => Ok(Some(*one)),
            _ => Err("it cuts along several axes".into()),
        }
    };
    if bound("steps", 4)?.is_some_and(|step| step != 1)
        || bound("axes", 3)?.is_some_and(|axis| ![0, -1].contains(&axis))
    {
        return Err("it cuts in steps, or along another axis than the first".into());
    }
    let length = values.len() as i64;
    let place = |bound: i64| if bound < 0 { bound.saturating_add(length) } else { bound }.clamp(0, length) as usize;
    let start = place(bound("starts", 1)?.ok_or("it names no start")?);
    let end = place(bound("ends", 2)?.ok_or("it names no end")?);
    Ok(Constant::integers(values[start..end.max(start)].to_vec()))
}

fn arithmetic(a: &Constant, b: &Constant, compute: impl Fn(Float, Float) -> Float) -> Result<Constant, String> {
    let (x, y) = (a.floats()?, b.floats()?);
    let (dims, values) = match (x.len(), y.len()) {
        _ if a.dims == b.dims => (&a.dims, x.iter().zip(y).map(|(&x, &y)| compute(x, y)).collect()),
        (_, 1) => (&a.dims, x.iter().map(|&x| compute(x, y[0])).collect()),
        (1, _) => (&b.dims, y.iter().map(|&y| compute(x[0], y)).collect()),
        _ => return Err(format!("constants of {:?} and {:?} can't be combined", a.dims, b.dims)),
    };
    Constant::new(dims.clone(), Values::Floats(values))
}

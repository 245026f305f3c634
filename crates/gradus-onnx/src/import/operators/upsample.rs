//! Resize, and Upsample of earlier versions, where they enlarge images by whole factors.

use gradus::{Float, Upsample2d};

use super::Reader;
use crate::import::constant::{SAMPLES, axis};
use crate::import::operands::Operands;
use crate::import::value::Value;

/// The first version in which Resize has an attribute for the positions of pixels.
const WITH_POSITIONS: i64 = 11;

impl<'a> Reader<'a> {
    /// `antialias` is not looked at: it has an effect only where images become smaller.
    pub(super) fn upsample(&mut self, node: &Operands<'_, 'a>) -> Result<Value, String> {
        let x = self.image_or_sequence(node)?;
        let &[channels, height, width] = &x.dims[..] else {
            return Err(format!(
                "its input has the dimensions {:?}: only images of channels × height × width can be imported",
                x.dims
            ));
        };
        let old = node.operator() == "Upsample" || node.opset < WITH_POSITIONS;
        let scale = self.scale(node, [channels, height, width], old)?;
        let layer = match text(node, "mode", "nearest").as_str() {
            "nearest" => {
                nearest(node, scale, old)?;
                Upsample2d::new(scale)
            }
            "linear" => {
                linear(node, old)?;
                Upsample2d::new(scale).bilinear()
            }
            other => {
                return Err(format!(
                    "its mode is `{other}`: only `nearest` and `linear` can be imported"
                ));
            }
        };
        let step = self.steps.layer(x.step, layer, vec![])?;
        Ok(self.fresh(step))
    }

    /// How many times as high and as wide as a sample the output is.
    fn scale(&self, node: &Operands<'_, 'a>, sample: [usize; 3], old: bool) -> Result<[usize; 2], String> {
        let spatial = spatial_axes_only(node)?;
        if let Some(scales) = node.floats("scales") {
            let scales: Vec<Float> = scales.iter().map(|&scale| scale as Float).collect();
            return scale_of_scales(&scales, spatial);
        }
        let (scales, sizes) = match old {
            true => (node.optional(1)?, None),
            false => (node.optional(2)?, node.optional(3)?),
        };
        match (scales, sizes) {
            // An empty tensor stands for none where there are sizes.
            (Some(scales), _) if sizes.is_none() || scales.values.len() > 0 => {
                scale_of_scales(scales.floats()?, spatial)
            }
            (_, Some(_)) if !matches!(node.text("keep_aspect_ratio_policy"), None | Some(b"stretch")) => Err(
                "it keeps the image's aspect ratio (keep_aspect_ratio_policy): only `stretch` can be imported".into(),
            ),
            (_, Some(sizes)) => scale_of_sizes(sizes.whole()?, spatial, sample, self.samples.unwrap_or(1)),
            (_, None) => Err("it has neither scales nor sizes".into()),
        }
    }
}

fn scale_of_scales(scales: &[Float], spatial: bool) -> Result<[usize; 2], String> {
    // From here on, single precision lacks some integers.
    let most = (1 << 24) as Float;
    let is_whole = |scale: Float| (1.0..=most).contains(&scale) && scale.fract() == 0.0;
    match *scales {
        [rows, columns] if spatial && is_whole(rows) && is_whole(columns) => Ok([rows as usize, columns as usize]),
        [1.0, 1.0, rows, columns] if !spatial && is_whole(rows) && is_whole(columns) => {
            Ok([rows as usize, columns as usize])
        }
        _ => Err(format!(
            "its scales are {scales:?}: only whole factors of the height and the width of images can be imported"
        )),
    }
}

fn scale_of_sizes(sizes: &[i64], spatial: bool, sample: [usize; 3], samples: i64) -> Result<[usize; 2], String> {
    let [channels, height, width] = sample;
    let factor = |to: i64, from: usize| {
        let to = usize::try_from(to).ok().filter(|to| *to > 0 && to.is_multiple_of(from));
        to.map(|to| to / from)
    };
    let scale = match *sizes {
        [rows, columns] if spatial => factor(rows, height).zip(factor(columns, width)),
        [first, second, rows, columns]
            if !spatial && [SAMPLES, samples].contains(&first) && second == channels as i64 =>
        {
            factor(rows, height).zip(factor(columns, width))
        }
        _ => None,
    };
    scale.map(|(rows, columns)| [rows, columns]).ok_or_else(|| {
        let name = |&size: &i64| match size {
            SAMPLES => "samples".into(),
            size => size.to_string(),
        };
        format!(
            "its sizes are [{}] of samples of {sample:?}: only multiples of the height and the width of images can be imported",
            sizes.iter().map(name).collect::<Vec<String>>().join(", ")
        )
    })
}

/// Whether scales and sizes are those of height and width alone.
fn spatial_axes_only(node: &Operands<'_, '_>) -> Result<bool, String> {
    let Some(axes) = node.integers("axes") else {
        return Ok(false);
    };
    let found = axes.iter().map(|&a| axis(a, 4)).collect::<Result<Vec<_>, _>>()?;
    match found[..] {
        [2, 3] => Ok(true),
        [0, 1, 2, 3] => Ok(false),
        _ => Err(format!(
            "it resizes the axes {axes:?}: only the height and the width of images, [2, 3], can be imported"
        )),
    }
}

/// Refuses positions of pixels and roundings that do not repeat each pixel `scale` times.
fn nearest(node: &Operands<'_, '_>, scale: [usize; 2], old: bool) -> Result<(), String> {
    if old {
        return Ok(());
    }
    let positions = positions(node);
    let rounding = text(node, "nearest_mode", "round_prefer_floor");
    if scale.iter().all(|&scale| repeats(&positions, &rounding, scale as i128)) {
        return Ok(());
    }
    let [rows, columns] = scale;
    Err(format!(
        "it does not repeat each pixel {rows}×{columns} times, as coordinate_transformation_mode `{positions}` with nearest_mode \
         `{rounding}` takes them: only what does can be imported, such as `asymmetric` with `floor`"
    ))
}

/// Whether the first `scale` outputs are the first pixel, and so on.
fn repeats(positions: &str, rounding: &str, scale: i128) -> bool {
    // All positions are in parts of a pixel, which are whole numbers.
    let parts = 2 * scale;
    let pixel = |output: i128| {
        let position = match positions {
            "asymmetric" => 2 * output,
            "tf_half_pixel_for_nn" => 2 * output + 1,
            _ if is_half_pixel(positions) => 2 * output + 1 - scale,
            _ => return None,
        };
        let ceiling = |position: i128| -(-position).div_euclid(parts);
        match rounding {
            "floor" => Some(position.div_euclid(parts)),
            "ceil" => Some(ceiling(position)),
            "round_prefer_floor" => Some(ceiling(position - scale)),
            "round_prefer_ceil" => Some((position + scale).div_euclid(parts)),
            _ => None,
        }
    };
    // The pixels of the outputs between are not before the first and not behind the last.
    pixel(0) == Some(0) && pixel(scale - 1) == Some(0)
}

/// Refuses positions of pixels other than their centers.
fn linear(node: &Operands<'_, '_>, old: bool) -> Result<(), String> {
    if old {
        return Err(format!(
            "its mode is `linear`, which before version {WITH_POSITIONS} of the operators takes pixels by their corners: only by their \
             centers (coordinate_transformation_mode `half_pixel`) can be imported; export with version {WITH_POSITIONS} or later"
        ));
    }
    let positions = positions(node);
    if is_half_pixel(&positions) {
        return Ok(());
    }
    Err(format!(
        "its coordinate_transformation_mode is `{positions}`: in mode `linear`, only `half_pixel` can be imported (of PyTorch, \
         align_corners=False)"
    ))
}

fn positions(node: &Operands<'_, '_>) -> String {
    text(node, "coordinate_transformation_mode", "half_pixel")
}

/// These differ only where an axis of several pixels becomes one, or the output is no whole multiple.
fn is_half_pixel(positions: &str) -> bool {
    ["half_pixel", "pytorch_half_pixel", "half_pixel_symmetric"].contains(&positions)
}

fn text(node: &Operands<'_, '_>, name: &str, usual: &str) -> String {
    match node.text(name) {
        Some(text) => String::from_utf8_lossy(text).into_owned(),
        None => usual.into(),
    }
}

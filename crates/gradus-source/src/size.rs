//! What a file needs on a microcontroller.

use std::fmt;

use crate::calls::{Argument, Listing};
use crate::kernels;

/// Bytes of flash and RAM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sizes {
    /// Weights and other tables, in flash: exactly.
    pub tables: usize,
    /// Code, in flash: about, for a Cortex-M4 with `-Os`. Compilers and their options differ.
    pub code: usize,
    /// The buffer, in RAM: exactly.
    pub buffer: usize,
    /// The input, which is the caller's.
    pub input: usize,
    /// The output, which is the caller's.
    pub output: usize,
}

/// The bytes of a window in tables: fifteen numbers.
const WINDOW: usize = 60;
/// The code of a call and its arguments.
const CALL: usize = 45;
/// The code that finds the class, and in integers makes bytes of numbers and numbers of bytes.
const CLASS: [usize; 2] = [40, 50];

/// The bytes of code of each operation with what it uses, in floats and in integers, as `arm-none-eabi-gcc` 12.2 makes them for a
/// Cortex-M4 with an FPU (`-Os -mfpu=fpv4-sp-d16 -mfloat-abi=hard`), about: it
/// inlines what is called once, or small.
const CODE: [(&str, [usize; 2]); 49] = [
    ("axis", [0, 0]),
    ("window", [0, 0]),
    ("first_tap", [40, 40]),
    ("end_tap", [44, 44]),
    ("pixel", [18, 18]),
    ("position", [18, 18]),
    ("polynomial", [40, 0]),
    ("power_of_two", [10, 0]),
    ("exp", [150, 0]),
    ("ln", [156, 0]),
    ("magnitude", [16, 0]),
    ("tanh", [136, 0]),
    ("erf", [130, 0]),
    ("logistic", [64, 0]),
    ("relu", [30, 0]),
    ("leaky_relu", [44, 0]),
    ("elu", [70, 0]),
    ("gelu", [60, 0]),
    ("silu", [36, 0]),
    ("softplus", [120, 0]),
    ("sigmoid", [28, 0]),
    ("hyperbolic", [28, 0]),
    ("clamp", [52, 0]),
    ("hard_sigmoid", [60, 0]),
    ("hard_swish", [64, 0]),
    ("selu", [50, 0]),
    ("mish", [90, 0]),
    ("gelu_tanh", [90, 0]),
    ("softmax", [108, 146]),
    ("prelu", [40, 0]),
    ("log_softmax", [140, 0]),
    ("root", [60, 0]),
    ("normalize", [180, 0]),
    ("byte", [0, 0]),
    ("dense", [92, 226]),
    ("conv2d", [380, 504]),
    ("max_pool2d", [274, 196]),
    ("avg_pool2d", [280, 370]),
    ("upsample_nearest", [86, 68]),
    ("crop", [80, 72]),
    ("upsample_bilinear", [310, 264]),
    ("add", [52, 180]),
    ("multiply", [40, 150]),
    ("copy_into", [24, 110]),
    ("map", [0, 20]),
    ("standardize", [40, 0]),
    ("rescale", [40, 0]),
    ("nearest", [0, 60]),
    ("copy", [18, 22]),
];

impl Sizes {
    pub(crate) fn of(listing: &Listing, classes: &[String]) -> Sizes {
        let arguments = listing.calls.iter().flat_map(|call| &call.arguments);
        let tables = arguments.map(|argument| match argument {
            Argument::Table(_, table) => table.bytes(),
            Argument::Window(_) => WINDOW,
            _ => 0,
        });
        let names = classes.iter().map(|name| name.len() + 5);
        let integer = listing.bytes.is_some();
        let functions: Vec<String> = (listing.functions().iter())
            .map(|function| format!("gradus_{function}"))
            .collect();
        let units = (listing.bytes.iter()).map(|bytes| bytes.input.table_bytes() + bytes.output.table_bytes());
        let code = kernels::used(kernels::c(integer), &functions).into_iter().map(|piece| {
            let name = kernels::name(piece).unwrap_or_default().trim_start_matches("gradus_");
            let known = CODE.iter().find(|(known, _)| *known == name);
            known.map_or(0, |(_, bytes)| bytes[usize::from(integer)])
        });
        let element = listing.element();
        Sizes {
            tables: tables.sum::<usize>() + names.sum::<usize>() + units.sum::<usize>(),
            code: code.sum::<usize>() + CALL * listing.calls.len() + CLASS[usize::from(integer)],
            buffer: element * listing.buffer,
            input: element * listing.values[0],
            output: element * listing.outputs(),
        }
    }

    /// Tables and code.
    pub fn flash(&self) -> usize {
        self.tables + self.code
    }

    /// The buffer, and the caller's input and output.
    pub fn ram(&self) -> usize {
        self.buffer + self.input + self.output
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sizes {
            tables,
            code,
            buffer,
            input,
            output,
        } = self;
        writeln!(
            f,
            "flash {} bytes: {tables} of tables and about {code} of code (Cortex-M4, -Os)",
            self.flash()
        )?;
        write!(
            f,
            "RAM   {} bytes: {buffer} of buffer, {input} of input and {output} of output; beside them, some stack",
            self.ram()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_every_operation_is_known() {
        for integer in [false, true] {
            for piece in kernels::c(integer).iter().flat_map(|file| file.split("\n\n")) {
                let Some(name) = kernels::name(piece) else { continue };
                let name = name.trim_start_matches("gradus_");
                assert!(CODE.iter().any(|(known, _)| *known == name), "{name}");
            }
        }
    }
}

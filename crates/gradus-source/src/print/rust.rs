//! Rust files.

use std::fmt::Write;

use super::{Labels, wrapped};
use crate::bytes::Units;
use crate::calls::{Argument, Bytes, Call, Listing, Table};
use crate::kernels;
use crate::kernels::window::{Axis, Window};
use crate::memory::Place;

/// The whole file. Writing to a `String` can't fail.
pub(super) fn print(listing: &Listing, about: &[String], labels: &Labels) -> String {
    let mut out = String::new();
    let element = if listing.bytes.is_some() { "u8" } else { "f32" };
    for line in about {
        let _ = writeln!(out, "{}", format!("//! {line}").trim_end());
    }
    out.push_str(
        "//! As a module of your program, `mod network;`: `let mut network = network::Network::new();`, and then\n\
         //! `network.predict(&input, &mut output);`. It needs no heap and nothing but the core library.\n\n",
    );
    let (inputs, outputs) = (listing.values[0], listing.outputs());
    let _ = write!(
        out,
        "/// The values of an input.\npub const INPUTS: usize = {inputs};\n\
         /// The values of an output.\npub const OUTPUTS: usize = {outputs};\n"
    );
    if !labels.classes.is_empty() {
        let names = labels.classes.iter().map(|name| format!("{name:?}"));
        let count = labels.classes.len();
        let _ = write!(
            out,
            "/// The names of the classes.\n#[allow(dead_code)]\npub const CLASSES: [&str; {count}] = [\n{}];\n",
            wrapped(names)
        );
    }
    predict(&mut out, listing, element);
    if !labels.classes.is_empty() {
        class(&mut out, listing, element);
    }
    if let Some(bytes) = &listing.bytes {
        quantization(&mut out, bytes);
    }
    for piece in kernels::used(kernels::rust(listing.bytes.is_some()), &listing.functions()) {
        let _ = write!(out, "\n{}\n", piece.replace("pub(crate) ", ""));
    }
    for call in &listing.calls {
        for argument in &call.arguments {
            match argument {
                Argument::Table(what, table) => print_table(&mut out, what, call, table),
                Argument::Window(window) => print_window(&mut out, call, window),
                _ => {}
            }
        }
    }
    out
}

fn predict(out: &mut String, listing: &Listing, element: &str) {
    let size = listing.buffer;
    let unused = if size == 0 { "    #[allow(dead_code)]\n" } else { "" };
    let zero = if element == "f32" { "0.0" } else { "0" };
    let _ = write!(
        out,
        "\n/// The network, with the memory that it computes in.\npub struct Network {{\n{unused}    buffer: [{element}; {size}],\n}}\n\n\
         impl Network {{\n    /// The network, its memory being empty.\n    #[allow(clippy::new_without_default)]\n    \
         pub const fn new() -> Self {{\n        Network {{ buffer: [{zero}; {size}] }}\n    }}\n\n    \
         /// Computes the output of an input.\n    \
         pub fn predict(&mut self, input: &[{element}; INPUTS], output: &mut [{element}; OUTPUTS]) {{\n"
    );
    let mut has_pairs = false;
    for call in &listing.calls {
        let _ = writeln!(out, "        // {}", call.label);
        let x = call.x.map(|x| (listing.places[x], listing.values[x]));
        let y = (listing.places[call.y], listing.values[call.y]);
        let arguments: String = call
            .arguments
            .iter()
            .map(|a| format!(", {}", argument(call, a)))
            .collect();
        let (x, y) = match (x, y) {
            (Some((Place::Buffer(x), m)), (Place::Buffer(y), n)) => {
                has_pairs = true;
                let _ = writeln!(
                    out,
                    "        let (x, y) = pair(&mut self.buffer, {x}..{}, {y}..{});",
                    x + m,
                    y + n
                );
                (Some("x".to_string()), "y".to_string())
            }
            (x, (y, n)) => {
                let x = x.map(|(x, m)| match x {
                    Place::Buffer(x) => format!("&self.buffer[{x}..{}]", x + m),
                    Place::Output => "&output[..]".into(),
                    Place::Input | Place::None => "&input[..]".into(),
                });
                let y = match y {
                    Place::Buffer(y) => format!("&mut self.buffer[{y}..{}]", y + n),
                    _ => "&mut output[..]".into(),
                };
                (x, y)
            }
        };
        let x = x.map_or(String::new(), |x| format!("{x}, "));
        let _ = writeln!(out, "        {}({x}{y}{arguments});", call.function);
    }
    out.push_str("    }\n}\n");
    if has_pairs {
        let _ = write!(
            out,
            "\n/// Two parts of the buffer, which do not overlap: one to read, one to write.\n\
             fn pair(\n    buffer: &mut [{element}],\n    x: core::ops::Range<usize>,\n    y: core::ops::Range<usize>,\n) \
             -> (&[{element}], &mut [{element}]) {{\n    if x.start < y.start {{\n        \
             let (low, high) = buffer.split_at_mut(y.start);\n        (&low[x], &mut high[..y.end - y.start])\n    }} else {{\n        \
             let (low, high) = buffer.split_at_mut(x.start);\n        (&high[..x.end - x.start], &mut low[y])\n    }}\n}}\n"
        );
    }
}

fn class(out: &mut String, listing: &Listing, element: &str) {
    let _ = write!(
        out,
        "\n/// The class that an output stands for.\n#[allow(dead_code)]\npub fn class(output: &[{element}; OUTPUTS]) -> usize {{\n"
    );
    match (listing.outputs(), &listing.bytes) {
        (1, None) => {
            let boundary = if listing.logits { "0.0" } else { "0.5" };
            let _ = write!(out, "    usize::from(output[0] > {boundary})\n}}\n");
        }
        (1, Some(Bytes { boundary, .. })) => {
            let _ = write!(out, "    usize::from(i32::from(output[0]) > {boundary})\n}}\n");
        }
        _ => out.push_str(
            "    let mut best = 0;\n    for (i, y) in output.iter().enumerate() {\n        \
             if *y > output[best] {\n            best = i;\n        }\n    }\n    best\n}\n",
        ),
    }
}

/// From values to bytes and back, and the constants for it.
fn quantization(out: &mut String, bytes: &Bytes) {
    for (of, units) in [("input", &bytes.input), ("output", &bytes.output)] {
        let (upper, zero) = (of.to_uppercase(), units.inside.zero);
        let formula = match &units.each {
            None => {
                let scale = units.inside.scale;
                let _ = write!(
                    out,
                    "\n/// The distance of neighboring bytes of the {of}.\n#[allow(dead_code, clippy::approx_constant)]\n\
                     pub const {upper}_SCALE: f32 = {scale:?};\n"
                );
                format!("a byte q stands for {upper}_SCALE * (q - {upper}_ZERO)")
            }
            Some(tables) => {
                for (what, values) in ["SCALE", "MEAN"].into_iter().zip(tables) {
                    let numbers = wrapped(values.iter().map(|value| format!("{value:?}")));
                    let _ = write!(
                        out,
                        "\n/// For the bytes of the {of}s: see {upper}_ZERO.\n#[rustfmt::skip]\n\
                         #[allow(dead_code, clippy::approx_constant)]\npub static {upper}_{what}: [f32; {upper}S] = [\n{numbers}];\n"
                    );
                }
                format!("a byte q of {of} i stands for {upper}_SCALE[i] * (q - {upper}_ZERO) + {upper}_MEAN[i]")
            }
        };
        let _ = write!(
            out,
            "\n/// For the bytes of the {of}: {formula}.\n#[allow(dead_code)]\npub const {upper}_ZERO: u8 = {zero};\n"
        );
    }
    let (of, mean, scale) = match bytes.input.each {
        Some(_) => ("input i", "INPUT_MEAN[i]", "INPUT_SCALE[i]"),
        None => ("an input value", "0.0", "INPUT_SCALE"),
    };
    let _ = write!(
        out,
        "\n/// The byte of {of}.\n#[allow(dead_code)]\npub fn quantize({}) -> u8 {{\n    \
         nearest(x, {mean}, {scale}, INPUT_ZERO as f32)\n}}\n",
        parameters("x: f32", &bytes.input)
    );
    let (of, mean, scale) = match bytes.output.each {
        Some(_) => ("output i", " + OUTPUT_MEAN[i]", "OUTPUT_SCALE[i]"),
        None => ("an output byte", "", "OUTPUT_SCALE"),
    };
    let _ = write!(
        out,
        "\n/// The value of {of}.\n#[allow(dead_code)]\npub fn dequantize({}) -> f32 {{\n    \
         {scale} * (f32::from(y) - f32::from(OUTPUT_ZERO)){mean}\n}}\n",
        parameters("y: u8", &bytes.output)
    );
}

fn parameters(value: &str, units: &Units) -> String {
    match units.each {
        Some(_) => format!("{value}, i: usize"),
        None => value.into(),
    }
}

fn constant(what: &str, call: &Call) -> String {
    format!("{what}_{}", call.name).to_uppercase()
}

fn argument(call: &Call, argument: &Argument) -> String {
    match argument {
        Argument::Table(what, _) => format!("&{}", constant(what, call)),
        Argument::Window(_) => format!("&{}", constant("window", call)),
        Argument::Integer(value) => value.to_string(),
        Argument::Float(value) => format!("{value:?}"),
        Argument::Flag(value) => value.to_string(),
    }
}

fn print_table(out: &mut String, what: &str, call: &Call, table: &Table) {
    let (kind, numbers) = match table {
        Table::F32(values) => ("f32", wrapped(values.iter().map(|value| format!("{value:?}")))),
        Table::I8(values) => ("i8", wrapped(values.iter().map(i8::to_string))),
        Table::U8(values) => ("u8", wrapped(values.iter().map(u8::to_string))),
        Table::I32(values) => ("i32", wrapped(values.iter().map(i32::to_string))),
        Table::U32(values) => ("u32", wrapped(values.iter().map(u32::to_string))),
    };
    let name = constant(what, call);
    // Some weight will be like a constant.
    let allow = if kind == "f32" {
        "#[allow(clippy::approx_constant)]\n"
    } else {
        ""
    };
    let _ = write!(
        out,
        "\n#[rustfmt::skip]\n{allow}static {name}: [{kind}; {}] = [\n{numbers}];\n",
        table.len()
    );
}

fn print_window(out: &mut String, call: &Call, window: &Window) {
    let axis = |axis: &Axis| {
        let Axis {
            input,
            output,
            kernel,
            stride,
            dilation,
            padding,
        } = axis;
        format!(
            "Axis {{ input: {input}, output: {output}, kernel: {kernel}, stride: {stride}, dilation: {dilation}, padding: {padding} }}"
        )
    };
    let Window {
        inputs,
        outputs,
        groups,
        rows,
        columns,
    } = window;
    let _ = write!(
        out,
        "\nstatic {}: Window = Window {{\n    inputs: {inputs},\n    outputs: {outputs},\n    groups: {groups},\n    rows: {},\n    columns: {},\n}};\n",
        constant("window", call),
        axis(rows),
        axis(columns)
    );
}

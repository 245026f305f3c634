//! C files.

use std::fmt::Write;

use super::{Labels, wrapped};
use crate::bytes::Units;
use crate::calls::{Argument, Bytes, Call, Listing, Table};
use crate::kernels;
use crate::kernels::window::{Axis, Window};
use crate::memory::Place;

/// The whole file. Writing to a `String` can't fail.
pub(super) fn print(listing: &Listing, about: &[String], labels: &Labels) -> String {
    let (prefix, upper) = (&labels.prefix, labels.prefix.to_uppercase());
    let mut head = String::from("/*\n");
    for line in about {
        let line = line.replace("*/", "* /").replace("/*", "/ *").replace("??", "? ?");
        let _ = writeln!(head, "{}", format!(" * {line}").trim_end());
    }
    let _ = write!(
        head,
        " * Compile this file with the others of your program, as C. Where you call it, in C or C++, declare it with\n *     \
         #define {upper}_DECLARATIONS\n *     #include \"this file\"\n * It needs no heap and no library. Its memory is \
         static: one call of {prefix}_predict at a time.\n */\n\n"
    );
    let mut names = String::new();
    if !labels.classes.is_empty() {
        let strings = labels.classes.iter().map(|name| string(name));
        let count = labels.classes.len();
        let _ = write!(
            names,
            "\nconst char *const {prefix}_classes[{count}] = {{\n{}}};\n",
            wrapped(strings)
        );
    }
    // What others have named keeps its name.
    let code = renamed(&code(listing, labels.classes.len()), prefix, &upper);
    format!("{head}{code}{names}\n#endif\n")
}

/// The code with other names than `gradus_` and `GRADUS_`, in one pass, since the new ones may hold these.
fn renamed(code: &str, prefix: &str, upper: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find(['g', 'G']) {
        let (before, word) = rest.split_at(at);
        out.push_str(before);
        let new = [("gradus_", prefix), ("GRADUS_", upper)];
        match new.into_iter().find(|(old, _)| word.starts_with(old)) {
            Some((old, new)) => {
                out.push_str(new);
                out.push('_');
                rest = &word[old.len()..];
            }
            None => {
                out.push_str(&word[..1]);
                rest = &word[1..];
            }
        }
    }
    out + rest
}

fn code(listing: &Listing, classes: usize) -> String {
    let element = if listing.bytes.is_some() { "uint8_t" } else { "float" };
    let mut out = String::from("#include <stdint.h>\n\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n");
    let (inputs, outputs) = (listing.values[0], listing.outputs());
    let _ = write!(
        out,
        "/* The values of an input and of an output. */\n#define GRADUS_INPUTS {inputs}\n#define GRADUS_OUTPUTS {outputs}\n\n\
         /* Computes the output of an input. */\nvoid gradus_predict(const {element} *input, {element} *output);\n"
    );
    if classes > 0 {
        let _ = write!(
            out,
            "\n/* The class that an output stands for, and the names of the classes. */\n\
             int gradus_class(const {element} *output);\nextern const char *const gradus_classes[{classes}];\n"
        );
    }
    if let Some(bytes) = &listing.bytes {
        declare_units(&mut out, "input", &bytes.input, inputs);
        let _ = write!(
            out,
            "\n/* The byte of {}. */\nuint8_t gradus_quantize({});\n",
            described(&bytes.input, "input i", "an input value"),
            parameters("float x", &bytes.input)
        );
        declare_units(&mut out, "output", &bytes.output, outputs);
        let _ = write!(
            out,
            "\n/* The value of {}. */\nfloat gradus_dequantize({});\n",
            described(&bytes.output, "output i", "an output byte"),
            parameters("uint8_t y", &bytes.output)
        );
    }
    out.push_str("\n#ifdef __cplusplus\n}\n#endif\n\n#ifndef GRADUS_DECLARATIONS\n");
    let names: Vec<String> = (listing.functions().iter())
        .map(|function| format!("gradus_{function}"))
        .collect();
    for piece in kernels::used(kernels::c(listing.bytes.is_some()), &names) {
        let _ = write!(out, "\n{piece}\n");
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
    predict(&mut out, listing, element);
    if classes > 0 {
        class(&mut out, listing, element);
    }
    if let Some(bytes) = &listing.bytes {
        quantization(&mut out, bytes);
    }
    out
}

/// The constants by which bytes stand for values.
fn declare_units(out: &mut String, of: &str, units: &Units, count: usize) {
    let (upper, zero) = (of.to_uppercase(), units.inside.zero);
    match &units.each {
        None => {
            let scale = units.inside.scale;
            let _ = write!(
                out,
                "\n/* A byte q of the {of} stands for GRADUS_{upper}_SCALE * (q - GRADUS_{upper}_ZERO). */\n\
                 #define GRADUS_{upper}_SCALE {scale:?}f\n#define GRADUS_{upper}_ZERO {zero}\n"
            );
        }
        Some(_) => {
            let _ = write!(
                out,
                "\n/* A byte q of {of} i stands for gradus_{of}_scale[i] * (q - GRADUS_{upper}_ZERO) + gradus_{of}_mean[i]. */\n\
                 #define GRADUS_{upper}_ZERO {zero}\nextern const float gradus_{of}_scale[{count}];\n\
                 extern const float gradus_{of}_mean[{count}];\n"
            );
        }
    }
}

/// The words for what has a scale of its own, or for what has not.
fn described<'a>(units: &Units, scaled: &'a str, plain: &'a str) -> &'a str {
    if units.each.is_some() { scaled } else { plain }
}

fn parameters(value: &str, units: &Units) -> String {
    match units.each {
        Some(_) => format!("{value}, int32_t i"),
        None => value.into(),
    }
}

/// From values to bytes and back.
fn quantization(out: &mut String, bytes: &Bytes) {
    for (of, units) in [("input", &bytes.input), ("output", &bytes.output)] {
        for (what, values) in ["scale", "mean"].into_iter().zip(units.each.iter().flatten()) {
            let numbers = wrapped(values.iter().map(|value| format!("{value:?}f")));
            let count = values.len();
            let _ = write!(out, "\nconst float gradus_{of}_{what}[{count}] = {{\n{numbers}}};\n");
        }
    }
    let (mean, scale) = match bytes.input.each {
        Some(_) => ("gradus_input_mean[i]", "gradus_input_scale[i]"),
        None => ("0.0f", "GRADUS_INPUT_SCALE"),
    };
    let _ = write!(
        out,
        "\nuint8_t gradus_quantize({}) {{\n    return gradus_nearest(x, {mean}, {scale}, GRADUS_INPUT_ZERO);\n}}\n",
        parameters("float x", &bytes.input)
    );
    let (mean, scale) = match bytes.output.each {
        Some(_) => (" + gradus_output_mean[i]", "gradus_output_scale[i]"),
        None => ("", "GRADUS_OUTPUT_SCALE"),
    };
    let _ = write!(
        out,
        "\nfloat gradus_dequantize({}) {{\n    return {scale} * (float)(y - GRADUS_OUTPUT_ZERO){mean};\n}}\n",
        parameters("uint8_t y", &bytes.output)
    );
}

fn predict(out: &mut String, listing: &Listing, element: &str) {
    if listing.buffer > 0 {
        let _ = write!(
            out,
            "\n/* What is between input and output. */\nstatic {element} gradus_buffer[{}];\n",
            listing.buffer
        );
    }
    let _ = write!(
        out,
        "\nvoid gradus_predict(const {element} *input, {element} *output) {{\n"
    );
    let place = |value: usize| match listing.places[value] {
        Place::Buffer(0) => "gradus_buffer".to_string(),
        Place::Buffer(start) => format!("gradus_buffer + {start}"),
        Place::Output => "output".into(),
        Place::Input | Place::None => "input".into(),
    };
    for call in &listing.calls {
        let values = call.x.into_iter().chain([call.y]).map(place);
        let counts = call.counts.iter().map(usize::to_string);
        let arguments = call.arguments.iter().map(|argument| self::argument(call, argument));
        let all: Vec<String> = values.chain(counts).chain(arguments).collect();
        let _ = writeln!(
            out,
            "    /* {} */\n    gradus_{}({});",
            call.label,
            call.function,
            all.join(", ")
        );
    }
    out.push_str("}\n");
}

fn class(out: &mut String, listing: &Listing, element: &str) {
    let _ = write!(out, "\nint gradus_class(const {element} *output) {{\n");
    match (listing.outputs(), &listing.bytes) {
        (1, None) => {
            let boundary = if listing.logits { "0.0" } else { "0.5" };
            let _ = write!(out, "    return output[0] > {boundary}f;\n}}\n");
        }
        (1, Some(Bytes { boundary, .. })) => {
            let _ = write!(out, "    return output[0] > {boundary};\n}}\n");
        }
        _ => out.push_str(
            "    int i, best = 0;\n    for (i = 1; i < GRADUS_OUTPUTS; i++) {\n        \
             if (output[i] > output[best]) {\n            best = i;\n        }\n    }\n    return best;\n}\n",
        ),
    }
}

/// A string of printable ASCII characters, the rest as octal numbers of its bytes.
fn string(text: &str) -> String {
    let characters = text.bytes().map(|byte| match byte {
        b'"' | b'\\' | b'?' => format!("\\{}", byte as char),
        b' '..=b'~' => (byte as char).to_string(),
        _ => format!("\\{byte:03o}"),
    });
    format!("\"{}\"", characters.collect::<String>())
}

fn argument(call: &Call, argument: &Argument) -> String {
    match argument {
        Argument::Table(what, _) => format!("gradus_{what}_{}", call.name),
        Argument::Window(_) => format!("&gradus_window_{}", call.name),
        Argument::Integer(value) => value.to_string(),
        Argument::Float(value) => format!("{value:?}f"),
        Argument::Flag(value) => u8::from(*value).to_string(),
    }
}

fn print_table(out: &mut String, what: &str, call: &Call, table: &Table) {
    let (kind, numbers) = match table {
        Table::F32(values) => ("float", wrapped(values.iter().map(|value| format!("{value:?}f")))),
        Table::I8(values) => ("int8_t", wrapped(values.iter().map(i8::to_string))),
        Table::U8(values) => ("uint8_t", wrapped(values.iter().map(u8::to_string))),
        Table::I32(values) => ("int32_t", wrapped(values.iter().map(i32::to_string))),
        Table::U32(values) => ("uint32_t", wrapped(values.iter().map(|value| format!("{value}u")))),
    };
    let (name, length) = (&call.name, table.len());
    let _ = write!(
        out,
        "\nstatic const {kind} gradus_{what}_{name}[{length}] = {{\n{numbers}}};\n"
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
        format!("{{{input}, {output}, {kernel}, {stride}, {dilation}, {padding}}}")
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
        "\nstatic const struct gradus_window gradus_window_{} = {{{inputs}, {outputs}, {groups}, {}, {}}};\n",
        call.name,
        axis(rows),
        axis(columns)
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_may_hold_the_old_one() {
        let code = "void gradus_predict(int gr); /* g */\n#define GRADUS_INPUTS 1";
        for (prefix, upper, expected) in [
            (
                "my_GRADUS",
                "MY_GRADUS",
                "void my_GRADUS_predict(int gr); /* g */\n#define MY_GRADUS_INPUTS 1",
            ),
            (
                "gradus_a",
                "GRADUS_A",
                "void gradus_a_predict(int gr); /* g */\n#define GRADUS_A_INPUTS 1",
            ),
            ("x", "X", "void x_predict(int gr); /* g */\n#define X_INPUTS 1"),
        ] {
            assert_eq!(renamed(code, prefix, upper), expected);
        }
    }
}

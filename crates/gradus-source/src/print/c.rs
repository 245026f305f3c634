//! C files.

use std::fmt::Write;

use super::{Labels, wrapped};
use crate::calls::{Argument, Call, Listing, Table};
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
        " * Compile this file with the others of your program. Where you call it, declare it with\n *     \
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
    let code = code(listing, labels.classes.len());
    let code = code
        .replace("gradus_", &format!("{prefix}_"))
        .replace("GRADUS_", &format!("{upper}_"));
    format!("{head}{code}{names}\n#endif\n")
}

fn code(listing: &Listing, classes: usize) -> String {
    let element = if listing.bytes.is_some() { "uint8_t" } else { "float" };
    let mut out = String::from("#include <stdint.h>\n\n");
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
    if listing.bytes.is_some() {
        out.push_str("\n/* The byte of an input value. */\nuint8_t gradus_quantize(float x);\n");
    }
    out.push_str("\n#ifndef GRADUS_DECLARATIONS\n");
    let names: Vec<String> = (listing.calls.iter())
        .map(|call| format!("gradus_{}", call.function))
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
    if let Some((input, ..)) = &listing.bytes {
        let _ = write!(
            out,
            "\nuint8_t gradus_quantize(float x) {{\n    const float q = x / {:?}f + {:?}f + 0.5f;\n    \
             return (uint8_t)(q < 0.0f ? 0.0f : q > 255.0f ? 255.0f : q);\n}}\n",
            input.scale,
            f32::from(input.zero)
        );
    }
    out
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
        (1, None) => out.push_str("    return output[0] > 0.5f;\n}\n"),
        (1, Some((.., half))) => {
            let _ = write!(out, "    return output[0] > {half};\n}}\n");
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

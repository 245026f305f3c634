//! Files from listings.

mod c;
mod rust;

use gradus::{Error, Result, Shape};

use crate::bytes::{Scale, Units};
use crate::calls::Listing;
use crate::program::Program;
use crate::quantize::Quantized;
use crate::size::Sizes;

/// The language of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Rust that needs the core library only, of any edition from 2018 on.
    Rust,
    /// C99 that needs `stdint.h` only.
    C,
}

/// What a file tells of its network.
#[derive(Debug, Clone)]
pub struct Labels {
    /// The first line: what this is.
    pub title: String,
    /// What an input is, in a sentence; may be empty.
    pub input: String,
    /// The names of the classes; none if the network gives values.
    pub classes: Vec<String>,
    /// What C's names begin with.
    pub prefix: String,
}

impl Default for Labels {
    fn default() -> Self {
        Labels {
            title: "A neural network.".into(),
            input: String::new(),
            classes: Vec::new(),
            prefix: "gradus".into(),
        }
    }
}

impl Program {
    /// The file that computes this program.
    ///
    /// # Errors
    /// If the prefix is no name in C, or the classes are not as many as the outputs (two for a single output).
    pub fn source(&self, language: Language, labels: &Labels) -> Result<String> {
        print(
            &Listing::of_program(self),
            [&self.input, &self.output],
            language,
            labels,
        )
    }

    /// What the file needs on a microcontroller.
    pub fn sizes(&self, labels: &Labels) -> Sizes {
        Sizes::of(&Listing::of_program(self), &labels.classes)
    }
}

impl Quantized {
    /// The file that computes this program.
    ///
    /// # Errors
    /// As [`Program::source`].
    pub fn source(&self, language: Language, labels: &Labels) -> Result<String> {
        let shapes = [&self.input, &self.output];
        print(&Listing::of_quantized(self), shapes, language, labels)
    }

    /// What the file needs on a microcontroller.
    pub fn sizes(&self, labels: &Labels) -> Sizes {
        Sizes::of(&Listing::of_quantized(self), &labels.classes)
    }
}

fn print(listing: &Listing, shapes: [&Shape; 2], language: Language, labels: &Labels) -> Result<String> {
    let prefix = &labels.prefix;
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if prefix.is_empty() || !prefix.chars().all(word) || prefix.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(Error::Invalid(format!(
            "the prefix must be a name in C, of letters, digits and underscores, not `{prefix}`"
        )));
    }
    let (classes, outputs) = (labels.classes.len(), listing.outputs());
    if classes != 0 && classes != outputs.max(2) {
        return Err(Error::Invalid(format!(
            "the network has {outputs} outputs, which are {} classes, and there are names for {classes}",
            outputs.max(2)
        )));
    }
    Ok(match language {
        Language::Rust => rust::print(listing, &about(listing, shapes, labels), labels),
        Language::C => c::print(listing, &about(listing, shapes, labels), labels),
    })
}

/// The lines at the top of a file.
fn about(listing: &Listing, [input, output]: [&Shape; 2], labels: &Labels) -> Vec<String> {
    // Names come with files, and may hold anything; some characters can even turn what is seen of a line around.
    let plain = |c: &char| !c.is_control() && !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let one_line = |text: &str| {
        let words: Vec<String> = text
            .split_whitespace()
            .map(|word| word.chars().filter(plain).collect())
            .collect();
        words.join(" ")
    };
    let shape = |shape: &Shape| shape.to_string().replace('×', "x");
    let things = |shape: &Shape, one: &str| format!("{one}{}", if shape.size() == 1 { "" } else { "s" });
    let mut lines = vec![one_line(&labels.title), String::new()];
    let order = match input.image() {
        Some(_) => " (channels x height x width, row after row)",
        None => "",
    };
    let [scaled_input, scaled_output] = listing.scaled;
    let logits = if listing.logits { ", logits" } else { "" };
    match &listing.bytes {
        None => {
            let scaled = |scaled, how| if scaled { how } else { "" };
            lines.push(format!(
                "Input: {}{order} {}{}.",
                shape(input),
                things(input, "float"),
                scaled(scaled_input, ", not scaled: that is done here")
            ));
            lines.push(format!(
                "Output: {} {}{logits}{}.",
                shape(output),
                things(output, "float"),
                scaled(scaled_output, ", in the units of the targets")
            ));
        }
        Some(bytes) => {
            lines.push(format!("Input: {}{order} {}.", shape(input), things(input, "byte")));
            lines.push(format!("       {}: see `quantize`.", meaning("input", &bytes.input)));
            lines.push(format!("Output: {} {}{logits}.", shape(output), things(output, "byte")));
            lines.push(format!(
                "        {}: see `dequantize`.",
                meaning("output", &bytes.output)
            ));
            lines.push("A softmax at the end, if there is one, is left out: the larger, the likelier.".into());
        }
    }
    if !labels.input.is_empty() {
        lines.push(one_line(&labels.input).replace('×', "x"));
    }
    lines.push(String::new());
    let sizes = Sizes::of(listing, &labels.classes).to_string();
    lines.extend(sizes.lines().map(String::from));
    lines.push(String::new());
    lines
}

/// What a byte of the input or the output stands for.
fn meaning(of: &str, units: &Units) -> String {
    let Scale { scale, zero } = units.inside;
    match units.each {
        Some(_) => {
            format!("A byte q of value i stands for {of}_scale[i] * (q - {zero}) + {of}_mean[i], which is not scaled")
        }
        None => format!("A byte q stands for {scale:?} * (q - {zero})"),
    }
}

/// Words in lines of at most 116 characters, indented.
fn wrapped(words: impl Iterator<Item = String>) -> String {
    let mut text = String::new();
    let mut width = 0;
    for word in words {
        if width == 0 || width + word.len() + 2 > 116 {
            text.push_str(if text.is_empty() { "    " } else { ",\n    " });
            width = word.len();
        } else {
            text.push_str(", ");
            width += word.len() + 2;
        }
        text.push_str(&word);
    }
    text.push_str(",\n");
    text
}

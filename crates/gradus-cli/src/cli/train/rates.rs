//! `gradus train --find-rate`: a search for a learning rate instead of a training.

use std::io::Write;
use std::str::FromStr;

use anyhow::{Context, Result, anyhow, bail};
use gradus::save::atomic;
use gradus::{Network, RateCurve, RateFinder};
use serde_json::{Value, json};

use super::job::TrainJob;
use crate::cli::interrupt;
use crate::cli::recipe::Spec;
use crate::numbers::{plural, rate, rounded};
use crate::output::OutputFolder;
use crate::plot;
use crate::suggestion::choose;
use crate::terminal::path_text;

/// The files of a search.
pub(super) const RATES: [&str; 3] = ["rates.csv", "rates.svg", "rates.png"];

/// About how many rows the table of a search has.
const ROWS: usize = 12;

const SETTINGS: [&str; 4] = ["from", "to", "steps", "smoothing"];

/// The settings of a search on the command line, as in `from=1e-5,to=1,steps=200`.
#[derive(Debug, Clone, Copy)]
pub(super) struct FinderOption(RateFinder);

impl FromStr for FinderOption {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut finder = RateFinder::new();
        for (name, value) in Spec::from_str(&format!("rates:{text}"))?.settings {
            let number = value.as_f64();
            let number = number.ok_or_else(|| anyhow!("{name} must be a number, got {value}"))?;
            finder = match &*name {
                "from" => finder.from(number),
                "to" => finder.to(number),
                "smoothing" => finder.smoothing(number),
                "steps" => match value.as_u64().and_then(|steps| usize::try_from(steps).ok()) {
                    Some(steps) => finder.steps(steps),
                    None => bail!("steps must be a whole number, got {value}"),
                },
                _ => bail!(
                    "there is no setting `{name}`; {} {}",
                    choose(&name, SETTINGS),
                    SETTINGS.join(", ")
                ),
            };
        }
        Ok(FinderOption(finder))
    }
}

/// Searches for a rate, writes its files and prints its table; returns the results.
pub(super) fn run(job: &TrainJob<'_>, network: &Network, finder: FinderOption, out: &mut dyn Write) -> Result<Value> {
    let folder = OutputFolder::claim(job.out(), &RATES)?;
    let curve = job
        .find_rate(network, &finder.0)
        .map_err(|error| match error.downcast_ref() {
            Some(gradus::Error::Interrupted { .. }) => interrupt::explained(error),
            _ => error.context(format!("{} on {}", job.name, job.splits.name)),
        })?;
    write_files(job, &curve).map_err(|error| folder.explained(error))?;
    print(job, &curve, out)?;
    let points = curve.points.iter();
    Ok(json!({
        "command": "train",
        "find_rate": true,
        "network": job.name,
        "data": job.splits.name,
        "suggestion": curve.suggestion(),
        "steepest": curve.steepest(),
        "tenth_of_lowest": curve.tenth_of_lowest(),
        "diverged": curve.diverged,
        "points": points.map(|point| json!({
            "learning_rate": point.rate,
            "loss": point.loss,
            "smoothed": point.smoothed,
        })).collect::<Vec<_>>(),
        "out": path_text(job.out()),
    }))
}

fn write_files(job: &TrainJob<'_>, curve: &RateCurve) -> Result<()> {
    let mut csv = String::from("learning_rate,loss,smoothed\n");
    for point in &curve.points {
        csv += &format!("{},{},{}\n", point.rate, point.loss, point.smoothed);
    }
    let path = job.out().join(RATES[0]);
    atomic::write(&path, csv.as_bytes()).with_context(|| path_text(&path))?;
    let title = format!(
        "{} on {}: the loss as the learning rate grows",
        job.name, job.splits.name
    );
    plot::write(job.out(), "rates", &plot::rates(&title, &job.about(), curve))
}

fn print(job: &TrainJob<'_>, curve: &RateCurve, out: &mut dyn Write) -> Result<()> {
    writeln!(out, "{:>13}  {:>10}  {:>10}", "learning rate", "loss", "smoothed")?;
    let every = curve.points.len().div_ceil(ROWS).max(1);
    let last = curve.points.len().saturating_sub(1);
    let rows = curve.points.iter().enumerate();
    for (_, point) in rows.filter(|(i, _)| i % every == 0 || *i == last) {
        let (loss, smoothed) = (rounded(point.loss), rounded(point.smoothed));
        writeln!(out, "{:>13}  {loss:>10}  {smoothed:>10}", rate(point.rate))?;
    }
    if curve.diverged {
        let steps = plural(curve.points.len(), "step");
        writeln!(
            out,
            "The loss grew beyond bounds after {steps}; larger rates were left out."
        )?;
    }
    match (curve.steepest(), curve.tenth_of_lowest()) {
        (Some(steepest), Some(tenth)) => writeln!(
            out,
            "\nThe loss falls fastest at {}; a tenth of the rate of its lowest value is {}.\nSuggestion: --learning-rate {}",
            rate(steepest),
            rate(tenth),
            rate(steepest)
        )?,
        _ => writeln!(
            out,
            "\nThe loss falls at none of these rates: search among others, as in --find-rate=from=1e-9,to=1"
        )?,
    }
    writeln!(out, "The curve is in {}; nothing was trained.", job.out().display())?;
    Ok(())
}

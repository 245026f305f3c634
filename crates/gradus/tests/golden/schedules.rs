//! Every schedule: the factor at each step, or after each epoch's loss.

use gradus::schedule::{
    Constant, Cosine, Exponential, OneCycle, Plateau, Schedule, ScheduleContext, StepDecay, Warmup,
};
use serde_json::Value;

use crate::file::{all, count, from, numbers, text};

fn schedule(kind: &str, settings: &Value) -> Box<dyn Schedule> {
    match kind {
        "step_decay" => Box::new(from::<StepDecay>(settings)),
        "exponential" => Box::new(from::<Exponential>(settings)),
        "cosine" => Box::new(from::<Cosine>(settings)),
        "one_cycle" => Box::new(from::<OneCycle>(settings)),
        "plateau" => Box::new(from::<Plateau>(settings)),
        "warmup" => {
            let steps = count(&settings["steps"]) as u64;
            match text(&settings["then"]) {
                "constant" => Box::new(Warmup::new(steps, Constant)),
                "cosine" => Box::new(Warmup::new(steps, Cosine::default())),
                then => panic!("no schedule {then}"),
            }
        }
        _ => panic!("no schedule {kind}"),
    }
}

/// The factor is computed in f64 in every build.
fn same(when: &str, found: f64, expected: f64) -> Result<(), String> {
    if (found - expected).abs() <= 1e-12 {
        return Ok(());
    }
    Err(format!("the factor {when} is {found}, expected {expected}"))
}

#[test]
fn schedules() {
    all("schedules", "schedules", |case| {
        let schedule = schedule(text(&case["kind"]), &case["settings"]);
        schedule.validate().map_err(|e| e.to_string())?;
        for (step, expected) in numbers(&case["factors"]).into_iter().enumerate() {
            let context = ScheduleContext::new(
                step as u64,
                count(&case["steps"]) as u64,
                count(&case["steps_per_epoch"]) as u64,
                &[],
            );
            same(&format!("at step {step}"), schedule.factor(&context), expected)?;
        }
        Ok(())
    });
}

#[test]
fn plateaus() {
    all("schedules", "plateaus", |case| {
        let schedule = schedule(text(&case["kind"]), &case["settings"]);
        schedule.validate().map_err(|e| e.to_string())?;
        let losses = numbers(&case["losses"]);
        for (epochs, expected) in numbers(&case["factors"]).into_iter().enumerate() {
            let context = ScheduleContext::new(epochs as u64, losses.len() as u64, 1, &losses[..epochs]);
            same(&format!("after {epochs} epochs"), schedule.factor(&context), expected)?;
        }
        Ok(())
    });
}

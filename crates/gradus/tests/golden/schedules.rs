//! Every schedule: the factor at each step, or after each epoch's loss.

use gradus::Registry;
use gradus::schedule::{Schedule, ScheduleContext};
use serde_json::Value;

use crate::file::{all, count, numbers, text};

fn schedule(kind: &str, settings: &Value) -> Box<dyn Schedule> {
    Registry::default().schedule(kind, settings.clone()).unwrap()
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

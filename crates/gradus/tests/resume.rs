//! A run that was interrupted goes on from its checkpoint as if it had never stopped.

mod common;

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::time::Duration;

use common::*;
use gradus::callback::{Callback, EarlyStopping, SaveBest};
use gradus::data::{Bytes, Subset, Target, Targets};
use gradus::history::History;
use gradus::metric::{Average, F1, Meter, Metric, Precision, TopK};
use gradus::prelude::*;
use gradus::save::Checkpoint;
use gradus::schedule::{
    Constant, Cosine, Exponential, OneCycle, Plateau, Schedule, ScheduleContext, StepDecay, Warmup,
};
use gradus::{Error, Float, Registry, Result, Shape};

/// After every step.
const ALWAYS: Duration = Duration::ZERO;
/// Only where something happens.
const NEVER: Duration = Duration::from_secs(3600);

/// 201 training digits in 5 batches of 50, and 100 others.
fn samples() -> (Subset<Bytes>, Subset<Bytes>) {
    let data = digits::load().unwrap().0;
    let part = |range| Subset::new(data.clone(), range).unwrap();
    (part(0..201), part(201..301))
}

/// Training with everything that has something to remember.
fn fit<'a>(validation: &'a Subset<Bytes>, folder: &Path) -> Fit<'a> {
    Fit::new(CrossEntropy::new(), Adam::new(0.01))
        .epochs(6)
        .batch_size(50)
        .clip(Clip::Norm(1.0))
        .schedule(Plateau::new(0, 0.5).min_delta(0.05))
        .augment(Noise)
        .metric(Accuracy)
        .metric(TopK::new(2))
        .metric(F1::new().average(Average::Macro))
        .metric(Precision::new().average(Average::Micro))
        .validation(validation)
        .callback(EarlyStopping::new(2).watch("val_accuracy").min_delta(0.03))
        .callback(SaveBest::new(folder.join("best.safetensors")))
}

/// All that a history has but the seconds.
fn lasting(history: &History) -> Vec<u64> {
    let epochs = history.epochs.iter();
    epochs
        .flat_map(|epoch| epoch.values.iter().chain([&epoch.learning_rate]).map(|v| v.to_bits()))
        .collect()
}

/// Interrupts after so many steps, unless the run ends before.
fn after(steps: usize) -> impl Fn() -> bool {
    let left = Cell::new(steps);
    move || {
        left.set(left.get() - 1);
        left.get() == 0
    }
}

/// Runs a training in pieces of so many steps, each on another number of threads; what it gives must be what a whole one gives.
/// Gives the number of epochs, of which there are 6 at most.
fn pieces_are_the_whole(name: &str, network: fn(u64) -> Network, bfloat16: bool, steps: &[usize]) -> usize {
    let fit = |validation, folder: &Path| fit(validation, folder).bfloat16(bfloat16);
    let (train, validation) = samples();
    let folder = folder(name);
    let mut whole = network(3);
    let expected = fit(&validation, &folder).run(&mut whole, &train).unwrap();
    let best = std::fs::read(folder.join("best.safetensors")).unwrap();
    for &steps in steps {
        let file = folder.join(format!("{steps}.checkpoint"));
        let history = (1..1000).find_map(|piece| {
            // Another seed's weights: they all have to come from the file.
            let mut network = network(if piece == 1 { 3 } else { 4 });
            let fit = fit(&validation, &folder)
                .seed(3)
                .threads(1 + piece % 3)
                .checkpoint(&file, if piece % 2 == 0 { ALWAYS } else { NEVER })
                .interrupt_when(after(steps));
            let fit = if piece == 1 { fit } else { fit.resume(&file) };
            match fit.run(&mut network, &train) {
                Ok(history) => {
                    assert_eq!(
                        all_bits(&network),
                        all_bits(&whole),
                        "{name}: {piece} pieces of {steps} steps"
                    );
                    Some(history)
                }
                Err(Error::Interrupted { checkpoint, .. }) => {
                    assert_eq!(checkpoint.as_ref(), Some(&file));
                    None
                }
                Err(error) => panic!("{error}"),
            }
        });
        assert_eq!(
            lasting(&history.unwrap()),
            lasting(&expected),
            "{name}: pieces of {steps} steps"
        );
        assert!(std::fs::read(folder.join("best.safetensors")).unwrap() == best);
        assert_eq!(Checkpoint::load(&file).unwrap().ended(), expected.epochs.len() < 6);
        eprintln!("{name}: {} epochs", expected.epochs.len());
    }
    expected.epochs.len()
}

#[test]
fn perceptrons_go_on() {
    pieces_are_the_whole("resume-perceptron", perceptron, false, &[1, 2, 5, 7, 11]);
}

#[test]
fn training_in_bfloat16_goes_on() {
    pieces_are_the_whole("resume-bfloat16", perceptron, true, &[7]);
}

#[test]
fn convolutional_networks_with_dropout_go_on() {
    pieces_are_the_whole("resume-convolutional", convolutional, false, &[3, 8]);
}

#[test]
fn residual_networks_with_batch_normalization_go_on() {
    let epochs = pieces_are_the_whole("resume-residual", residual, false, &[4, 9]);
    assert!(epochs < 6, "this one is to stop early");
}

#[test]
fn every_optimizer_goes_on() {
    let (train, _) = samples();
    let file = folder("resume-optimizers").join("checkpoint");
    for name in Registry::default().optimizers.names() {
        let fit = || {
            Fit::new(CrossEntropy::new(), gradus::optim::by_name(name, 0.01).unwrap())
                .epochs(2)
                .batch_size(50)
                .seed(1)
                .schedule(OneCycle::default())
        };
        let (mut whole, mut resumed) = (perceptron(1), perceptron(1));
        fit().run(&mut whole, &train).unwrap();
        let stopped = fit()
            .checkpoint(&file, NEVER)
            .interrupt_when(after(7))
            .run(&mut resumed, &train);
        refused(stopped, &["interrupted in epoch 2, after step 2", "it can go on from"]);
        let mut resumed = perceptron(2);
        fit().resume(&file).run(&mut resumed, &train).unwrap();
        assert_eq!(all_bits(&resumed), all_bits(&whole), "{name}");
    }
}

#[test]
fn a_run_that_had_ended_gives_its_result_again_or_goes_further() {
    let (train, _) = samples();
    let file = folder("resume-ended").join("checkpoint");
    let fit = |epochs| {
        Fit::new(CrossEntropy::new(), Sgd::new(0.1).momentum(0.9))
            .epochs(epochs)
            .batch_size(50)
            .seed(1)
    };
    let mut network = perceptron(1);
    let history = fit(2).checkpoint(&file, NEVER).run(&mut network, &train).unwrap();
    let checkpoint = Checkpoint::load(&file).unwrap();
    assert_eq!((checkpoint.position(), checkpoint.ended()), ((2, 0), false));
    assert_eq!(lasting(checkpoint.history()), lasting(&history));
    let mut again = perceptron(2);
    assert_eq!(fit(2).resume(&file).run(&mut again, &train).unwrap(), history);
    assert_eq!(all_bits(&again), all_bits(&network));

    let (mut further, mut whole) = (perceptron(2), perceptron(1));
    fit(3).resume(&file).run(&mut further, &train).unwrap();
    fit(3).run(&mut whole, &train).unwrap();
    assert_eq!(all_bits(&further), all_bits(&whole));
}

/// Half the learning rate after the first epoch.
#[derive(Debug)]
struct Halved {
    reads_steps: bool,
}

impl Schedule for Halved {
    fn name(&self) -> &'static str {
        "halved"
    }
    fn settings(&self) -> Option<serde_json::Value> {
        Some(serde_json::json!({ "reads_steps": self.reads_steps }))
    }
    fn validate(&self) -> Result<()> {
        Ok(())
    }
    fn factor(&self, context: &ScheduleContext<'_>) -> f64 {
        if context.epoch() == 0 { 1.0 } else { 0.5 }
    }
    fn reads_steps(&self) -> bool {
        self.reads_steps
    }
}

#[test]
fn training_goes_on_for_more_epochs_where_the_schedule_does_not_depend_on_them() {
    let (train, _) = samples();
    let file = folder("resume-more").join("checkpoint");
    type Make = fn() -> Box<dyn Schedule>;
    let schedules: [(Make, bool); 10] = [
        (|| Box::new(Constant), true),
        (|| Box::new(StepDecay::new(1, 0.5)), true),
        (|| Box::new(Exponential::new(0.7)), true),
        (|| Box::new(Plateau::new(0, 0.5).min_delta(0.9)), true),
        (|| Box::new(Warmup::new(7, Exponential::new(0.7))), true),
        (|| Box::new(Halved { reads_steps: false }), true),
        (|| Box::new(Halved { reads_steps: true }), false),
        (|| Box::new(Cosine::default()), false),
        (|| Box::new(OneCycle::default()), false),
        (|| Box::new(Warmup::new(7, Cosine::default())), false),
    ];
    for (schedule, goes_on) in schedules {
        let name = format!("{:?}", schedule());
        let fit = |epochs| {
            let fit = Fit::new(CrossEntropy::new(), Sgd::new(0.1))
                .epochs(epochs)
                .batch_size(50);
            fit.schedule(schedule())
        };
        fit(2).checkpoint(&file, NEVER).run(&mut perceptron(1), &train).unwrap();
        let mut further = perceptron(1);
        let resumed = fit(4).resume(&file).run(&mut further, &train);
        if goes_on {
            let mut whole = perceptron(1);
            fit(4).run(&mut whole, &train).unwrap();
            assert_eq!(resumed.unwrap().epochs.len(), 4, "{name}");
            assert_eq!(all_bits(&further), all_bits(&whole), "{name}");
        } else {
            refused(resumed, &["the number of epochs was 2, and is now 4"]);
        }
    }
}

#[test]
fn checkpoints_of_earlier_formats_are_read() {
    let (train, _) = samples();
    let file = folder("resume-formats").join("checkpoint");
    let fit = || {
        Fit::new(CrossEntropy::new(), Adam::new(0.01))
            .epochs(2)
            .batch_size(50)
            .seed(1)
    };
    let mut network = perceptron(1);
    fit()
        .checkpoint(&file, NEVER)
        .interrupt_when(after(7))
        .run(&mut network, &train)
        .unwrap_err();
    std::fs::write(&file, unchecked(&std::fs::read(&file).unwrap())).unwrap();
    let (mut resumed, mut whole) = (perceptron(2), perceptron(1));
    fit().resume(&file).run(&mut resumed, &train).unwrap();
    fit().run(&mut whole, &train).unwrap();
    assert_eq!(all_bits(&resumed), all_bits(&whole));
}

#[test]
fn what_is_done_can_not_be_interrupted() {
    let (train, _) = samples();
    let fit = || Fit::new(CrossEntropy::new(), Sgd::new(0.1)).epochs(2).batch_size(50);
    for (steps, ends) in [(9, false), (10, true)] {
        let done = Cell::new(0);
        let result = fit()
            .interrupt_when(|| done.replace(done.get() + 1) + 1 >= steps)
            .run(&mut perceptron(1), &train);
        assert_eq!(result.is_ok(), ends, "{steps} of 10 steps");
    }
}

/// The largest output of an epoch: it doesn't say what it knows.
#[derive(Debug)]
struct Largest(f64);

impl Metric for Largest {
    fn name(&self) -> String {
        "largest".into()
    }
    fn higher_is_better(&self) -> bool {
        true
    }
    fn validate(&self, _output: &Shape, _targets: &Targets) -> Result<()> {
        Ok(())
    }
    fn meter(&self, _output: &Shape) -> Box<dyn Meter> {
        Box::new(Largest(0.0))
    }
}

impl Meter for Largest {
    fn add(&mut self, y: &[Float], _target: Target<'_>) {
        self.0 = y.iter().fold(self.0, |a, &b| a.max(b.into()));
    }
    fn value(&self) -> f64 {
        self.0
    }
    fn reset(&mut self) {
        self.0 = 0.0;
    }
}

#[test]
fn a_metric_that_keeps_silent_has_checkpoints_at_the_ends_of_epochs() {
    let (train, _) = samples();
    let file = folder("resume-silent").join("checkpoint");
    let fit = || {
        Fit::new(CrossEntropy::new(), Adam::new(0.01))
            .epochs(3)
            .batch_size(50)
            .seed(1)
            .metric(Largest(0.0))
    };
    let mut whole = perceptron(1);
    let expected = fit().run(&mut whole, &train).unwrap();
    let stopped = |steps| {
        fit()
            .checkpoint(&file, ALWAYS)
            .interrupt_when(after(steps))
            .run(&mut perceptron(1), &train)
    };
    let sentence = sentence(stopped(2));
    assert_eq!(sentence, "training was interrupted in epoch 1, after step 2");
    refused(stopped(8), &["in epoch 2, after step 3", "it can go on from"]);
    assert_eq!(Checkpoint::load(&file).unwrap().position(), (1, 0));
    let mut resumed = perceptron(1);
    let history = fit().resume(&file).run(&mut resumed, &train).unwrap();
    assert_eq!(
        (all_bits(&resumed), lasting(&history)),
        (all_bits(&whole), lasting(&expected))
    );
}

#[test]
fn another_training_does_not_go_on() {
    let (train, validation) = samples();
    let file = folder("resume-others").join("checkpoint");
    let fit = || {
        Fit::new(CrossEntropy::new(), Adam::new(0.01))
            .epochs(2)
            .batch_size(50)
            .seed(1)
    };
    let mut network = perceptron(1);
    fit().checkpoint(&file, NEVER).run(&mut network, &train).unwrap();
    let again = |fit: Fit<'_>, network: &mut Network, data: &Subset<Bytes>| fit.resume(&file).run(network, data);
    let cannot = "this training can't go on from it: the ";
    let other_adam = Fit::new(CrossEntropy::new(), Adam::new(0.02))
        .epochs(2)
        .batch_size(50)
        .seed(1);
    for (fit, what) in [
        (other_adam, "optimizer was adam {"),
        (fit().batch_size(40), "batch size was 50, and is now 40"),
        (fit().seed(2), "seed was 1, and is now 2"),
        (fit().clip(Clip::Value(1.0)), "clipping was nothing"),
        (fit().augment(Noise), "augmentation was nothing"),
        (
            fit().bfloat16(true),
            "precision of products was full, and is now bfloat16",
        ),
        (fit().metric(Accuracy), "metrics was"),
        (fit().validation(&validation), "validation data was nothing"),
        (
            fit().schedule(OneCycle::default()),
            "number of epochs was nothing, and is now 2",
        ),
    ] {
        refused(again(fit, &mut network, &train), &["checkpoint", cannot, what]);
    }
    refused(again(fit(), &mut convolutional(1), &train), &[cannot, "network was"]);
    refused(
        again(fit(), &mut network, &validation),
        &[cannot, "training data was 201 samples", "100 samples"],
    );
    refused(
        again(fit().epochs(1), &mut network, &train),
        &["it has 2 epochs behind it, more than the 1 asked for"],
    );
    refused(
        fit().resume("nowhere").run(&mut network, &train),
        &["nowhere: can't be read"],
    );
    network.save(&file).unwrap();
    refused(again(fit(), &mut network, &train), &["is not a checkpoint of Gradus"]);
}

/// Without its settings, an item would be taken for another of its name.
#[test]
fn what_does_not_say_its_settings_has_no_checkpoint() {
    #[derive(Debug)]
    struct Own;
    impl Schedule for Own {
        fn name(&self) -> &'static str {
            "own"
        }
        fn validate(&self) -> Result<()> {
            Ok(())
        }
        fn factor(&self, _context: &ScheduleContext<'_>) -> f64 {
            1.0
        }
    }
    let (train, _) = samples();
    let file = folder("resume-unsaid").join("checkpoint");
    let fit = || Fit::new(CrossEntropy::new(), Adam::new(0.01)).schedule(Own).epochs(1);
    fit().run(&mut perceptron(1), &train).unwrap();
    refused(
        fit().checkpoint(&file, NEVER).run(&mut perceptron(1), &train),
        &["the settings of the schedule own", "Schedule::settings"],
    );
}

#[test]
fn a_damaged_checkpoint_is_refused() {
    let (train, _) = samples();
    let file = folder("resume-damaged").join("checkpoint");
    let fit = || {
        Fit::new(CrossEntropy::new(), Adam::new(0.01))
            .epochs(2)
            .batch_size(50)
            .metric(Accuracy)
            .callback(EarlyStopping::new(3))
    };
    fit()
        .checkpoint(&file, NEVER)
        .interrupt_when(after(8))
        .run(&mut perceptron(1), &train)
        .unwrap_err();
    let whole = std::fs::read(&file).unwrap();
    for length in (0..whole.len()).step_by(whole.len() / 97) {
        assert!(Checkpoint::from_bytes(&whole[..length]).is_err());
    }
    let whole = unchecked(&whole);
    let text = String::from_utf8_lossy(&whole[8..4000]).into_owned();
    for (from, to, words) in [
        (r#"\"step\":3"#, r#"\"step\":4"#, "of another training, or damaged"),
        (
            r#"\"epoch\":1"#,
            r#"\"epoch\":2"#,
            "history has 1 epochs, 2 are finished",
        ),
        (r#"\"steps\":8"#, r#"\"steps\":9"#, "of another training, or damaged"),
        (r#"\"meters\":[["#, r#"\"meters\":[7,"#, "progress can't be read"),
        ("optimizer.1", "optimizer.7", "belongs to nothing"),
        ("\"gradus.checkpoint\":\"1\"", "\"gradus.checkpoint\":\"3\"", "format 3"),
        (
            "\"gradus.checkpoint\":\"1\"",
            "\"gradus.checkpoint\":\"2\"",
            "has no checksum",
        ),
    ] {
        assert!(text.contains(from), "{from}");
        let mut damaged = whole.clone();
        let at = whole.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
        damaged[at..at + from.len()].copy_from_slice(&to.as_bytes()[..from.len()]);
        std::fs::write(&file, damaged).unwrap();
        let result = fit().resume(&file).run(&mut perceptron(1), &train);
        refused(result, &["checkpoint", words]);
    }
}

/// Notes before each checkpoint whether its file is there; the checkpoint of this number is refused.
struct Watch<'a> {
    file: &'a Path,
    was_there: &'a RefCell<Vec<bool>>,
    refused: usize,
}

impl Callback for Watch<'_> {
    fn on_checkpoint(&mut self) -> Result<()> {
        let mut was_there = self.was_there.borrow_mut();
        was_there.push(self.file.is_file());
        if was_there.len() == self.refused {
            return Err(Error::invalid("not now"));
        }
        Ok(())
    }
}

#[test]
fn callbacks_run_before_each_checkpoint() {
    let (train, _) = samples();
    let file = folder("resume-callbacks").join("checkpoint");
    let run = |refused| {
        let _ = std::fs::remove_file(&file);
        let was_there = RefCell::new(Vec::new());
        let watch = Watch {
            file: &file,
            was_there: &was_there,
            refused,
        };
        let result = Fit::new(CrossEntropy::new(), Adam::new(0.01))
            .epochs(1)
            .batch_size(50)
            .checkpoint(&file, ALWAYS)
            .callback(watch)
            .run(&mut perceptron(1), &train);
        (result, was_there.into_inner())
    };
    let (result, was_there) = run(usize::MAX);
    result.unwrap();
    assert!(was_there.len() >= 5, "{was_there:?}");
    assert!(
        !was_there[0] && was_there[1..].iter().all(|&there| there),
        "{was_there:?}"
    );

    let (result, was_there) = run(1);
    refused(result, &["not now"]);
    assert_eq!((was_there, file.exists()), (vec![false], false));
}

//! Tables of numbers as samples: read, checked, divided and scaled.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, anyhow, bail, ensure};
use flate2::read::MultiGzDecoder;
use gradus::Network;
use gradus::data::{Arrays, Column, Csv, Dataset, Subset, Table, split};

use crate::data_splits::{DataSplits, ReadOptions, hold_out};
use crate::metadata::{DataOrigin, Preprocessing, TargetScale};
use crate::numbers::{exact, plural};
use crate::suggestion::closest;
use crate::target_units::mean_and_deviation;
use crate::terminal::display_name;

/// From how many rows on a column that counts them is taken for an index.
const COUNTED: usize = 10;
/// How many different numbers may well be classes.
const CLASSES: usize = 20;
/// How many columns are named in a remark.
const NAMED: usize = 8;
/// How many bytes of the first line are searched for a name.
const MAX_FIRST_LINE: u64 = 1 << 20;

/// Whether the path is that of a table.
pub fn is_table(path: &Path) -> bool {
    ends_with(path, ".csv") || ends_with(path, ".tsv")
}

/// Whether the file's name has this ending, with or without one for gzip.
fn ends_with(path: &Path, ending: &str) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase());
    name.is_some_and(|name| name.trim_end_matches(".gz").ends_with(ending))
}

/// Reads the content of a table's file, and divides it into rows for training and for testing.
///
/// # Errors
/// If it is damaged, or its targets can't be learned.
pub fn load(origin: &DataOrigin, file: &[u8], read_options: &ReadOptions<'_>) -> Result<DataSplits> {
    let table = read(origin, file, read_options).map_err(|error| with_suggestion(error, origin, file))?;
    let remarks = remarks(&table, read_options)?;
    let all = table.to_arrays()?;
    let [train, test] = hold_out(&all, origin)?;
    let learned = rows_to_fit(&all, &train, read_options.validation, origin.seed)?;
    // It makes place for the scaled rows.
    drop(all);
    let (mean, deviation) = column_scales(&table, &learned, read_options)?;
    let targets = target_scale(&table, &learned, read_options)?;
    let target = targets.as_ref().map(|scale| (scale.mean[0], scale.deviation[0]));
    let mut scaled = table.scaled(&mean, &deviation, target)?;
    if let Some(shape) = read_options
        .network
        .map(Network::input_shape)
        .filter(|shape| shape.size() == width(&table))
    {
        scaled = scaled.with_shape(shape)?;
    }
    let scaled: Arc<dyn Dataset> = Arc::new(scaled);
    Ok(DataSplits {
        name: origin.name.clone(),
        origin: DataOrigin {
            // By its name it is found in a table with other columns too.
            target: table.target_name().map(str::to_string).or(origin.target.clone()),
            ..origin.clone()
        },
        classes: table.class_names().unwrap_or_default().to_vec(),
        train: Arc::new(Subset::new(scaled.clone(), train)?),
        test: Arc::new(Subset::new(scaled, test)?),
        divided: false,
        preprocessing: Preprocessing::Numbers {
            columns: table.column_names().unwrap_or_default().to_vec(),
            mean,
            deviation,
        },
        targets,
        remarks,
    })
}

/// The mean and the deviation by which each column is scaled: those of training, or those over the rows `learned`.
///
/// # Errors
/// If the network was trained on another number of columns.
fn column_scales(table: &Table, learned: &[usize], read_options: &ReadOptions<'_>) -> Result<(Vec<f64>, Vec<f64>)> {
    let columns = width(table);
    Ok(match &read_options.metadata.preprocessing {
        Some(Preprocessing::Numbers { mean, deviation, .. }) => {
            ensure!(
                mean.len() == columns,
                "the network was trained on rows of {}, these have {columns} beside the target",
                plural(mean.len(), "number")
            );
            (mean.clone(), deviation.clone())
        }
        _ if read_options.raw => (vec![0.0; columns], vec![1.0; columns]),
        _ => scales(table, learned),
    })
}

/// The scale of the target values: that of training, or that over the rows `learned`; none for classes and raw values.
///
/// # Errors
/// If the network's outputs can't reach the targets.
fn target_scale(table: &Table, learned: &[usize], read_options: &ReadOptions<'_>) -> Result<Option<TargetScale>> {
    Ok(match table.target_values() {
        _ if read_options.trained => read_options.metadata.targets.clone(),
        Some(values) => {
            let values: Vec<f64> = learned.iter().map(|&i| values[i]).collect();
            TargetScale::of(&values, read_options.network, read_options.raw)?
        }
        None => None,
    })
}

/// What those who use the table should know of it.
///
/// # Errors
/// If its classes can't be learned.
fn remarks(table: &Table, read_options: &ReadOptions<'_>) -> Result<Vec<String>> {
    let mut remarks = Vec::new();
    if read_options.trained {
        remarks.extend(columns_by_position(table, read_options));
    } else {
        remarks.extend(check_classes(table, read_options.classification)?);
        remarks.extend(classes_of_signs(table));
        remarks.extend(doubled_names(table));
        remarks.extend(index_columns(table));
    }
    if let [first, others @ ..] = table.unused() {
        let others = if others.is_empty() {
            String::new()
        } else {
            format!(" and {}", plural(others.len(), "other"))
        };
        remarks.push(format!(
            "the column `{first}`{others} is not used: the network was trained without it"
        ));
    }
    Ok(remarks)
}

/// The number of columns beside the target.
fn width(table: &Table) -> usize {
    table.rows().next().map_or(0, <[f64]>::len)
}

/// Reads the file as the network, if it has been trained, has seen another: with its columns and its classes.
fn read(origin: &DataOrigin, file: &[u8], read_options: &ReadOptions<'_>) -> Result<Table> {
    let target = match &origin.target {
        None => Column::Last,
        Some(name) => Column::NameOrIndex(name.clone()),
    };
    let mut csv = if origin.regression {
        Csv::regression(target)
    } else {
        Csv::classification(target)
    };
    let path = Path::new(&origin.name);
    if ends_with(path, ".tsv") {
        csv = csv.delimiter(b'\t');
    }
    if let Some(header) = origin.header {
        csv = csv.header(header);
    }
    if let Some(Preprocessing::Numbers { columns, .. }) = &read_options.metadata.preprocessing
        && !columns.is_empty()
    {
        csv = csv.columns(columns);
    }
    if origin.regression {
        return Ok(csv.parse_table(file)?);
    }
    if let Some(names) = &read_options.metadata.classes {
        return Ok(csv.class_names(names).parse_table(file)?);
    }
    if let (true, Some(network)) = (read_options.trained, read_options.network) {
        // Numbers are those of the outputs, as far as they can be: a class may have no row.
        let outputs = network.output_shape().size().max(2);
        let numbered = csv.clone().class_names((0..outputs).map(|class| class.to_string()));
        if let Ok(table) = numbered.parse_table(file) {
            return Ok(table);
        }
    }
    Ok(csv.parse_table(file)?)
}

/// The error; if the target column has no such name, with the name of a column that was probably meant.
fn with_suggestion(error: anyhow::Error, origin: &DataOrigin, file: &[u8]) -> anyhow::Error {
    let Some(target) = &origin.target else { return error };
    if !error
        .to_string()
        .starts_with(&format!("no column is called `{target}`"))
    {
        return error;
    }
    match closest(target, first_line(file).iter().map(String::as_str)) {
        Some(near) => anyhow!("{error}; did you mean `{}`?", display_name(near)),
        None => error,
    }
}

/// The cells of a table's first line, whatever their delimiter.
fn first_line(file: &[u8]) -> Vec<String> {
    let mut text = Vec::new();
    // What can't be read has no names to suggest.
    let _ = if file.starts_with(&[0x1f, 0x8b]) {
        MultiGzDecoder::new(file).take(MAX_FIRST_LINE).read_to_end(&mut text)
    } else {
        file.take(MAX_FIRST_LINE).read_to_end(&mut text)
    };
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let cells = line.trim_start_matches('\u{feff}').split([',', ';', '\t', '|']);
    cells.map(|cell| cell.trim().trim_matches('"').to_string()).collect()
}

/// The rows for training without those that are going to be held out for validation, which must have no part in it.
fn rows_to_fit(all: &Arrays, train: &[usize], validation: f64, seed: u64) -> Result<Vec<usize>> {
    if validation == 0.0 {
        return Ok(train.to_vec());
    }
    let subset = Subset::new(all, train.iter().copied())?;
    Ok(match split(&subset, validation, seed) {
        Ok((learned, _)) => learned.indices().iter().map(|&i| train[i]).collect(),
        // What can't be held out is refused where training holds it out.
        Err(_) => train.to_vec(),
    })
}

/// The means and the standard deviations of the columns over these rows.
fn scales(table: &Table, rows: &[usize]) -> (Vec<f64>, Vec<f64>) {
    let value = |row: usize, i: usize| table.rows().nth(row).map_or(f64::NAN, |row| row[i]);
    let column = |i: usize| mean_and_deviation(rows.iter().map(|&row| value(row, i)));
    (0..width(table)).map(column).unzip()
}

/// A remark on columns that are found by their position, since the table of training or this one does not name its columns.
fn columns_by_position(table: &Table, read_options: &ReadOptions<'_>) -> Option<String> {
    let learned = match &read_options.metadata.preprocessing {
        Some(Preprocessing::Numbers { columns, .. }) => &columns[..],
        _ => &[],
    };
    let named = |names: &[String]| {
        let shown: Vec<String> = names.iter().take(NAMED).map(|name| format!("`{name}`")).collect();
        let more = names.len() - shown.len();
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        shown.join(", ") + &more
    };
    match (learned, table.column_names()) {
        ([_, ..], None) => Some(format!(
            "the table does not name its columns: they are taken for {}, in this order, as in training",
            named(learned)
        )),
        ([], Some(names)) => Some(format!(
            "the network does not know the names of its columns: {} are taken for them, in this order",
            named(names)
        )),
        _ => None,
    }
}

/// Refuses classes that can't be learned, and those that are values of a regression, unless they are known to be classes;
/// returns a remark on those that may be values.
fn check_classes(table: &Table, known: bool) -> Result<Option<String>> {
    let Some(names) = table.class_names() else {
        return Ok(None);
    };
    if let [name] = names {
        bail!("all rows are of class `{name}`: a network learns to tell at least two classes apart");
    }
    let numbers: Option<Vec<f64>> = names.iter().map(|name| name.parse().ok()).collect();
    let Some(numbers) = numbers.filter(|_| !known) else {
        return Ok(None);
    };
    let (classes, rows) = (names.len(), table.rows().len());
    let (low, high) = (numbers[0], numbers[classes - 1]);
    let [least, most] = [low, high].map(exact);
    let column = table
        .target_name()
        .map_or(String::new(), |name| format!(" in column `{name}`"));
    let fractions = numbers.iter().any(|number| number.fract() != 0.0);
    ensure!(
        !(classes >= 5 && 2 * classes > rows || fractions && classes > CLASSES),
        "the targets{column} are {classes} different numbers in {rows} rows, {least} to {most}: these look like values, not \
         classes: `gradus train` learns them with --regression, or, if they are classes, with --classification, and --target chooses \
         another column"
    );
    let gaps = high - low + 1.0 >= 2.0 * classes as f64;
    Ok((classes > CLASSES && gaps).then(|| {
        format!(
            "the targets{column} are {classes} different numbers, {least} to {most}, and each is learned as a class; `gradus \
             train` learns them as values with --regression, and says nothing of this with --classification"
        )
    }))
}

/// Remarks on classes that stand for missing values in many tables: `?`, and other signs beside classes that have words or numbers.
/// They are classes all the same, as pandas reads them, since `+` and `-` are.
fn classes_of_signs(table: &Table) -> Vec<String> {
    let (Some(names), Some(labels)) = (table.class_names(), table.labels()) else {
        return Vec::new();
    };
    let has_words = |name: &str| name.contains(char::is_alphanumeric);
    let words = names.iter().any(|name| has_words(name));
    let unknown = |name: &str| name.bytes().all(|byte| byte == b'?') || words && !has_words(name);
    let remark = |(class, name): (usize, &String)| {
        let rows = labels.iter().filter(|&&label| label == class).count();
        let are = if rows == 1 { "is" } else { "are" };
        format!(
            "{} {are} of class `{name}`, which is learned as the others are: remove such rows if it means that the class is unknown",
            plural(rows, "row")
        )
    };
    let signs = names.iter().enumerate().filter(|(_, name)| unknown(name));
    signs.map(remark).collect()
}

/// Remarks on names that several columns have.
fn doubled_names(table: &Table) -> Vec<String> {
    let target = table.target_name();
    let mut names: Vec<&str> = table
        .column_names()
        .unwrap_or_default()
        .iter()
        .map(String::as_str)
        .collect();
    names.extend(target);
    names.retain(|name| !name.is_empty());
    names.sort_unstable();
    let doubled = names.chunk_by(|a, b| a == b).filter(|same| same.len() > 1);
    let remark = |same: &[&str]| {
        let learned = if target == Some(same[0]) {
            "one is the target, and from the others it is learned"
        } else {
            "each is learned as a column of its own"
        };
        format!(
            "{} columns are called `{}`, and {learned}: rename or remove what is there twice",
            same.len(),
            same[0]
        )
    };
    doubled.map(remark).collect()
}

/// Remarks on columns that look like the numbers of the rows.
fn index_columns(table: &Table) -> Vec<String> {
    let names = table.column_names();
    let remark = |i: usize| {
        let name = names.map(|names| names[i].as_str());
        let unnamed = name.is_some_and(|name| name.is_empty() || name.starts_with("Unnamed:"));
        let mut column: Vec<f64> = table.rows().map(|row| row[i]).collect();
        column.sort_unstable_by(f64::total_cmp);
        let counts = column.windows(2).all(|pair| pair[1] - pair[0] == 1.0);
        let column = match name {
            Some("") => format!("column {} of the values, which has no name,", i + 1),
            Some(name) => format!("the column `{name}`"),
            None => format!("column {} of the values", i + 1),
        };
        (unnamed || counts && table.rows().len() >= COUNTED).then(|| {
            format!("{column} looks like an index that counts the rows, and is learned as the others are: remove it if it is one")
        })
    };
    (0..width(table)).filter_map(remark).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gradus::data::Target;
    use gradus::prelude::*;

    fn read_back(splits: &DataSplits) -> Vec<(Vec<gradus::Float>, Target<'_>)> {
        let sample = |i| {
            let mut x = vec![0.0; splits.train.shape().size()];
            splits.train.read(i, &mut x).unwrap();
            (x, splits.train.target(i))
        };
        (0..splits.train.len()).map(sample).collect()
    }

    fn load(origin: &DataOrigin, read_options: &ReadOptions<'_>) -> Result<DataSplits> {
        super::load(origin, &std::fs::read(&origin.name)?, read_options)
    }

    fn file(text: &str) -> (tempfile::TempDir, DataOrigin) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.csv");
        std::fs::write(&path, text).unwrap();
        let origin = DataOrigin::named(&path.to_string_lossy());
        (folder, origin)
    }

    /// Eleven classes, of which one has no row, of a network whose file does not name them.
    #[test]
    fn classes_without_names_are_the_outputs_numbers() {
        let network = |outputs| Sequential::new([1]).layer(Dense::new(outputs)).build(1).unwrap();
        let classes = |labels: &str, outputs| {
            let rows: String = labels.split(' ').map(|label| format!("0.5,{label}\n")).collect();
            let (_folder, origin) = file(&rows);
            let read_options = ReadOptions {
                network: Some(&network(outputs)),
                raw: true,
                trained: true,
                ..ReadOptions::default()
            };
            let splits = load(&origin, &read_options).unwrap();
            let classes = read_back(&splits).into_iter().map(|(_, target)| match target {
                Target::Class(class) => class,
                Target::Values(_) => unreachable!("classes"),
            });
            classes.collect::<Vec<_>>()
        };
        assert_eq!(classes("10 0 1 8 2 9", 11), [10, 0, 1, 8, 2, 9]);
        assert_eq!(classes("10.0 2.0 0.0", 11), [10, 2, 0]);
        assert_eq!(classes("1 0 1", 1), [1, 0, 1]);
        // Numbers from 1, and words.
        assert_eq!(classes("3 1 2", 3), [2, 0, 1]);
        assert_eq!(classes("c a b", 3), [2, 0, 1]);
    }

    #[test]
    fn large_numbers_keep_their_differences() {
        let rows: String = (0..20)
            .map(|i| format!("{},{}\n", 1_700_000_000 + i, 9e9 + 0.25 * f64::from(i)))
            .collect();
        let (_folder, mut origin) = file(&format!("time,count\n{rows}"));
        origin.regression = true;
        let splits = load(&origin, &ReadOptions::default()).unwrap();
        let Preprocessing::Numbers {
            columns,
            mean,
            deviation,
        } = &splits.preprocessing
        else {
            unreachable!("a table")
        };
        assert_eq!((&columns[..], mean[0]), (&["time".to_string()][..], 1_700_000_009.5));
        assert!((deviation[0] - 33.25_f64.sqrt()).abs() < 1e-9);
        let z = |i: usize| ((i as f64 - 9.5) / 33.25_f64.sqrt()) as gradus::Float;
        for (i, (x, target)) in read_back(&splits).into_iter().enumerate() {
            assert!((x[0] - z(i)).abs() < 1e-6, "{x:?}");
            assert!(
                matches!(target, Target::Values(&[t]) if (t - z(i)).abs() < 1e-6),
                "{target:?}"
            );
        }
        assert_eq!(splits.origin.target.as_deref(), Some("count"));
        // The same, learned from the column by its name.
        let read_options = ReadOptions {
            metadata: splits.metadata().unwrap(),
            trained: true,
            ..ReadOptions::default()
        };
        assert_eq!(
            read_back(&load(&splits.origin, &read_options).unwrap()),
            read_back(&splits)
        );
    }

    /// The scale of columns and of targets is that of the rows that are learned from, without those for validation.
    #[test]
    fn rows_for_validation_have_no_part_in_the_scale() {
        let rows: String = (0..20).map(|i| format!("{},{}\n", i * i, i)).collect();
        let (_folder, mut origin) = file(&format!("square,number\n{rows}"));
        (origin.regression, origin.seed) = (true, 7);
        let read_options = ReadOptions {
            validation: 0.25,
            ..ReadOptions::default()
        };
        let splits = load(&origin, &read_options).unwrap();
        let (train, _) = split(splits.train.clone(), 0.25, 7).unwrap();
        assert_eq!(train.len(), 15);
        // Scaled by their own mean and deviation, they have mean 0 and deviation 1.
        let sums = (0..15).fold([0.0; 4], |[x, xx, t, tt], i| {
            let mut value = [0.0];
            train.read(i, &mut value).unwrap();
            let Target::Values(&[target]) = train.target(i) else {
                unreachable!("values")
            };
            let (value, target) = (f64::from(value[0]), f64::from(target));
            [x + value, xx + value * value, t + target, tt + target * target]
        });
        for (found, expected) in sums.into_iter().zip([0.0, 15.0, 0.0, 15.0]) {
            assert!((found - expected).abs() < 1e-4, "{sums:?}");
        }
    }

    #[test]
    fn values_are_not_learned_as_classes() {
        let check = |targets: &mut dyn Iterator<Item = String>| {
            let rows: String = targets.map(|target| format!("0.5,{target}\n")).collect();
            check_classes(
                &Csv::classification(Column::Last).parse_table(rows.as_bytes()).unwrap(),
                false,
            )
        };
        let prices = |i: u32| format!("{}", 100_000 + i * 37 % 1000 * 250);
        assert!(
            check(&mut (0..1000).map(prices))
                .unwrap_err()
                .to_string()
                .contains("--regression")
        );
        assert!(
            check(&mut (0..300).map(|i| format!("{}.5", i % 30)))
                .unwrap_err()
                .to_string()
                .contains("29.5")
        );
        assert!(
            check(&mut (0..1000).map(|i| prices(i % 100)))
                .unwrap()
                .unwrap()
                .contains("--regression")
        );
        assert_eq!(check(&mut (0..1000).map(|i| format!("{}", i % 100))).unwrap(), None);
        assert_eq!(check(&mut (0..40).map(|i| format!("{}.5", i % 10))).unwrap(), None);
        assert_eq!(check(&mut (0..40).map(|i| format!("name {i}"))).unwrap(), None);
    }

    #[test]
    fn classes_of_signs_are_told() {
        let shown = |classes: &str| {
            let rows: String = classes.split(' ').map(|class| format!("0.5,{class}\n")).collect();
            classes_of_signs(&Csv::classification(Column::Last).parse_table(rows.as_bytes()).unwrap())
        };
        assert_eq!(
            shown("a ? b ? -"),
            [
                "1 row is of class `-`, which is learned as the others are: remove such rows if it means that the class is unknown",
                "2 rows are of class `?`, which is learned as the others are: remove such rows if it means that the class is unknown",
            ]
        );
        assert_eq!(shown("+ - ? +").len(), 1);
        assert_eq!(shown("+ - - +"), [""; 0]);
        assert_eq!(shown("-1 1 1.5 <=50K"), [""; 0]);
    }

    #[test]
    fn names_of_several_columns_are_told() {
        let shown =
            |text: &str| doubled_names(&Csv::classification(Column::Last).parse_table(text.as_bytes()).unwrap());
        let line = |names: &str| format!("{names}\n1,2,3,0\n4,5,7,1\n");
        assert_eq!(
            shown(&line("a,b,a,y")),
            [
                "2 columns are called `a`, and each is learned as a column of its own: rename or remove what is there twice"
            ]
        );
        assert_eq!(
            shown(&line("y,b,y,y")),
            [
                "3 columns are called `y`, and one is the target, and from the others it is learned: rename or remove what is there twice"
            ]
        );
        assert_eq!(shown(&line(",a,,y")), [""; 0]);
        assert_eq!(shown(&line("0.5,1.5,1.5,1")), [""; 0], "no names");
    }

    #[test]
    fn columns_that_count_the_rows_are_told() {
        let shown =
            |text: &str| index_columns(&Csv::classification(Column::Last).parse_table(text.as_bytes()).unwrap());
        let rows = |line: &dyn Fn(u32) -> String| (0..12).map(line).collect::<String>();
        assert_eq!(
            shown(&format!(",a,y\n{}", rows(&|i| format!("{},0.5,0\n", i * i)))).len(),
            1
        );
        assert_eq!(
            shown(&format!("Unnamed: 0,a,y\n{}", rows(&|i| format!("{i},0.5,0\n")))).len(),
            1
        );
        assert_eq!(shown(&rows(&|i| format!("{},0.5,0\n", 1 + i * 5 % 12))).len(), 1);
        assert!(shown(&format!("a,b,y\n{}", rows(&|i| format!("{},0.5,0\n", i / 2)))).is_empty());
    }
}
